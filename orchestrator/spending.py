"""Spending: the caps as their decider sees them, and the books that they are held against.

What was spent stands in running totals, kept in the transaction that ends an attempt; what is reserved is read
from the open attempts. So the cost of a look does not grow with history.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, select, true, tuple_, update

from contracts.purposes import Purpose
from contracts.states import SubtaskState
from orchestrator.deciders.handing import purpose_of_try
from orchestrator.deciders.spending import Cap, Charge, Parked, Period, Scope, fitting, worst_input
from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.moves import SubtaskMove
from orchestrator.ledger.tables import attempt, job, spending, spending_cap, subtask
from orchestrator.prices import worst_case

DAY_SECONDS = 86400
SPENT = case(
    (
        attempt.c.ambiguous & (attempt.c.reserved_nano_usd > attempt.c.cost_nano_usd),
        attempt.c.reserved_nano_usd,
    ),
    else_=attempt.c.cost_nano_usd,
)
"""What an attempt that ended has spent: where nobody knows, its worst case."""
HELD = subtask.c.state == SubtaskState.PARKED, subtask.c.capped_by.is_not(None), subtask.c.ended_at.is_(None)
"""What is parked by a cap."""

_ADD = (
    update(spending)
    .where(
        spending.c.scope == bindparam("_scope"),
        spending.c.name == bindparam("_name"),
        spending.c.period == bindparam("_period"),
    )
    .values(nano_usd=spending.c.nano_usd + bindparam("_nano_usd"))
)
_ADD_TO_JOB = (
    update(job)
    .where(job.c.id == bindparam("_id"))
    .values(spent_nano_usd=job.c.spent_nano_usd + bindparam("_spent"))
)


def next_day(at: float) -> float:
    """When the day of `at` is over."""
    return (at // DAY_SECONDS + 1) * DAY_SECONDS


def spent(row: Any, columns: Mapping[str, Any]) -> int:
    """Nano-dollars that an attempt has spent which ends with these columns, as `SPENT` will say once they are
    written."""
    cost = int(columns.get("cost_nano_usd", 0))
    return max(cost, int(row.reserved_nano_usd)) if columns.get("ambiguous") else cost


def of_subtask(connection: Connection, subtask_id: str) -> int:
    """Nano-dollars that the attempts of a subtask have spent which ended."""
    query = select(func.coalesce(func.sum(SPENT), 0)).where(
        attempt.c.subtask_id == subtask_id, attempt.c.ended_at.is_not(None)
    )
    return int(connection.execute(query).scalar_one())


def book(connection: Connection, attempt_ids: Iterable[str], at: float) -> None:
    """Adds what these attempts, which ended now, have spent to the running totals: of their jobs on the rows
    themselves, and on the books of those that have a cap of their own."""
    ids = list(attempt_ids)
    capped = _capped(connection, ids)
    keys = attempt.c.lane, attempt.c.purpose, attempt.c.job_id, subtask.c.tenant
    rows = connection.execute(
        select(*keys, func.sum(SPENT).label("spent"))
        .join(subtask, subtask.c.id == attempt.c.subtask_id)
        .where(attempt.c.id.in_(ids))
        .group_by(*keys)
    )
    added, by_job = Counter[tuple[str, str, str]](), Counter[str]()
    for row in rows:
        by_job[row.job_id] += int(row.spent)
        names = Charge(row.tenant, row.lane, row.purpose, row.job_id, int(row.spent)).names()
        for scope in (Scope.FLEET, Scope.TENANT, Scope.LANE, Scope.PURPOSE):
            for period in Period:
                added[scope, names[scope], _period(period, at)] += int(row.spent)
        if row.job_id in capped:
            added[Scope.JOB, row.job_id, Period.TOTAL] += int(row.spent)
    found = [
        {"scope": scope, "name": name, "period": period, "nano_usd": spent}
        for (scope, name, period), spent in sorted(added.items())
        if spent
    ]
    of_jobs = [{"_id": job_id, "_spent": spent} for job_id, spent in sorted(by_job.items()) if spent]
    if of_jobs:
        connection.execute(_ADD_TO_JOB, of_jobs)
    if found:
        insert_missing(connection, spending, [row | {"nano_usd": 0} for row in found])
        connection.execute(_ADD, [{f"_{column}": value for column, value in row.items()} for row in found])


def begin_job(connection: Connection, job_id: str) -> None:
    """Begins the running total of a job that gets a cap, with what its attempts have spent so far. Whoever calls
    holds the job's row, so that no attempt of it is booked meanwhile."""
    ended = attempt.c.job_id == job_id, attempt.c.ended_at.is_not(None)
    so_far = connection.execute(select(func.coalesce(func.sum(SPENT), 0)).where(*ended)).scalar_one()
    key = {"scope": Scope.JOB, "name": job_id, "period": Period.TOTAL}
    insert_missing(connection, spending, [key | {"nano_usd": 0}])
    this = [spending.c[column] == value for column, value in key.items()]
    connection.execute(update(spending).where(*this).values(nano_usd=int(so_far)))


