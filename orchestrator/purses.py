"""Purses: budget rows as the deciders see them. The rows outlive the catalog that seeded them, and outrank it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from sqlalchemy import Connection, Select, bindparam, case, func, or_, select, update

from contracts.catalog import Catalog
from contracts.limits import Dimension
from contracts.states import AttemptState
from contracts.vendors import Charging, Limits, Vendor
from orchestrator.deciders.feedback import Memory
from orchestrator.deciders.learning import Learned
from orchestrator.deciders.overload import most_in_flight
from orchestrator.deciders.pacing import DAILY, Bucket, Purse, full, per_second, refilled
from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.tables import attempt, budget, budget_level

RETIRED = "its account is no longer in the catalog"
RETIRED_UNTIL = 9e9
"""Long after anybody who reads this; nothing else closes a budget for longer than `LONGEST_CLOSED_SECONDS`."""
FIRST_BURST_SECONDS = 5.0
"""Of the vendor's burst, what is relied on before it was tried; the rest is climbed to as after a refusal."""
LONGEST_CLOSED_SECONDS = 90_000.0
"""A day, and an hour for clocks that differ: the quota of a day is what takes longest to come back."""


def key_of(vendor: str, account: str, group: str) -> str:
    """The key of one account's budget for one group of models."""
    return f"{vendor}/{account}/{group}"


def account_of(key: str) -> str:
    """The account in a budget's key."""
    return key.split("/", 2)[1]


def same_account(key: str, other: str) -> bool:
    """Whether two budgets' keys name one account of one vendor."""
    return key.split("/", 2)[:2] == other.split("/", 2)[:2]


def scope_of(vendor: str, group: str) -> str:
    """What work draws on before an account was chosen for it."""
    return f"{vendor}/{group}"


def seed(connection: Connection, catalog: Catalog, at: float) -> None:
    """Writes a budget for every account and group of the catalog that has none yet, and closes those that the
    catalog no longer names. Orchestrators that start together all try; whoever is first stands."""
    wanted = [
        (vendor, account, name, group.limits)
        for vendor in catalog.vendors.values()
        for account in vendor.accounts
        for name, group in vendor.groups.items()
    ]
    insert_missing(
        connection,
        budget,
        [_row(vendor, account, name, limits, at) for vendor, account, name, limits in wanted],
    )
    insert_missing(
        connection,
        budget_level,
        [
            _level(key_of(vendor.vendor, account, name), dimension, limit, limits.burst_seconds)
            for vendor, account, name, limits in wanted
            for dimension, limit in limits.by_dimension().items()
        ],
    )
    named = budget.c.key.in_([key_of(vendor.vendor, account, name) for vendor, account, name, _ in wanted])
    retired = update(budget).where(~named)
    connection.execute(retired.values(closed_until=RETIRED_UNTIL, closed_why=RETIRED))
    back = update(budget).where(named, budget.c.closed_why == RETIRED)
    connection.execute(back.values(closed_until=None, closed_why=""))


def _row(vendor: Vendor, account: str, group: str, limits: Limits, at: float) -> dict[str, Any]:
    return {
        "key": key_of(vendor.vendor, account, group),
        "vendor": vendor.vendor,
        "account": account,
        "group": group,
        "charging": vendor.charging.model_dump(mode="json"),
        "concurrency": limits.concurrency,
        "refilled_at": at,
    }


def _level(key: str, dimension: Dimension, limit: float, burst_seconds: float) -> dict[str, Any]:
    first = min(burst_seconds, FIRST_BURST_SECONDS)
    return {
        "key": key,
        "dimension": dimension,
        "declared_limit": limit,
        "limit": limit,
        "declared_burst_seconds": burst_seconds,
        "burst_seconds": first,
        "level": _first_level(dimension, Bucket(limit, first, 0.0)),
    }


def _first_level(dimension: Dimension, bucket: Bucket) -> float:
    """A day is there whole. Of what refills only a second's worth: nobody knows yet what others have used, or
    how little the vendor really lets an account save up."""
    most = full(dimension, bucket)
    return most if dimension in DAILY else min(max(per_second(dimension, bucket), 1.0), most)


def read_purses(connection: Connection, at: float, in_flight: Mapping[str, int]) -> dict[str, Purse]:
    """All budgets as they stand at this moment, refilled, and locked until the transaction ends."""
    _mend(connection, at)
    return _purses(connection, select(budget).with_for_update(), at, in_flight)


def look(connection: Connection, at: float, in_flight: Mapping[str, int]) -> dict[str, Purse]:
    """All budgets as they stand at this moment, refilled, without a lock."""
    return _purses(connection, select(budget), at, in_flight)


