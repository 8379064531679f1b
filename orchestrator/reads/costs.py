"""Costs: what attempts took, in money, tokens and worker time. Money is summed in whole nano-dollars."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from contracts.reports import NANO
from orchestrator.ledger.tables import attempt
from orchestrator.reads.base import Read


class Cost(Read):
    """What some attempts took together."""

    usd: float = 0.0
    input_tokens: int = 0
    """All input, cached or not."""
    cached_input_tokens: int = 0
    output_tokens: int = 0
    worker_seconds: float = 0.0
    attempts: int = 0
    simulated: bool | None = None
    """Whether any call went to the vendor simulator; None where no call was made."""


def usd(nano: int) -> float:
    """Dollars out of whole nano-dollars."""
    return int(nano) / NANO


def cost_columns() -> list[ColumnElement[Any]]:
    """The aggregates over attempts that `cost_of` reads."""
    sums = ("cost_nano_usd", "input_tokens", "cached_input_tokens", "output_tokens", "worker_seconds")
    pretended = case((attempt.c.simulated.is_(True), 1), (attempt.c.simulated.is_(False), 0))
    return [
        *(func.coalesce(func.sum(attempt.c[name]), 0).label(name) for name in sums),
        func.count(attempt.c.id).label("attempts"),
        func.max(pretended).label("simulated"),
    ]


def cost_of(row: Any) -> Cost:
    """The cost in one row of `cost_columns`. PostgreSQL sums integers into decimals, hence the `int`."""
    return Cost(
        usd=usd(row.cost_nano_usd),
        input_tokens=int(row.input_tokens),
        cached_input_tokens=int(row.cached_input_tokens),
        output_tokens=int(row.output_tokens),
        worker_seconds=float(row.worker_seconds),
        attempts=int(row.attempts),
        simulated=None if row.simulated is None else bool(row.simulated),
    )


def costs_by_job(connection: Connection, job_ids: Iterable[str]) -> dict[str, Cost]:
    """The cost of each of these jobs; jobs without an attempt are left out."""
    rows = connection.execute(
        select(attempt.c.job_id, *cost_columns())
        .where(attempt.c.job_id.in_(list(job_ids)))
        .group_by(attempt.c.job_id)
    )
    return {row.job_id: cost_of(row) for row in rows}


def costs_by_subtask(connection: Connection, job_id: str) -> dict[str, Cost]:
    """The cost of each subtask of a job; subtasks without an attempt are left out."""
    rows = connection.execute(
        select(attempt.c.subtask_id, *cost_columns())
        .where(attempt.c.job_id == job_id)
        .group_by(attempt.c.subtask_id)
    )
    return {row.subtask_id: cost_of(row) for row in rows}


def cost_of_job(connection: Connection, job_id: str) -> Cost:
    return cost_of(connection.execute(select(*cost_columns()).where(attempt.c.job_id == job_id)).one())


def cost_of_subtask(connection: Connection, subtask_id: str) -> Cost:
    return cost_of(
        connection.execute(select(*cost_columns()).where(attempt.c.subtask_id == subtask_id)).one()
    )
