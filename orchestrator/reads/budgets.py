"""Budgets: what each vendor account allows, what is left of it now, and what is taken."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, func, select

from contracts.limits import Dimension as Limited
from contracts.states import AttemptState
from contracts.vendors import Charging
from orchestrator import purses
from orchestrator.deciders.charging import Reserved, reservation
from orchestrator.deciders.overload import Phase
from orchestrator.deciders.pacing import DAILY, Purse, full
from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import attempt, budget, budget_level
from orchestrator.reads.base import Read, moment, moment_or_none


class Dimension(Read):
    """One thing that an account limits."""

    dimension: str
    """``requests``, ``input_tokens``, ``output_tokens`` or ``tokens`` (per minute), ``requests_per_day`` or
    ``tokens_per_day``, or ``concurrency`` (calls at once)."""
    limit: float
    """What is used of it, as learned; never above what was declared."""
    declared: float
    """What the catalog or an operator says."""
    burst_seconds: float | None = None
    """How much of an unused rate the vendor lets an account save up, as learned; None where nothing refills."""
    declared_burst_seconds: float | None = None
    full: float
    """The most that can be saved up, which is the largest burst."""
    level: float
    """What may be used now; below zero where more was used than was reserved."""
    reserved: float
    """What attempts under way have taken and not yet settled."""
    seen_limit: float | None = None
    """What the vendor's last answer named as the limit; None where it never named one."""
    seen_remaining: float | None = None
    seen_at: datetime | None = None


class BudgetRead(Read):
    """One budget at this moment."""

    key: str
    vendor: str
    account: str
    group: str
    dimensions: tuple[Dimension, ...]
    in_flight: int
    """Calls that are granted and not yet reported."""
    closed_until: datetime | None
    """Nothing is granted before this moment; None where it is open."""
    closed_why: str
    ceiling: Phase | None = None
    """How the ceiling on concurrency moves, where the vendor's overload has lowered it; None where it has not."""
    heard_at: datetime | None = None
    """When the vendor last answered."""


def budgets(connection: Connection) -> tuple[BudgetRead, ...]:
    """All budgets by key, refilled to now by the database's clock."""
    at, taken, levels = now(connection), _taken(connection), _levels(connection)
    rows = connection.execute(select(budget).order_by(budget.c.key))
    return tuple(_read(row, levels.get(row.key, []), taken.get(row.key), at) for row in rows)


def _taken(connection: Connection) -> dict[str, Any]:
    """By budget. A call is over with its report, and its reservation is held until that is settled."""
    rows = connection.execute(
        select(
            attempt.c.budget,
            func.count().label("attempts"),
            func.count(case((attempt.c.state != AttemptState.REPORTED, 1))).label("calls"),
            func.sum(attempt.c.reserved_input_tokens).label("input_tokens"),
            func.sum(attempt.c.reserved_output_tokens).label("output_tokens"),
            func.sum(attempt.c.promised_output_tokens).label("promised_tokens"),
        )
        .where(
            attempt.c.ended_at.is_(None),
            attempt.c.budget.is_not(None),
            attempt.c.state.in_([AttemptState.DISPATCHED, AttemptState.RUNNING, AttemptState.REPORTED]),
        )
        .group_by(attempt.c.budget)
    )
    return {row.budget: row for row in rows}


def _levels(connection: Connection) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in connection.execute(select(budget_level).order_by(budget_level.c.dimension)):
        found.setdefault(row.key, []).append(row)
    return found


def _read(row: Any, levels: list[Any], taken: Any, at: float) -> BudgetRead:
    closed = row.closed_until is not None and row.closed_until > at
    calls = int(taken.calls) if taken else 0
    purse = purses.purse_of(row, purses.buckets_of(levels), calls, at)
    return BudgetRead(
        key=row.key,
        vendor=row.vendor,
        account=row.account,
        group=row.group,
        dimensions=(*_paced(purse, levels, taken), _concurrency(purse.concurrency, row.concurrency, calls)),
        in_flight=calls,
        closed_until=moment(row.closed_until) if closed else None,
        closed_why=row.closed_why if closed else "",
        ceiling=_lowered(row, purse.concurrency),
        heard_at=moment_or_none(row.heard_at),
    )


def _lowered(row: Any, most: int) -> Phase | None:
    ceiling = purses.memory_of(row).ceiling
    return ceiling.phase if ceiling and most < row.concurrency else None


def _paced(purse: Purse, levels: list[Any], taken: Any) -> tuple[Dimension, ...]:
    reserved = _reserved(purse.charging, taken)
    seen = {Limited(row.dimension): row for row in levels}
    return tuple(
        Dimension(
            dimension=name,
            limit=bucket.limit,
            declared=seen[name].declared_limit,
            burst_seconds=None if name in DAILY else bucket.burst_seconds,
            declared_burst_seconds=None if name in DAILY else seen[name].declared_burst_seconds,
            full=full(name, bucket),
            level=bucket.level,
            reserved=reserved.get(name, 0),
            seen_limit=seen[name].seen_limit,
            seen_remaining=seen[name].seen_remaining,
            seen_at=moment_or_none(seen[name].seen_at),
        )
        for name, bucket in purse.buckets.items()
    )


def _reserved(charging: Charging, taken: Any) -> dict[Limited, float]:
    """What the attempts under way hold. Together they hold what one with their sums would, requests apart."""
    if taken is None:
        return {}
    together = Reserved(int(taken.input_tokens), int(taken.output_tokens), int(taken.promised_tokens))
    requests = {Limited.REQUESTS: int(taken.attempts), Limited.REQUESTS_PER_DAY: int(taken.attempts)}
    return {**reservation(charging, together), **requests}


def _concurrency(most: int, declared: int, calls: int) -> Dimension:
    """Fewer than declared while the vendor is overloaded."""
    return Dimension(
        dimension="concurrency", limit=most, declared=declared, full=most, level=most - calls, reserved=calls
    )
