"""Ticks: one row for each firing of the clock, whoever noticed it first."""

import math
from typing import Any

from sqlalchemy import Connection, select, update

from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.tables import tick


def slot_of(at: float, cadence_seconds: float) -> float:
    """The last boundary of the cadence: a multiple of it since 1970."""
    return math.floor(at / cadence_seconds) * cadence_seconds


def note_due(connection: Connection, cadences: dict[str, float], at: float) -> int:
    """Writes the current slot of every tick, unless it stands there already, and answers how many it wrote."""
    due = {name: slot_of(at, cadence) for name, cadence in cadences.items()}
    latest = select(tick.c.name, tick.c.slot).where(tick.c.slot.in_(set(due.values())))
    known = {(row.name, row.slot) for row in connection.execute(latest)}
    missing = [
        {"name": name, "slot": slot, "seen_at": at} for name, slot in due.items() if (name, slot) not in known
    ]
    insert_missing(connection, tick, missing)
    return len(missing)


def unlooked(connection: Connection) -> list[Any]:
    """Ticks that nobody has looked after, the oldest first."""
    return list(connection.execute(select(tick).where(tick.c.looked_at.is_(None)).order_by(tick.c.slot)))


def looked(connection: Connection, row: Any, outcome: str, job_id: str | None, at: float) -> None:
    """Writes down what came of a tick. Whoever was first stands, but a job outranks having found nothing."""
    open_ = tick.c.job_id.is_(None) if job_id else tick.c.looked_at.is_(None)
    connection.execute(
        update(tick)
        .where(tick.c.name == row.name, tick.c.slot == row.slot, open_)
        .values(looked_at=at, outcome=outcome, job_id=job_id)
    )