def _capped(connection: Connection, attempt_ids: list[str]) -> set[str]:
    """The jobs of these attempts that have a cap of their own. Their rows are held, so that a cap that somebody
    sets at this moment begins either before this booking or after it."""
    of_these = select(attempt.c.job_id).where(attempt.c.id.in_(attempt_ids))
    query = select(job.c.id, job.c.max_cost_nano_usd).where(job.c.id.in_(of_these)).order_by(job.c.id)
    rows = connection.execute(query.with_for_update(key_share=True))
    return {row.id for row in rows if row.max_cost_nano_usd is not None}


def caps(connection: Connection, at: float, of_jobs: Mapping[str, int]) -> dict[str, Cap]:
    """Every cap that is set, and those of the jobs given with their limits, as they stand. By key."""
    rows = connection.execute(select(spending_cap)).all()
    limits = [(Scope(row.scope), row.name, Period(row.period), row.limit_nano_usd) for row in rows]
    limits += [(Scope.JOB, job_id, Period.TOTAL, limit) for job_id, limit in of_jobs.items()]
    if not limits:
        return {}
    spent, reserved = _spent(connection, at, limits), _reserved(connection)
    found = [
        Cap(scope, name, period, limit, spent[scope, name, period], reserved[scope, name])
        for scope, name, period, limit in limits
    ]
    return {cap.key: cap for cap in found}


def caps_of(connection: Connection, at: float, keys: Iterable[str]) -> dict[str, Cap]:
    """The caps of these keys that are still set, with all others that are no job's own. By key."""
    return caps(connection, at, _job_limits(connection, keys))


def caps_for(connection: Connection, at: float, rows: Iterable[Any]) -> dict[str, Cap]:
    """The caps that candidates for dispatch may meet."""
    of_jobs = {row.job_id: row.max_cost_nano_usd for row in rows if row.max_cost_nano_usd is not None}
    return caps(connection, at, of_jobs)


def charge_of(row: Any, expected_tokens: int, at: float, share: float = 1.0) -> Charge:
    """What an attempt at this candidate may cost at most, at this share of the price of a live call. Of its input
    so many tokens are expected on the bill, cached or not, as a cache may be cold. A model without a price is
    refused by its worker before it is asked, and costs nothing."""
    tokens = worst_input(row.reserve_input_tokens, expected_tokens, row.tries, row.most_output_tokens)
    worst = worst_of(row.vendor, row.model, tokens, row.most_output_tokens, at)
    purpose = purpose_of_try(Purpose(row.purpose), row.tries + row.crashes)
    return Charge(row.tenant, row.lane, purpose, row.job_id, math.ceil(worst * share))


def worst_of(vendor: str, model: str, input_tokens: int, output_tokens: int, at: float) -> int:
    """Nano-dollars that a call costs at most; nothing where its model has no price, since then it is not made."""
    try:
        return worst_case(vendor, model, input_tokens, output_tokens, at)
    except LookupError:
        return 0


def park(row: Any, parked: Parked, charge: Charge) -> SubtaskMove:
    """The move of a candidate that a cap has no room for."""
    sets = {"held_by": parked.why[:200], "capped_by": parked.cap.key, "worst_nano_usd": charge.worst}
    return SubtaskMove(row.id, row.job_id, SubtaskState.READY, SubtaskState.PARKED, parked.why, sets)


