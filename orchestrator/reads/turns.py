"""Turns: what ready work waits for that draws on a budget, for how long, and behind how many."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, tuple_

from contracts.states import AttemptState, SubtaskState
from orchestrator import calibrations, purses
from orchestrator.deciders.charging import Reserved, reservation
from orchestrator.deciders.estimating import expected_input, expected_output
from orchestrator.deciders.pacing import Amount, Purse, words
from orchestrator.deciders.queueing import turn
from orchestrator.ledger.tables import attempt, budget, budget_level, subtask

MOST = 50
"""So many subtasks of a job are looked at closely; the others are told their lane's turn."""


@dataclass(frozen=True)
class Wait:
    """What a person is told."""

    sentence: str
    seconds: float
    """From now; infinite where time alone does not end it."""


def turns(connection: Connection, rows: Iterable[Any], at: float) -> dict[str, Wait]:
    """By subtask, for the first of the ready ones that draw on a budget."""
    ready = [row for row in rows if row.state == SubtaskState.READY and row.budget][:MOST]
    if not ready:
        return {}
    accounts = _accounts(connection, at)
    known = calibrations.read(connection, {(row.model, row.lane) for row in ready})
    waits = {}
    for row in ready:
        paying = accounts.get(row.budget)
        if paying:
            learned = known[row.model, row.lane]
            own = Reserved(
                expected_input(learned, row.reserve_input_tokens),
                expected_output(learned, row.reserve_output_tokens, row.most_output_tokens),
                row.most_output_tokens,
            )
            waits[row.id] = _wait(connection, row, paying, reservation(paying[0].charging, own))
    return waits


def _wait(connection: Connection, row: Any, paying: list[Purse], own: Amount) -> Wait:
    before = _before(connection, row)
    ahead = reservation(
        paying[0].charging, Reserved(int(before.input), int(before.output), int(before.promised))
    )
    found = turn(paying, own, {**ahead, **{d: before.subtasks for d in ahead if d.startswith("requests")}})
    count = before.subtasks
    behind = f", behind {count} subtask{'s' if count > 1 else ''}" if count else ""
    if all(purse.in_flight >= purse.concurrency for purse in paying):
        return Wait(f"a call of {found.key} to end{behind}", float("inf"))
    if found.dimension is None and found.seconds > 0:
        why = next(purse.closed_why for purse in paying if purse.key == found.key)
        return Wait(f"{found.key} to open in {found.seconds:.1f} s ({why}){behind}", found.seconds)
    if found.dimension is None:
        return Wait(f"its turn in lane {row.lane}{behind}", 0.0)
    if found.seconds == float("inf"):
        return Wait(
            f"{found.key} {words(found.dimension)}, which come back with the next day{behind}", found.seconds
        )
    return Wait(f"{found.seconds:.1f} s for {found.key} {words(found.dimension)}{behind}", found.seconds)


def _accounts(connection: Connection, at: float) -> dict[str, list[Purse]]:
    open_calls = (
        select(attempt.c.budget, func.count().label("calls"))
        .where(
            attempt.c.state.in_([AttemptState.DISPATCHED, AttemptState.RUNNING]), attempt.c.ended_at.is_(None)
        )
        .group_by(attempt.c.budget)
    )
    in_flight = {row.budget: row.calls for row in connection.execute(open_calls)}
    levels: dict[str, list[Any]] = {}
    for row in connection.execute(select(budget_level)):
        levels.setdefault(row.key, []).append(row)
    found: dict[str, list[Purse]] = {}
    for row in connection.execute(select(budget).order_by(budget.c.key)):
        calls = in_flight.get(row.key, 0)
        purse = purses.purse_of(row, purses.buckets_of(levels.get(row.key, [])), calls, at)
        found.setdefault(purse.scope, []).append(purse)
    return found


def _before(connection: Connection, row: Any) -> Any:
    """What is ready for the same budget and more urgent, or as urgent and ready for longer."""
    return connection.execute(
        select(
            func.count().label("subtasks"),
            func.coalesce(func.sum(subtask.c.reserve_input_tokens), 0).label("input"),
            func.coalesce(func.sum(subtask.c.reserve_output_tokens), 0).label("output"),
            func.coalesce(func.sum(subtask.c.most_output_tokens), 0).label("promised"),
        ).where(
            subtask.c.state == SubtaskState.READY,
            subtask.c.budget == row.budget,
            tuple_(-subtask.c.priority, subtask.c.place, subtask.c.id) < (-row.priority, row.place, row.id),
        )
    ).one()
