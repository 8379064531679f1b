"""Hearing: what vendors' answers teach of their accounts is kept in the budget rows, and said in events."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from contracts.limits import Dimension, ResponseKind, VendorSignal
from contracts.states import AttemptState
from orchestrator import escalations, purses
from orchestrator.deciders.charging import NOT_A_TOKEN, Reserved, reservation
from orchestrator.deciders.feedback import Account, Answer, Heard, hear
from orchestrator.deciders.pacing import Amount, Purse
from orchestrator.ledger import events
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.tables import attempt, budget, budget_level

_KEEP_LEVEL = (
    update(budget_level)
    .where(budget_level.c.key == bindparam("_key"), budget_level.c.dimension == bindparam("_dimension"))
    .values(
        limit=bindparam("_limit"),
        level=bindparam("_level"),
        burst_seconds=bindparam("_burst_seconds"),
        seen_limit=bindparam("_seen_limit"),
        seen_remaining=bindparam("_seen_remaining"),
        seen_at=bindparam("_seen_at"),
    )
)


@dataclass(frozen=True)
class Spoken:
    """A vendor's answer to one attempt. Both moments are the database's."""

    signal: VendorSignal
    granted_at: float
    answered_at: float
    reserved: Reserved
    is_missing: bool = False
    """Whether there was none, or an error that is no fault of what was asked."""
    heard_beside: bool = False
    """Said to another budget of the same account."""


_ACCOUNT_WIDE = frozenset({ResponseKind.SPEND_LIMITED, ResponseKind.UNAUTHORISED})
"""Money and keys belong to the account, whatever group of models the call was for."""


@dataclass
class _UnderWay:
    """What the attempts hold that are granted and not answered."""

    calls: int = 0
    unsent: Reserved = NOT_A_TOKEN
    all: Reserved = NOT_A_TOKEN


def listen(
    connection: Connection,
    known: Mapping[str, Purse],
    spoken: Mapping[str, list[Spoken]],
    at: float,
    actor: str,
) -> dict[str, Purse]:
    """The budgets that heard something in a batch, after its answers in the order in which they came; what they
    learned and their levels are kept. `known` are all budgets, locked and refilled to this moment."""
    spoken = _with_neighbours(known, spoken)
    keys = [key for key in spoken if key in known]
    if not keys:
        return {}
    rows = {row.key: row for row in connection.execute(select(budget).where(budget.c.key.in_(keys)))}
    seen: dict[str, dict[Dimension, Any]] = defaultdict(dict)
    for row in connection.execute(select(budget_level).where(budget_level.c.key.in_(keys))):
        seen[row.key][Dimension(row.dimension)] = row
    under_way = _under_way(connection, keys)
    heard = {}
    for key in keys:
        own = sum(not each.heard_beside for each in spoken[key])
        account = _account(rows[key], seen[key], known[key], under_way[key], own)
        account, said, calls = _hear_all(account, spoken[key], known[key], at)
        _keep(connection, key, account, at)
        _tell(connection, key, said, calls, at, actor)
        heard[key] = _purse(known[key], account, at)
    return heard


def _with_neighbours(
    known: Mapping[str, Purse], spoken: Mapping[str, list[Spoken]]
) -> Mapping[str, list[Spoken]]:
    """What was said, and what concerns a whole account told to each of its budgets."""
    wider: dict[str, list[Spoken]] = defaultdict(list, {key: list(said) for key, said in spoken.items()})
    for key, said in spoken.items():
        for each in said:
            if each.signal.kind in _ACCOUNT_WIDE:
                told = replace(each, signal=VendorSignal(kind=each.signal.kind), heard_beside=True)
                for neighbour in known:
                    if neighbour != key and purses.same_account(neighbour, key):
                        wider[neighbour].append(told)
    return wider


def _answer(spoken: Spoken, purse: Purse) -> Answer:
    return Answer(
        signal=spoken.signal,
        granted_at=spoken.granted_at,
        answered_at=spoken.answered_at,
        wanted=_amount(purse, spoken.reserved),
        is_missing=spoken.is_missing,
        day_left_seconds=purses.day_left_seconds(spoken.answered_at, purse.charging.day_begins_in),
    )


def _when(spoken: Spoken) -> float:
    return spoken.answered_at


def _hear_all(
    account: Account, spoken: Iterable[Spoken], purse: Purse, at: float
) -> tuple[Account, list[str], list[str]]:
    said: list[str] = []
    calls: list[str] = []
    for each in sorted(spoken, key=_when):
        heard: Heard = hear(account, _answer(each, purse), at)
        account = heard.account
        said += heard.said
        calls += [heard.call] if heard.call and not each.heard_beside else []
    return account, said, calls


def _account(
    row: Any, levels: Mapping[Dimension, Any], purse: Purse, under_way: _UnderWay, answers: int
) -> Account:
    return Account(
        dimensions={name: purses.learned_of(levels[name], bucket) for name, bucket in purse.buckets.items()},
        unsent=_amount(purse, under_way.unsent),
        reserved=_amount(purse, under_way.all),
        concurrency=row.concurrency,
        in_flight=under_way.calls + answers,  # nothing was granted while they came in together
        closed_until=row.closed_until,
        closed_why=row.closed_why,
        heard_at=row.heard_at,
        memory=purses.memory_of(row),
    )


def _amount(purse: Purse, reserved: Reserved) -> Amount:
    return reservation(purse.charging, reserved)


def _under_way(connection: Connection, keys: list[str]) -> dict[str, _UnderWay]:
    found: dict[str, _UnderWay] = defaultdict(_UnderWay)
    query = select(
        attempt.c.budget,
        attempt.c.state,
        attempt.c.reserved_input_tokens,
        attempt.c.reserved_output_tokens,
        attempt.c.promised_output_tokens,
    ).where(
        attempt.c.budget.in_(keys),
        attempt.c.ended_at.is_(None),
        attempt.c.state.in_([AttemptState.DISPATCHED, AttemptState.RUNNING]),
    )
    for row in connection.execute(query):
        own = Reserved(row.reserved_input_tokens, row.reserved_output_tokens, row.promised_output_tokens)
        under_way = found[row.budget]
        under_way.calls += 1
        under_way.all += own
        if row.state == AttemptState.DISPATCHED:
            under_way.unsent += own
    return found


def _purse(before: Purse, account: Account, at: float) -> Purse:
    return replace(
        before,
        buckets={name: learned.bucket for name, learned in account.dimensions.items()},
        closed_seconds=max((account.closed_until or 0.0) - at, 0.0),
        closed_why=account.closed_why,
    )


def _keep(connection: Connection, key: str, account: Account, at: float) -> None:
    connection.execute(
        update(budget)
        .where(budget.c.key == key)
        .values(
            memory=account.memory.model_dump(mode="json"),
            heard_at=account.heard_at,
            closed_until=account.closed_until,
            closed_why=account.closed_why,
            refilled_at=at,
        )
    )
    connection.execute(
        _KEEP_LEVEL,
        [
            {
                "_key": key,
                "_dimension": name,
                "_limit": learned.limit,
                "_level": learned.level,
                "_burst_seconds": learned.burst_seconds,
                "_seen_limit": learned.seen_limit,
                "_seen_remaining": learned.seen_remaining,
                "_seen_at": learned.seen_at,
            }
            for name, learned in account.dimensions.items()
        ],
    )


def _tell(
    connection: Connection, key: str, said: Iterable[str], calls: Iterable[str], at: float, actor: str
) -> None:
    told = [Event(at, EventKind.BUDGET_LEARNED, actor, sentence=f"{key}: {sentence}") for sentence in said]
    events.record(connection, *told)
    for sentence in calls:
        escalations.call(connection, at, actor, f"{key}: {sentence}")