def releases(connection: Connection, at: float, among: ColumnElement[bool], most: int) -> list[SubtaskMove]:
    """The moves of what a cap had parked and has room for again: it was raised or removed, its day has turned,
    or running work has settled. The most urgent and oldest first, as many as fit together."""
    least = select(subtask.c.capped_by, func.min(subtask.c.worst_nano_usd).label("worst")).where(*HELD, among)
    held = {row.capped_by: row.worst for row in connection.execute(least.group_by(subtask.c.capped_by))}
    if not held:
        return []
    found = caps_of(connection, at, held)
    moves: list[SubtaskMove] = []
    for key, worst in held.items():
        cap = found.get(key)
        if cap is None or worst <= cap.free:
            moves += _released(connection, at, key, cap, among, most - len(moves))
    return moves


def _released(
    connection: Connection, at: float, key: str, cap: Cap | None, among: ColumnElement[bool], most: int
) -> list[SubtaskMove]:
    fits = true() if cap is None else subtask.c.worst_nano_usd <= cap.free
    rows = connection.execute(
        select(
            subtask.c.id,
            subtask.c.job_id,
            subtask.c.worst_nano_usd,
            subtask.c.ready_at,
            subtask.c.gate_seconds,
        )
        .where(*HELD, subtask.c.capped_by == key, fits, among)
        .order_by(subtask.c.priority.desc(), subtask.c.place, subtask.c.id)
        .limit(most)
    ).all()
    free = (
        {row.id for row in rows}
        if cap is None
        else set(fitting(cap, [(r.id, r.worst_nano_usd) for r in rows]))
    )
    why = "its spending cap was removed" if cap is None else "its spending cap has room again"
    return [
        SubtaskMove(row.id, row.job_id, SubtaskState.PARKED, SubtaskState.READY, why, _freed(row, at))
        for row in rows
        if row.id in free
    ]


def _freed(row: Any, at: float) -> dict[str, Any]:
    """What is written of a subtask that is released. It begins to wait anew, and what it waited is a gate's: from
    when it was ready, since nothing keeps when it was parked."""
    gate_seconds = row.gate_seconds + max(at - row.ready_at, 0.0)
    return {"held_by": None, "capped_by": None, "ready_at": at, "gate_seconds": gate_seconds}


def _job_limits(connection: Connection, keys: Iterable[str]) -> dict[str, int]:
    ids = [key.split("/")[1] for key in keys if key.startswith(f"{Scope.JOB}/")]
    if not ids:
        return {}
    query = select(job.c.id, job.c.max_cost_nano_usd).where(
        job.c.id.in_(ids), job.c.max_cost_nano_usd.is_not(None)
    )
    return {row.id: row.max_cost_nano_usd for row in connection.execute(query)}


def _spent(
    connection: Connection, at: float, limits: list[tuple[Scope, str, Period, int]]
) -> Counter[tuple[str, str, str]]:
    """By scope, name and period of the cap."""
    wanted = {(scope, name, _period(period, at)): period for scope, name, period, _ in limits}
    found = Counter[tuple[str, str, str]]()
    query = select(spending).where(tuple_(spending.c.scope, spending.c.name, spending.c.period).in_(wanted))
    for row in connection.execute(query):
        key = Scope(row.scope), row.name, row.period
        found[row.scope, row.name, wanted[key]] = row.nano_usd
    return found


def _reserved(connection: Connection) -> Counter[tuple[str, str]]:
    """The worst case of every attempt under way, by scope and name."""
    keys = attempt.c.lane, attempt.c.purpose, attempt.c.job_id, subtask.c.tenant
    rows = connection.execute(
        select(*keys, func.sum(attempt.c.reserved_nano_usd).label("worst"))
        .join(subtask, subtask.c.id == attempt.c.subtask_id)
        .where(attempt.c.ended_at.is_(None))
        .group_by(*keys)
    )
    found = Counter[tuple[str, str]]()
    for row in rows:
        worst = int(row.worst)
        for scope, name in Charge(row.tenant, row.lane, row.purpose, row.job_id, worst).names().items():
            found[scope, name] += worst
    return found


def _period(period: Period, at: float) -> str:
    """The period as the books name it."""
    return "total" if period is Period.TOTAL else datetime.fromtimestamp(at, UTC).date().isoformat()
