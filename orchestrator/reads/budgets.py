"""Budgets: what each vendor account allows, what is left of it now, and what is taken."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from contracts.states import AttemptState
from orchestrator.deciders.pacing import Levels, Rates, capacity, refill
from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import attempt, budget
from orchestrator.reads.base import Read, moment


class Dimension(Read):
    """One thing that an account limits."""

    dimension: str
    """``requests``, ``input_tokens``, ``output_tokens`` (per minute) or ``concurrency`` (calls at once)."""
    limit: float
    full: float
    """The most that can be saved up, which is the largest burst."""
    level: float
    """What may be used now; below zero where more was used than was reserved."""
    reserved: float
    """What attempts under way have taken and not yet settled."""


class BudgetRead(Read):
    """One budget at this moment."""

    key: str
    vendor: str
    account: str
    group: str
    dimensions: tuple[Dimension, ...]
    in_flight: int
    """Attempts that hold a part of it."""
    closed_until: datetime | None
    """Nothing is granted before this moment; None where it is open."""
    closed_why: str


def budgets(connection: Connection) -> tuple[BudgetRead, ...]:
    """All budgets by key, refilled to now by the database's clock."""
    at, taken = now(connection), _taken(connection)
    rows = connection.execute(select(budget).order_by(budget.c.key))
    return tuple(_read(row, taken.get(row.key), at) for row in rows)


def _taken(connection: Connection) -> dict[str, Any]:
    rows = connection.execute(
        select(
            attempt.c.budget,
            func.count().label("calls"),
            func.sum(attempt.c.reserved_input_tokens).label("input_tokens"),
            func.sum(attempt.c.reserved_output_tokens).label("output_tokens"),
        )
        .where(
            attempt.c.ended_at.is_(None),
            attempt.c.budget.is_not(None),
            attempt.c.state.in_([AttemptState.DISPATCHED, AttemptState.RUNNING, AttemptState.REPORTED]),
        )
        .group_by(attempt.c.budget)
    )
    return {row.budget: row for row in rows}


def _read(row: Any, taken: Any, at: float) -> BudgetRead:
    closed = row.closed_until is not None and row.closed_until > at
    return BudgetRead(
        key=row.key,
        vendor=row.vendor,
        account=row.account,
        group=row.group,
        dimensions=_dimensions(row, taken, at),
        in_flight=taken.calls if taken else 0,
        closed_until=moment(row.closed_until) if closed else None,
        closed_why=row.closed_why if closed else "",
    )


def _dimensions(row: Any, taken: Any, at: float) -> tuple[Dimension, ...]:
    rates = Rates(
        row.requests_per_minute, row.input_tokens_per_minute, row.output_tokens_per_minute, row.concurrency
    )
    levels = refill(
        Levels(row.requests_level, row.input_level, row.output_level), rates, at - row.refilled_at
    )
    full, calls = capacity(rates), int(taken.calls) if taken else 0
    reserved = {
        "requests": calls,
        "input_tokens": int(taken.input_tokens) if taken else 0,
        "output_tokens": int(taken.output_tokens) if taken else 0,
    }
    paced = tuple(
        Dimension(
            dimension=name,
            limit=getattr(rates, name),
            full=getattr(full, name),
            level=getattr(levels, name),
            reserved=reserved[name],
        )
        for name in reserved
    )
    most = rates.concurrency
    return (
        *paced,
        Dimension(dimension="concurrency", limit=most, full=most, level=most - calls, reserved=calls),
    )
