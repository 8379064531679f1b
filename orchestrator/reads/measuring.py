"""Measuring: where the time of a trailing window went. Reads by open rows and by ids of the window, so that the
length of the history costs nothing."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, literal, select

from contracts.catalog import Catalog
from contracts.failures import Code
from contracts.purposes import Purpose
from contracts.states import AttemptState, SubtaskState
from orchestrator.deciders.diagnosing import PATIENCE_SECONDS
from orchestrator.deciders.losses import Allowance, Cause, LaneLoad, Measured, Spent, Wait
from orchestrator.ledger.tables import approval, attempt, subtask
from orchestrator.purses import scope_of
from orchestrator.reads.budgets import BudgetRead, budgets
from orchestrator.reads.ids import first_id
from orchestrator.reads.questions import questions
from orchestrator.reads.workers import live_workers

Number = ColumnElement[float]


def measured(
    connection: Connection, catalog: Catalog, lease_seconds: float, at: float, window_seconds: float
) -> Measured:
    """What was waited for and worked on in the `window_seconds` before `at`."""
    since = at - window_seconds
    accounts = budgets(connection)
    granted = list(connection.execute(_granted(since, at)))
    ready = list(connection.execute(_ready(since, at)))
    scopes = {each.key: scope_of(each.vendor, each.group) for each in accounts}
    return Measured(
        window_seconds=window_seconds,
        granted=sum(row.total for row in granted),
        backoff_seconds=sum(float(row.backoff or 0.0) for row in (*granted, *ready)),
        waits=(
            *_waits_of_attempts(granted, scopes),
            *_waits_of_ready(ready),
            *_parked(connection, since, at),
        ),
        lanes=_lanes(connection, catalog, lease_seconds, since, at, granted, ready),
        allowances=_allowances(accounts),
        spent=_spent(connection, since, scopes),
        questions=questions(connection, since, at),
    )


def _granted(since: float, at: float) -> Any:
    """Attempts granted in the window, with what came before the grant and between grant and claim. Each wait
    is cut to the part of it that lies in the window, by the moment at which it ended."""
    taken = func.coalesce(attempt.c.claimed_at, attempt.c.ended_at, literal(at))
    before = attempt.c.queue_seconds - case(
        (attempt.c.claimed_at.is_not(None), attempt.c.claimed_at - attempt.c.granted_at), else_=0.0
    )
    queue, budget = before + taken - attempt.c.granted_at, attempt.c.budget_seconds
    rested = attempt.c.granted_at - before - budget
    return (
        select(
            attempt.c.lane,
            attempt.c.purpose,
            attempt.c.budget,
            func.count().label("total"),
            func.count(case((attempt.c.state == AttemptState.RETURNED, 1))).label("returned"),
            func.count(subtask.c.repeat_key).label("repeatable"),
            func.sum(_within(attempt.c.backoff_seconds, rested, since)).label("backoff"),
            func.count(case((and_(attempt.c.claimed_at.is_(None), attempt.c.ended_at.is_(None), _long(queue)), 1)))
            .label("still"),
            *_long_waits("queue", queue, taken, since),
            *_long_waits("held", budget, attempt.c.granted_at, since),
        )
        .join(subtask, subtask.c.id == attempt.c.subtask_id)
        .where(attempt.c.id >= first_id(since), attempt.c.granted_at >= since)
        .group_by(attempt.c.lane, attempt.c.purpose, attempt.c.budget)
    )  # fmt: skip


def _ready(since: float, at: float) -> Any:
    """What is ready and was not granted yet, by what holds it."""
    due = case((subtask.c.not_before > subtask.c.ready_at, subtask.c.not_before), else_=subtask.c.ready_at)
    begun = case((due > at, literal(at)), else_=due)
    keys = [subtask.c[name] for name in ("lane", "purpose", "budget", "held_by")]
    return (
        select(
            *keys,
            func.count(subtask.c.repeat_key).label("repeatable"),
            func.sum(_within(begun - subtask.c.ready_at, begun, since)).label("backoff"),
            *_long_waits("wait", literal(at) - begun, literal(at), since),
        )
        .where(subtask.c.state == SubtaskState.READY, subtask.c.ended_at.is_(None))
        .group_by(*keys)
    )


def _parked(connection: Connection, since: float, at: float) -> Iterator[Wait]:
    """What is parked and asks nobody. Nothing keeps the moment of parking, so it counts from the time it was
    ready."""
    asks = exists().where(approval.c.subtask_id == subtask.c.id)
    rows = connection.execute(
        select(
            subtask.c.lane,
            subtask.c.purpose,
            subtask.c.why.label("held_by"),
            *_long_waits("wait", literal(at) - subtask.c.ready_at, literal(at), since),
        )
        .where(
            subtask.c.state == SubtaskState.PARKED,
            subtask.c.ended_at.is_(None),
            subtask.c.ready_at.is_not(None),
            subtask.c.lane.is_not(None),
            ~asks,
        )
        .group_by(subtask.c.lane, subtask.c.purpose, subtask.c.why)
    )
    return (
        _wait(Cause.HOLD, row, "wait", None, row.wait_count, row.held_by) for row in rows if row.wait_count
    )


def _waits_of_attempts(rows: list[Any], scopes: dict[str, str]) -> Iterator[Wait]:
    for row in rows:
        scope = scopes.get(row.budget, row.budget)
        if row.queue_count:
            yield _wait(Cause.WORKERS, row, "queue", scope, row.still)
        if row.held_count:
            yield _wait(Cause.BUDGET, row, "held", scope)


def _waits_of_ready(rows: list[Any]) -> Iterator[Wait]:
    for row in rows:
        if row.wait_count:
            cause = Cause.BUDGET if row.held_by else Cause.WORKERS
            yield _wait(cause, row, "wait", row.budget, row.wait_count, row.held_by or "")


def _wait(cause: Cause, row: Any, name: str, scope: str | None, still: int = 0, held_by: str = "") -> Wait:
    return Wait(
        cause=cause,
        lane=row.lane,
        purpose=Purpose(row.purpose),
        scope=scope,
        count=getattr(row, f"{name}_count"),
        seconds=float(getattr(row, f"{name}_sum")),
        longest_seconds=float(getattr(row, f"{name}_longest")),
        still=still,
        held_by=held_by,
    )


def _lanes(
    connection: Connection,
    catalog: Catalog,
    lease_seconds: float,
    since: float,
    at: float,
    granted: list[Any],
    ready: list[Any],
) -> dict[str, LaneLoad]:
    """Every lane of the catalog, and every other one that has work."""
    busy = _busy(connection, since, at)
    workers, repeatable, returned = live_workers(connection, lease_seconds), set(), defaultdict[str, int](int)
    for row in (*granted, *ready):
        repeatable |= {row.lane} if row.repeatable else set()
    for row in granted:
        returned[row.lane] += row.returned
    loads = {}
    for lane in {*catalog.lanes, *(row.lane for row in (*granted, *ready))}:
        serving = [worker for worker in workers if lane in worker.lanes]
        card = catalog.lanes.get(lane)
        loads[lane] = LaneLoad(
            workers=len(serving),
            slots=sum(worker.slots for worker in serving),
            busy=sum(busy.get(worker.id, 0.0) for worker in serving),
            returned=returned[lane],
            tier=card.model.tier if card and card.model else None,
            repeatable=lane in repeatable,
        )
    return loads


def _busy(connection: Connection, since: float, at: float) -> dict[str, float]:
    """How many attempts each worker had in hand: on average, or at this moment where that is more."""
    freed = func.coalesce(attempt.c.reported_at, attempt.c.ended_at, literal(at))
    running = and_(attempt.c.state == AttemptState.RUNNING, attempt.c.ended_at.is_(None))
    rows = connection.execute(
        select(
            attempt.c.worker,
            func.sum(_within(freed - attempt.c.claimed_at, freed, since)).label("seconds"),
            func.count(case((running, 1))).label("running"),
        )
        .where(attempt.c.id >= first_id(since), attempt.c.claimed_at.is_not(None), freed > since)
        .group_by(attempt.c.worker)
    )
    return {row.worker: max(float(row.seconds) / (at - since), float(row.running)) for row in rows}


def _allowances(accounts: tuple[BudgetRead, ...]) -> dict[str, Allowance]:
    together: dict[str, list[BudgetRead]] = defaultdict(list)
    for account in accounts:
        together[scope_of(account.vendor, account.group)].append(account)
    return {scope: _allowance(own) for scope, own in together.items()}


def _allowance(accounts: list[BudgetRead]) -> Allowance:
    limits, left = defaultdict[str, float](float), dict[str, float]()
    for each in (part for account in accounts for part in account.dimensions):
        name = each.dimension.replace("_", " ")
        limits[name] += each.limit
        left[name] = max(left.get(name, float("-inf")), each.level / each.full if each.full else 0.0)
    closed = [account.closed_why for account in accounts if account.closed_until]
    return Allowance(
        keys=tuple(account.key for account in accounts),
        dimensions=tuple(sorted(left, key=lambda name: left[name])),
        limits=dict(limits),
        closed=closed[0] if len(closed) == len(accounts) else "",
    )


def _spent(connection: Connection, since: float, scopes: dict[str, str]) -> tuple[Spent, ...]:
    """Attempts that ended in the window; one that ran for longer than an hour is not among them."""
    keys = [attempt.c[name] for name in ("lane", "purpose", "budget", "vendor", "code")]
    sums = [
        func.sum(attempt.c[name]).label(name)
        for name in ("worker_seconds", "input_tokens", "cached_input_tokens", "output_tokens")
    ]
    rows = connection.execute(
        select(*keys, func.count().label("total"), *sums)
        .where(
            attempt.c.id >= first_id(since),
            attempt.c.ended_at >= since,
            attempt.c.state.in_([AttemptState.SETTLED, AttemptState.LOST]),
        )
        .group_by(*keys)
    )
    return tuple(
        Spent(
            lane=row.lane,
            purpose=Purpose(row.purpose),
            attempts=row.total,
            worker_seconds=float(row.worker_seconds),
            scope=scopes.get(row.budget, row.budget),
            vendor=row.vendor,
            code=Code(row.code) if row.code else None,
            input_tokens=int(row.input_tokens),
            cached_tokens=int(row.cached_input_tokens),
            output_tokens=int(row.output_tokens),
        )
        for row in rows
    )


def _long_waits(name: str, seconds: Number, ended_at: Number, since: float) -> list[ColumnElement[Any]]:
    """How many waits were longer than pacing explains, their seconds in the window and the longest."""
    return [
        func.count(case((_long(seconds), 1))).label(f"{name}_count"),
        func.sum(case((_long(seconds), _within(seconds, ended_at, since)), else_=0.0)).label(f"{name}_sum"),
        func.max(seconds).label(f"{name}_longest"),
    ]


def _long(seconds: Number) -> ColumnElement[bool]:
    return seconds > PATIENCE_SECONDS


def _within(seconds: Number, ended_at: Number, since: float) -> Number:
    """The part of a stretch of time, known by its length and its end, that lies behind `since`."""
    behind = ended_at - since
    return case((behind <= 0, 0.0), (seconds < behind, seconds), else_=behind)
