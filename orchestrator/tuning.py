"""Tuning: what an operator says an account allows. It holds from the next dispatch on, and outranks the catalog."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from contracts.limits import Dimension
from orchestrator import purses
from orchestrator.deciders.learning import Learned, burst_declared, limit_declared
from orchestrator.deciders.pacing import DAILY
from orchestrator.ledger import changes
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.tables import budget, budget_level
from orchestrator.problems import Conflict, Malformed, NotFound
from orchestrator.wake import ring


class OfAccount(StrEnum):
    """What is set for an account as a whole, beside the limits of its dimensions."""

    CONCURRENCY = "concurrency"
    """Calls at once."""
    BURST_SECONDS = "burst_seconds"
    """How much of an unused rate the vendor lets the account save up, in every dimension per minute."""


LARGEST_LIMIT = 1e12
LARGEST = {OfAccount.CONCURRENCY: 100_000.0, OfAccount.BURST_SECONDS: 86_400.0}

_DECLARE = (
    update(budget_level)
    .where(budget_level.c.key == bindparam("_key"), budget_level.c.dimension == bindparam("_dimension"))
    .values(
        declared_limit=bindparam("_declared_limit"),
        limit=bindparam("_limit"),
        declared_burst_seconds=bindparam("_declared_burst_seconds"),
        burst_seconds=bindparam("_burst_seconds"),
        seen_limit=bindparam("_seen_limit"),
    )
)


def set_limit(ledger: Ledger, key: str, name: str, value: float, by: str, reason: str) -> None:
    """Sets a dimension's limit per minute or per day, the calls at once, or the vendor's burst in seconds. What
    was learned of the old value is forgotten, and no level rises. Raises a Problem for a budget or a name that is
    not known, and for a value that cannot be."""
    with ledger.write() as connection:
        row = _locked(connection, key)
        old, new = _set(connection, row, name, value)
        changes.record(connection, by, changes.limit_of(key, name), old, new, reason)
        ring(connection)


def open_account(ledger: Ledger, key: str, by: str, reason: str) -> None:
    """Opens a closed account. What its vendor's overload taught stays: where a single probe was to go first, it
    does. Raises a Problem for a budget that is not known or not closed."""
    with ledger.write() as connection:
        row = _locked(connection, key)
        if row.closed_until is None or row.closed_until <= now(connection):
            raise Conflict(f"{key} is open already")
        opened = update(budget).where(budget.c.key == key).values(closed_until=None, closed_why="")
        connection.execute(opened)
        until = datetime.fromtimestamp(row.closed_until, UTC)
        old = f"until {until:%Y-%m-%d %H:%M:%S} UTC: {row.closed_why}"
        changes.record(connection, by, f"closing of {key}", old, "open", reason)
        ring(connection)


def _locked(connection: Connection, key: str) -> Any:
    """The budget's row, which nobody else changes until the transaction ends."""
    row = connection.execute(select(budget).where(budget.c.key == key).with_for_update()).one_or_none()
    if row is None:
        known = connection.execute(select(budget.c.key).order_by(budget.c.key)).scalars()
        raise NotFound(f"no budget “{key}”; known are: {', '.join(known)}")
    return row


def _set(connection: Connection, row: Any, name: str, value: float) -> tuple[str, str]:
    """Sets one of them; what it was and what it is, in words."""
    levels = connection.execute(select(budget_level).where(budget_level.c.key == row.key)).all()
    dimensions = {level.dimension for level in levels}
    paced = {Dimension(dimension) for dimension in dimensions} - DAILY
    settable = [*sorted(dimensions), *(of for of in OfAccount if paced or of is not OfAccount.BURST_SECONDS)]
    if name not in settable:
        raise Malformed(f"dimension: {row.key} has no “{name}”; it has: {', '.join(settable)}")
    _check(name, value)
    if name == OfAccount.CONCURRENCY:
        statement = update(budget).where(budget.c.key == row.key)
        connection.execute(statement.values(concurrency=int(value)))
        return str(row.concurrency), str(int(value))
    if name == OfAccount.BURST_SECONDS:
        before = _redeclare(connection, row, levels, paced, burst_declared, value)
        bursts = {_told(was.declared_burst_seconds, was.burst_seconds) for was in before}
        return " or ".join(sorted(bursts)), _told(value, value)
    (was,) = _redeclare(connection, row, levels, {Dimension(name)}, limit_declared, value)
    return _told(was.declared_limit, was.limit), _told(value, value)


def _check(name: str, value: float) -> None:
    largest = LARGEST[OfAccount(name)] if name in [*OfAccount] else LARGEST_LIMIT
    if not 0 < value <= largest:
        raise Malformed(f"value: {name} lies above 0 and at most at {largest:,.0f}, and this is {value:g}")
    if name == OfAccount.CONCURRENCY and value != int(value):
        raise Malformed(f"value: {name} is a whole number of calls, and this is {value:g}")


def _redeclare(
    connection: Connection,
    row: Any,
    levels: Collection[Any],
    dimensions: Collection[Dimension],
    declared: Callable[[Dimension, Learned, float], Learned],
    value: float,
) -> list[Learned]:
    """Declares a value for some dimensions and answers what they were. The levels are first brought up to now,
    or the time since then would be refilled at the rate that is only set here."""
    at = now(connection)
    purse = purses.purse_of(row, purses.buckets_of(levels), 0, at)
    kept = {Dimension(level.dimension): level for level in levels}
    before = {name: purses.learned_of(kept[name], purse.buckets[name]) for name in dimensions}
    after = {name: declared(name, was, value) for name, was in before.items()}
    buckets = {**purse.buckets, **{name: learned.bucket for name, learned in after.items()}}
    purses.write_levels(connection, {row.key: replace(purse, buckets=buckets)}, at)
    connection.execute(_DECLARE, [_declaring(row.key, name, learned) for name, learned in after.items()])
    return list(before.values())


def _declaring(key: str, dimension: Dimension, learned: Learned) -> dict[str, Any]:
    return {
        "_key": key,
        "_dimension": dimension,
        "_declared_limit": learned.declared_limit,
        "_limit": learned.limit,
        "_declared_burst_seconds": learned.declared_burst_seconds,
        "_burst_seconds": learned.burst_seconds,
        "_seen_limit": learned.seen_limit,
    }


def _told(declared: float, learned: float) -> str:
    return f"{declared:,.6g}" + ("" if learned == declared else f" (learned: {learned:,.6g})")
