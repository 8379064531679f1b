"""Which artifacts the fleet knows; their bytes lie in the artifact store."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.tables import artifact


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
