"""Sharing: what an operator keeps reserved for a kind of work, and what a tenant weighs, while the fleet runs."""

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import Connection, text, update

from contracts.catalog import Catalog
from contracts.purposes import Purpose
from orchestrator import shares
from orchestrator.deciders.shares import URGENT_WORK, share_problems
from orchestrator.ledger import changes
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.tables import share
from orchestrator.problems import Malformed
from orchestrator.wake import ring


class FloorKind(StrEnum):
    """What a floor can be kept for."""

    PURPOSE = "purpose"
    LANE = "lane"
    PRIORITY = "priority"


def set_floor(
    ledger: Ledger, catalog: Catalog, kind: FloorKind, name: str, fraction: float, by: str, reason: str
) -> None:
    """Keeps a part of every pool for a purpose, a lane or urgent work; 0 keeps none. Raises a Problem for a name
    that is not known, and where the floors of a kind would add up to more than one."""
    _check(catalog, kind, name)
    with ledger.write() as connection:
        _one_at_a_time(connection)
        old = shares.read(connection).floors().get((kind.value, name), 0.0)
        _keep(connection, kind, name, fraction)
        changes.record(connection, by, f"floor of {kind} {name}", f"{old:g}", f"{fraction:g}", reason)


def set_weight(ledger: Ledger, tenant: str, weight: float, by: str, reason: str) -> None:
    """Lets a tenant weigh so much against the others, each of which weighs 1 where nothing else is set."""
    with ledger.write() as connection:
        _one_at_a_time(connection)
        old = shares.read(connection).weight(tenant)
        _keep(connection, "tenant", tenant, weight)
        changes.record(connection, by, f"weight of tenant {tenant}", f"{old:g}", f"{weight:g}", reason)


def _check(catalog: Catalog, kind: FloorKind, name: str) -> None:
    known: Iterable[str]
    match kind:
        case FloorKind.PURPOSE:
            known = [purpose.value for purpose in Purpose]
        case FloorKind.LANE:
            known = catalog.lanes
        case FloorKind.PRIORITY:
            known = [URGENT_WORK[1]]
    if name not in known:
        raise Malformed(f"name: no {kind} “{name}”; known are: {', '.join(sorted(known))}")


def _one_at_a_time(connection: Connection) -> None:
    """Floors are checked together, so two that are set at the same moment must see each other. On SQLite a
    writer is alone anyway; who only reads is not held up."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE share IN SHARE ROW EXCLUSIVE MODE"))


def _keep(connection: Connection, kind: str, name: str, value: float) -> None:
    insert_missing(connection, share, [{"kind": kind, "name": name, "value": value}])
    this = update(share).where(share.c.kind == kind, share.c.name == name)
    connection.execute(this.values(value=value))
    for problem in share_problems(shares.read(connection)):
        raise Malformed(problem)
    ring(connection)
