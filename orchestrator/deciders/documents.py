"""Documents: those in a job's inputs, each with its artifact as the ledger knows it."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from contracts.artifacts import ArtifactRef, Document

Known = Callable[[str], ArtifactRef | None]
"""The artifact of a digest as the ledger knows it, or None where nobody ever kept it."""


def with_documents(value: Any, dumped: Any, keep: Callable[[Document], ArtifactRef]) -> Any:
    """What `value` was dumped as, each document in it standing on the artifact that `keep` answers."""
    match value:
        case Document():
            ref = keep(value).model_copy(update={"name": value.name})
            return {"name": value.name, "text": None, "artifact": ref.model_dump(mode="json")}
        case BaseModel():
            return {name: with_documents(getattr(value, name), part, keep) for name, part in dumped.items()}
        case tuple() | list():
            return [with_documents(each, part, keep) for each, part in zip(value, dumped, strict=True)]
        case _:
            return dumped


def as_uploaded(document: Document, known: Known) -> ArtifactRef | None:
    """Its artifact as the ledger knows it, since nobody's word for a size counts; None where it was not uploaded."""
    return known(document.artifact.digest) if document.artifact else None
