"""Turns: what ready work waits for that draws on a budget, for how long, and behind how many."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, tuple_

from contracts.states import SubtaskState
from orchestrator import calibrations, purses
from orchestrator.candidates import due
from orchestrator.deciders.charging import NOT_A_TOKEN, Reserved, reservation
from orchestrator.deciders.estimating import expected_input, expected_output
from orchestrator.deciders.pacing import Purse, words
from orchestrator.deciders.queueing import turn
from orchestrator.ledger.tables import subtask

MOST = 10
"""So many subtasks of a job are looked at closely; the others are told their lane's turn."""


@dataclass(frozen=True)
class Wait:
    """What a person is told."""

    sentence: str
    seconds: float
    """From now; infinite where time alone does not end it."""


def turns(connection: Connection, rows: Iterable[Any], at: float) -> dict[str, Wait]:
    """By subtask, for the first of the ready ones that draw on a budget."""
    ready = [row for row in rows if row.state == SubtaskState.READY and row.budget and row.follows is None][
        :MOST
    ]
    if not ready:
        return {}
    accounts = _accounts(connection, at)
    before = {row.id: _before(connection, row, at) for row in ready if row.budget in accounts}
    tenants = _tenants(connection, {row.budget for row in ready}, at)
    kinds = {(each.model, each.lane) for groups in before.values() for each in groups}
    known = calibrations.read(connection, kinds | {(row.model, row.lane) for row in ready})
    waits = {}
    for row in ready:
        if row.id in before:
            own = _expected(known, row, 1, row.reserve_input_tokens)
            ahead = Ahead(
                sum(each.subtasks for each in before[row.id]),
                sum(
                    (_expected(known, each, each.subtasks, each.input) for each in before[row.id]),
                    NOT_A_TOKEN,
                ),
                len(tenants[row.budget] - {row.tenant}),
            )
            waits[row.id] = _wait(row.lane, accounts[row.budget], own, ahead)
    return waits


@dataclass(frozen=True)
class Ahead:
    """What stands before a subtask."""

    subtasks: int
    """Of its own tenant."""
    expected: Reserved
    """What those will take together."""
    tenants: int
    """Others that wait for the same accounts. They take turns, so that no amount of theirs stands before it."""

    @property
    def words(self) -> str:
        behind = f", behind {_counted(self.subtasks, 'subtask')}" if self.subtasks else ""
        return behind + (f", in turn with {_counted(self.tenants, 'other tenant')}" if self.tenants else "")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"


def _expected(known: calibrations.Known, each: Any, count: int, raw_input_tokens: int) -> Reserved:
    """What so many subtasks of a kind will take, whose inputs are so long together by their characters."""
    learned = known[each.model, each.lane]
    output = expected_output(learned, each.reserve_output_tokens, each.most_output_tokens)
    return Reserved(
        expected_input(learned, int(raw_input_tokens)), count * output, count * each.most_output_tokens
    )


def _wait(lane: str, paying: list[Purse], own: Reserved, ahead: Ahead) -> Wait:
    charging, behind = paying[0].charging, ahead.words
    before = reservation(charging, ahead.expected)
    requests = {d: ahead.subtasks for d in before if d.startswith("requests")}
    found = turn(paying, reservation(charging, own), {**before, **requests})
    if found.dimension is None and found.seconds > 0:
        why = next(purse.closed_why for purse in paying if purse.key == found.key)
        return Wait(f"{found.key} to open in {found.seconds:.1f} s ({why}){behind}", found.seconds)
    if all(purse.in_flight >= purse.concurrency for purse in paying if purse.closed_seconds <= 0):
        return Wait(f"a call of {found.key} to end{behind}", float("inf"))
    if found.dimension is None:
        return Wait(f"its turn in lane {lane}{behind}", 0.0)
    if found.seconds == float("inf"):
        return Wait(
            f"{found.key} {words(found.dimension)}, which come back with the next day{behind}", found.seconds
        )
    return Wait(f"{found.seconds:.1f} s for {found.key} {words(found.dimension)}{behind}", found.seconds)


def _accounts(connection: Connection, at: float) -> dict[str, list[Purse]]:
    found: dict[str, list[Purse]] = defaultdict(list)
    for purse in purses.look(connection, at, purses.calls_under_way(connection)).values():
        found[purse.scope].append(purse)
    return found


def _before(connection: Connection, row: Any, at: float) -> list[Any]:
    """What is due of the same tenant for the same budget, and more urgent, or as urgent and ready for longer: how
    many of each kind, and how long their inputs are together."""
    kind = (
        subtask.c.model,
        subtask.c.lane,
        subtask.c.reserve_output_tokens,
        subtask.c.most_output_tokens,
    )
    query = select(
        *kind, func.count().label("subtasks"), func.sum(subtask.c.reserve_input_tokens).label("input")
    ).where(
        due(at),
        subtask.c.budget == row.budget,
        subtask.c.tenant == row.tenant,
        tuple_(-subtask.c.priority, subtask.c.place, subtask.c.id) < (-row.priority, row.place, row.id),
    )
    return list(connection.execute(query.group_by(*kind)))


def _tenants(connection: Connection, budgets: set[str], at: float) -> dict[str, set[str]]:
    """Who has work that is due, by budget."""
    found: dict[str, set[str]] = {name: set() for name in budgets}
    query = select(subtask.c.budget, subtask.c.tenant).where(due(at), subtask.c.budget.in_(budgets))
    for row in connection.execute(query.distinct()):
        found[row.budget].add(row.tenant)
    return found