def _purses(
    connection: Connection, query: Select[Any], at: float, in_flight: Mapping[str, int]
) -> dict[str, Purse]:
    rows = connection.execute(query.order_by(budget.c.key)).all()
    levels: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(select(budget_level)):
        levels[row.key].append(row)
    return {
        row.key: purse_of(row, buckets_of(levels[row.key]), in_flight.get(row.key, 0), at) for row in rows
    }


def calls_under_way(connection: Connection) -> dict[str, int]:
    """The attempts that are granted and not answered, by the budget that pays for them."""
    query = (
        select(attempt.c.budget, func.count().label("calls"))
        .where(
            attempt.c.budget.is_not(None),
            attempt.c.ended_at.is_(None),
            attempt.c.state.in_([AttemptState.DISPATCHED, AttemptState.RUNNING]),
        )
        .group_by(attempt.c.budget)
    )
    return {row.budget: row.calls for row in connection.execute(query)}


def _mend(connection: Connection, at: float) -> None:
    """Moments that lie too far ahead were written by a clock that has since been set back: until it caught up
    nothing would refill, and nothing would open."""
    ahead = budget.c.refilled_at > at
    shut = (budget.c.closed_until > at + LONGEST_CLOSED_SECONDS) & (budget.c.closed_why != RETIRED)
    connection.execute(
        update(budget)
        .where(or_(ahead, shut))
        .values(
            refilled_at=case((ahead, at), else_=budget.c.refilled_at),
            closed_until=case((shut, at + LONGEST_CLOSED_SECONDS), else_=budget.c.closed_until),
        )
    )


def buckets_of(rows: Iterable[Any]) -> dict[Dimension, Bucket]:
    """The dimensions of one budget, as of when it was last refilled."""
    return {Dimension(row.dimension): Bucket(row.limit, row.burst_seconds, row.level) for row in rows}


def learned_of(row: Any, bucket: Bucket) -> Learned:
    """What was declared and learned of one dimension, with its bucket as refilled."""
    return Learned(
        declared_limit=row.declared_limit,
        limit=bucket.limit,
        declared_burst_seconds=row.declared_burst_seconds,
        burst_seconds=bucket.burst_seconds,
        level=bucket.level,
        seen_limit=row.seen_limit,
        seen_remaining=row.seen_remaining,
        seen_at=row.seen_at,
    )


def purse_of(row: Any, buckets: Mapping[Dimension, Bucket], in_flight: int, at: float) -> Purse:
    """The budget of a row as it stands at this moment, refilled."""
    charging = Charging.model_validate(row.charging)
    purse = Purse(
        key=row.key,
        scope=scope_of(row.vendor, row.group),
        charging=charging,
        buckets=buckets,
        concurrency=most_in_flight(memory_of(row).ceiling, row.concurrency),
        in_flight=in_flight,
        closed_seconds=max((row.closed_until or 0) - at, 0.0),
        closed_why=row.closed_why,
    )
    return refilled(purse, at - row.refilled_at, _another_day(row.refilled_at, at, charging.day_begins_in))


def memory_of(row: Any) -> Memory:
    """What a budget's row remembers of its vendor's answers."""
    try:
        # Newer code beside this one may remember more; what this code cannot read at all is learned anew.
        return Memory.model_validate(row.memory or {}, extra="ignore")
    except ValidationError:
        return Memory()


def is_away(connection: Connection, key: str | None) -> bool:
    """Whether the vendor behind a budget was known to be away before what is decided now was heard."""
    row = connection.execute(select(budget.c.memory).where(budget.c.key == key)).one_or_none()
    return row is not None and memory_of(row).is_away


def _another_day(before: float, at: float, zone: str) -> bool:
    there = ZoneInfo(zone)
    return datetime.fromtimestamp(at, there).date() > datetime.fromtimestamp(before, there).date()


def day_left_seconds(at: float, zone: str) -> float:
    """How long it is until the next midnight of a time zone."""
    there = datetime.fromtimestamp(at, ZoneInfo(zone))
    midnight = datetime.combine(there.date() + timedelta(days=1), time(), there.tzinfo)
    return midnight.timestamp() - at


_WRITE_LEVEL = (
    update(budget_level)
    .where(budget_level.c.key == bindparam("_key"), budget_level.c.dimension == bindparam("_dimension"))
    .values(level=bindparam("_level"))
)
_WRITE_REFILLED = update(budget).where(budget.c.key == bindparam("_key")).values(refilled_at=bindparam("_at"))


def write_levels(connection: Connection, changed: Mapping[str, Purse], at: float) -> None:
    """Keeps the levels as of now."""
    if not changed:
        return
    levels = [
        {"_key": key, "_dimension": dimension, "_level": bucket.level}
        for key, purse in changed.items()
        for dimension, bucket in purse.buckets.items()
    ]
    connection.execute(_WRITE_LEVEL, levels)
    connection.execute(_WRITE_REFILLED, [{"_key": key, "_at": at} for key in changed])
