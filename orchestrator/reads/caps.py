"""Spending caps: what may be spent, what was, and what is held by it."""

from sqlalchemy import Connection, func, select

from orchestrator import spending
from orchestrator.deciders.spending import Period, Scope
from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import subtask
from orchestrator.reads.base import Read
from orchestrator.reads.costs import usd


class CapRead(Read):
    """One spending cap as it stands."""

    scope: Scope
    name: str
    """Empty for the fleet."""
    period: Period
    limit_usd: float
    spent_usd: float
    """In the day so far, or in all. A call of unknown end counts at its worst case."""
    reserved_usd: float
    """What attempts under way may cost at most."""
    parked: int
    """Subtasks that it holds parked."""


def spending_caps(connection: Connection) -> tuple[CapRead, ...]:
    """The caps of fleet, tenants, lanes and purposes; a job's own is shown with the job."""
    query = select(subtask.c.capped_by, func.count().label("parked")).where(*spending.HELD)
    parked = {row.capped_by: row.parked for row in connection.execute(query.group_by(subtask.c.capped_by))}
    caps = spending.caps(connection, now(connection), {})
    return tuple(
        CapRead(
            scope=cap.scope,
            name=cap.name,
            period=cap.period,
            limit_usd=usd(cap.limit),
            spent_usd=usd(cap.spent),
            reserved_usd=usd(cap.reserved),
            parked=parked.get(key, 0),
        )
        for key, cap in sorted(caps.items())
    )
