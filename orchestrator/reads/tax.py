"""The autonomy tax: the share of all work that goes to keeping the machine coherent.

Everything but feature over everything, over a trailing window: jobs accepted, and attempts granted, in it.
"""

from datetime import datetime

from sqlalchemy import Connection, func, select

from contracts.purposes import Purpose
from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import attempt, job, subtask
from orchestrator.reads.base import Read, moment
from orchestrator.reads.costs import Cost, Saved, cost_columns, cost_of, saved_by
from orchestrator.reads.ids import first_id

DAY_SECONDS = 86_400.0


class Spent(Read):
    """What one purpose took."""

    jobs: int = 0
    seconds: float = 0.0
    """Of workers."""
    tokens: int = 0
    """Input and output."""
    usd: float = 0.0


class Shares(Read):
    """Shares from 0 to 1; None where there was nothing to share."""

    jobs: float | None
    seconds: float | None
    tokens: float | None
    usd: float | None


class TaxRead(Read):
    """The tax over one window."""

    since: datetime
    until: datetime
    window_seconds: float
    purposes: dict[Purpose, Spent]
    tax: Shares
    """Everything but feature over everything."""
    saved: dict[str, Saved]
    """What answers given again saved, by lane; no part of the tax."""
    simulated: bool
    """Whether any call in the window was simulated, so that its money is pretended."""


def tax(connection: Connection, window_seconds: float = DAY_SECONDS) -> TaxRead:
    """The tax over the trailing window."""
    until = now(connection)
    since = max(until - window_seconds, 0.0)
    jobs, costs = _jobs(connection, since), _costs(connection, since)
    saved = saved_by(connection, subtask.c.lane, subtask.c.ended_at >= since)
    purposes = {purpose: _spent(jobs.get(purpose, 0), costs.get(purpose, Cost())) for purpose in Purpose}
    return TaxRead(
        since=moment(since),
        until=moment(until),
        window_seconds=window_seconds,
        purposes=purposes,
        tax=Shares(**{unit: _share(purposes, unit) for unit in Shares.model_fields}),
        saved=saved,
        simulated=any(cost.simulated for cost in costs.values())
        or any(spared.simulated for spared in saved.values()),
    )


def _jobs(connection: Connection, since: float) -> dict[str, int]:
    rows = connection.execute(
        select(job.c.purpose, func.count().label("total"))
        .where(job.c.id >= first_id(since), job.c.created_at >= since)
        .group_by(job.c.purpose)
    )
    return {row.purpose: row.total for row in rows}


def _costs(connection: Connection, since: float) -> dict[str, Cost]:
    rows = connection.execute(
        select(attempt.c.purpose, *cost_columns())
        .where(attempt.c.id >= first_id(since), attempt.c.granted_at >= since)
        .group_by(attempt.c.purpose)
    )
    return {row.purpose: cost_of(row) for row in rows}


def _spent(jobs: int, cost: Cost) -> Spent:
    tokens = cost.input_tokens + cost.output_tokens
    return Spent(jobs=jobs, seconds=cost.worker_seconds, tokens=tokens, usd=cost.usd)


def _share(purposes: dict[Purpose, Spent], unit: str) -> float | None:
    everything = sum(getattr(spent, unit) for spent in purposes.values())
    if not everything:
        return None
    return float((everything - getattr(purposes[Purpose.FEATURE], unit)) / everything)
