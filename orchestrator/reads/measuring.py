"""Measuring: where the time of a trailing window went. Reads by open rows and by ids of the window, so that the
length of the history costs nothing."""

from collections import Counter, defaultdict
from typing import Any

from sqlalchemy import Connection, and_, case, func, literal, select

from contracts.catalog import Catalog
from contracts.failures import Code
from contracts.purposes import Purpose
from contracts.states import AttemptState
from orchestrator.deciders.blaming import CALLS_AT_ONCE
from orchestrator.deciders.losses import Allowance, LaneLoad, Measured, Spent
from orchestrator.ledger.tables import attempt
from orchestrator.purses import scope_of
from orchestrator.reads import waited
from orchestrator.reads.budgets import BudgetRead, budgets
from orchestrator.reads.ids import first_id
from orchestrator.reads.questions import questions
from orchestrator.reads.waited import within
from orchestrator.reads.workers import WorkerRead, live_workers


def measured(
    connection: Connection, catalog: Catalog, lease_seconds: float, at: float, window_seconds: float
) -> Measured:
    """What was waited for and worked on in the `window_seconds` before `at`."""
    since = at - window_seconds
    accounts = budgets(connection)
    granted, ready = waited.granted(connection, since, at), waited.ready(connection, since, at)
    scopes = {each.key: scope_of(each.vendor, each.group) for each in accounts}
    return Measured(
        window_seconds=window_seconds,
        granted=sum(row.total for row in granted),
        backoff_seconds=sum(float(row.backoff or 0.0) for row in (*granted, *ready)),
        waits=(
            *waited.waits_of_granted(granted, scopes),
            *waited.waits_of_ready(ready),
            *waited.parked(connection, since, at),
        ),
        lanes=_lanes(
            catalog,
            live_workers(connection, lease_seconds),
            _busy(connection, since, at),
            _returned(granted),
            {row.lane for row in (*granted, *ready)},
        ),
        allowances=_allowances(accounts),
        spent=_spent(connection, since, scopes),
        questions=questions(connection, since, at),
    )


def _returned(granted: list[Any]) -> Counter[str]:
    """Attempts that nobody claimed in time, by lane."""
    returned = Counter[str]()
    for row in granted:
        returned[row.lane] += row.returned
    return returned


def _lanes(
    catalog: Catalog,
    workers: tuple[WorkerRead, ...],
    busy: dict[str, float],
    returned: Counter[str],
    used: set[str],
) -> dict[str, LaneLoad]:
    """Every lane of the catalog, and every other one that was used."""
    loads = {}
    for lane in {*catalog.lanes, *used}:
        serving = [worker for worker in workers if lane in worker.lanes]
        card = catalog.lanes.get(lane)
        loads[lane] = LaneLoad(
            workers=len(serving),
            slots=sum(worker.slots for worker in serving),
            busy=sum(busy.get(worker.id, 0.0) for worker in serving),
            returned=returned[lane],
            tier=card.model.tier if card and card.model else None,
            repeatable=card is not None and card.repeatable,
        )
    return loads


def _busy(connection: Connection, since: float, at: float) -> dict[str, float]:
    """How many attempts each worker had in hand: on average, or at this moment where that is more."""
    freed = func.coalesce(attempt.c.reported_at, attempt.c.ended_at, literal(at))
    running = and_(attempt.c.state == AttemptState.RUNNING, attempt.c.ended_at.is_(None))
    rows = connection.execute(
        select(
            attempt.c.worker,
            func.sum(within(freed - attempt.c.claimed_at, freed, since)).label("seconds"),
            func.count(case((running, 1))).label("running"),
        )
        .where(
            attempt.c.id >= first_id(since),
            attempt.c.claimed_at.is_not(None),
            attempt.c.vendor_batch_id.is_(None),  # what waits for a batch is in nobody's hand
            freed > since,
        )
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
        declared_calls=sum(
            part.declared
            for account in accounts
            for part in account.dimensions
            if part.dimension == CALLS_AT_ONCE
        ),
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
