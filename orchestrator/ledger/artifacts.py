"""Which artifacts the fleet knows; their bytes lie in the artifact store."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, insert, select

from orchestrator.ledger.tables import artifact


def note(connection: Connection, refs: Iterable[dict[str, Any]], at: float) -> None:
    """Writes down the references, as dumped ArtifactRefs, that are not known yet."""
    wanted = {ref["digest"]: ref for ref in refs}
    known = connection.execute(select(artifact.c.digest).where(artifact.c.digest.in_(wanted))).scalars()
    for digest in known.all():
        del wanted[digest]
    if wanted:
        connection.execute(
            insert(artifact),
            [
                {
                    "digest": ref["digest"],
                    "size_bytes": ref["size_bytes"],
                    "media_type": ref["media_type"],
                    "created_at": at,
                }
                for ref in wanted.values()
            ],
        )
