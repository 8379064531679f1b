"""Snapshots: the part of the catalog with which a job was planned, and with which it ends."""

from sqlalchemy import Connection, select

from contracts.artifacts import digest_of
from contracts.catalog import Catalog
from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.tables import snapshot


def keep(connection: Connection, catalog: Catalog) -> str:
    """Keeps the catalog once and answers its digest."""
    body = catalog.model_dump_json(exclude_defaults=True)
    digest = digest_of(body.encode())
    parsed = catalog.model_dump(mode="json", exclude_defaults=True)
    insert_missing(connection, snapshot, [{"digest": digest, "body": parsed}])
    return digest


class Snapshots:
    """Reads snapshots; each is parsed once, since its digest is its name."""

    def __init__(self) -> None:
        self._known: dict[str, Catalog] = {}

    def get(self, connection: Connection, digest: str) -> Catalog:
        """The catalog kept under this digest."""
        if digest not in self._known:
            body = connection.execute(select(snapshot.c.body).where(snapshot.c.digest == digest)).scalar_one()
            self._known[digest] = Catalog.model_validate(body)
        return self._known[digest]
