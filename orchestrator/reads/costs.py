"""Costs: what attempts took, in money, tokens and worker time, and what earlier answers saved. Money is summed
in whole nano-dollars."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from contracts.reports import NANO
from contracts.states import AttemptState
from orchestrator.ledger.tables import attempt, subtask
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
    saved_usd: float = 0.0
    """What was not paid, since the same question had been answered before."""
    saved_tokens: int = 0


class Saved(Read):
    """What some subtasks did not take, since their questions had been answered before."""

    answers: int = 0
    usd: float = 0.0
    tokens: int = 0
    """Input and output of the attempts that answered first."""
    simulated: bool = False


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


def saved_by(
    connection: Connection, column: ColumnElement[Any], where: ColumnElement[bool]
) -> dict[str, Saved]:
    """What earlier answers saved the subtasks of the condition, by the value of one of their columns. Who
    answered first did so with its only settled attempt."""
    rows = connection.execute(
        select(
            column.label("by"),
            func.count().label("answers"),
            func.sum(subtask.c.saved_nano_usd).label("nano"),
            func.sum(attempt.c.input_tokens + attempt.c.output_tokens).label("tokens"),
            func.max(case((attempt.c.simulated.is_(True), 1), else_=0)).label("simulated"),
        )
        .join(
            attempt,
            (attempt.c.subtask_id == subtask.c.answered_by) & (attempt.c.state == AttemptState.SETTLED),
        )
        .where(subtask.c.answered_by.is_not(None), where)
        .group_by(column)
    )
    return {
        row.by: Saved(
            answers=row.answers, usd=usd(row.nano), tokens=int(row.tokens), simulated=bool(row.simulated)
        )
        for row in rows
    }


def costs_by_job(connection: Connection, job_ids: Iterable[str]) -> dict[str, Cost]:
    """The cost of each of these jobs; jobs without an attempt and without an answer of before are left out."""
    wanted = list(job_ids)
    rows = connection.execute(
        select(attempt.c.job_id, *cost_columns())
        .where(attempt.c.job_id.in_(wanted))
        .group_by(attempt.c.job_id)
    )
    costs = {row.job_id: cost_of(row) for row in rows}
    return _with_saved(costs, saved_by(connection, subtask.c.job_id, subtask.c.job_id.in_(wanted)))


def costs_by_subtask(connection: Connection, job_id: str) -> dict[str, Cost]:
    """The cost of each subtask of a job; subtasks without an attempt and an answer of before are left out."""
    rows = connection.execute(
        select(attempt.c.subtask_id, *cost_columns())
        .where(attempt.c.job_id == job_id)
        .group_by(attempt.c.subtask_id)
    )
    costs = {row.subtask_id: cost_of(row) for row in rows}
    return _with_saved(costs, saved_by(connection, subtask.c.id, subtask.c.job_id == job_id))


def cost_of_job(connection: Connection, job_id: str) -> Cost:
    return costs_by_job(connection, [job_id]).get(job_id, Cost())


def cost_of_subtask(connection: Connection, subtask_id: str) -> Cost:
    row = connection.execute(select(*cost_columns()).where(attempt.c.subtask_id == subtask_id)).one()
    saved = saved_by(connection, subtask.c.id, subtask.c.id == subtask_id)
    return _with_saved({subtask_id: cost_of(row)}, saved)[subtask_id]


def _with_saved(costs: dict[str, Cost], saved: dict[str, Saved]) -> dict[str, Cost]:
    """What was taken over from a simulated answer is simulated, too."""
    for key, spared in saved.items():
        cost = costs.get(key, Cost())
        simulated = spared.simulated or cost.simulated
        costs[key] = cost.model_copy(
            update={"saved_usd": spared.usd, "saved_tokens": spared.tokens, "simulated": simulated}
        )
    return costs
