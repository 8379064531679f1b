"""Which artifacts the fleet knows; their bytes lie in the artifact store."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select

from contracts.artifacts import ArtifactRef
from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.tables import artifact


def find(connection: Connection, digest: str) -> ArtifactRef | None:
    """The artifact of this digest, or None where nobody ever kept it."""
    row = connection.execute(select(artifact).where(artifact.c.digest == digest)).one_or_none()
    if row is None:
        return None
    return ArtifactRef(digest=row.digest, size_bytes=row.size_bytes, media_type=row.media_type)


def note(connection: Connection, refs: Iterable[dict[str, Any]], at: float) -> None:
    """Writes down the references, as dumped ArtifactRefs, that are not known yet."""
    rows = {
        ref["digest"]: {
            "digest": ref["digest"],
            "size_bytes": ref["size_bytes"],
            "media_type": ref["media_type"],
            "created_at": at,
        }
        for ref in refs
    }
    # In one order for everybody, so that two reports with the same artifacts cannot wait for each other.
    insert_missing(connection, artifact, [rows[digest] for digest in sorted(rows)])
