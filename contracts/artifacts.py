"""Artifacts: bytes kept by digest, and documents that stand on them."""

import hashlib
from typing import Annotated, Self

from pydantic import Field, model_validator

from contracts.base import Contract

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
"""``sha256:`` and 64 hexadecimal digits."""


def digest_of(content: bytes) -> str:
    """The name under which these bytes are kept."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


class ArtifactRef(Contract):
    """A pointer to bytes; whoever opens it checks the digest."""

    digest: Digest
    size_bytes: int = Field(ge=0)
    media_type: str = "application/octet-stream"
    name: str = ""
    """What a person calls it: a document's name, a payload's contract."""


class Document(Contract):
    """A piece of source material: either its text, or the artifact that holds it. Intake turns the first
    into the second, so that inside the fleet every document is an artifact."""

    name: str = Field(min_length=1, max_length=200)
    text: str | None = Field(default=None, min_length=1)
    artifact: ArtifactRef | None = None

    @model_validator(mode="after")
    def _exactly_one_source(self) -> Self:
        if (self.text is None) == (self.artifact is None):
            raise ValueError("a document has either a text or an artifact")
        return self
