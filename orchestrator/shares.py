"""Shares: floors and weights as operators set them, over the defaults that are shipped."""

from dataclasses import replace

from sqlalchemy import Connection, select

from contracts.purposes import Purpose
from orchestrator.deciders.shares import Shares
from orchestrator.ledger.tables import share


def read(connection: Connection) -> Shares:
    """The shares that hold at this moment."""
    kept: dict[str, dict[str, float]] = {"purpose": {}, "lane": {}, "priority": {}, "tenant": {}}
    for row in connection.execute(select(share)):
        kept[row.kind][row.name] = row.value
    shipped = Shares()
    return replace(
        shipped,
        purposes={**shipped.purposes, **{Purpose(name): value for name, value in kept["purpose"].items()}},
        lanes=kept["lane"],
        urgent=kept["priority"].get("urgent", shipped.urgent),
        weights=kept["tenant"],
    )
