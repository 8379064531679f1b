"""Repeats: who answers a question first, and who waits for that answer, as rows of the ledger."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, insert, or_, select, update

from contracts.states import AttemptState, SubtaskState
from orchestrator.ledger.tables import answer_cache, attempt, subtask, taint, worker

ANSWERING = (
    SubtaskState.DISPATCHED,
    SubtaskState.RUNNING,
    SubtaskState.SUBMITTED,
    SubtaskState.REPORTED,
)


@dataclass(frozen=True)
class First:
    """Who answers a question, or has answered it."""

    subtask_id: str
    job_id: str
    name: str
    answered_at: float | None
    """None while it is at it."""


class Questions:
    """The repeatable questions among candidates for dispatch."""

    def __init__(self, connection: Connection, at: float, rows: Iterable[Any]) -> None:
        keys = {row.repeat_key for row in rows if row.repeat_key}
        self._at = at
        self._first = _first_by_key(connection, keys) if keys else {}
        self._led: dict[str, str] = {}
        self._followed: dict[str, First] = {}

    def follows(self, row: Any) -> bool:
        """Whether the candidate shall wait for the answer of another, or take the one that is there."""
        first = self._first.get(row.repeat_key)
        if first is None or first.subtask_id == row.id:
            return False
        if first.answered_at is not None and self._at - first.answered_at > row.repeat_within_seconds:
            return False
        self._followed[row.repeat_key] = first
        return True

    def lead(self, row: Any) -> None:
        """The candidate is granted: whoever asks the same from here on follows it."""
        if row.repeat_key:
            self._first[row.repeat_key] = First(row.id, row.job_id, row.name, None)
            self._led[row.repeat_key] = row.id

    def write(self, connection: Connection) -> int:
        """Keeps who leads and who follows; how many began to follow. Once the leaders' moves are written."""
        if self._led:
            connection.execute(delete(answer_cache).where(answer_cache.c.key.in_(self._led)))
            led = [{"key": key, "subtask_id": subtask_id} for key, subtask_id in self._led.items()]
            connection.execute(insert(answer_cache), led)
        if not self._followed:
            return 0
        rows = [
            {"_key": key, "_first": first.subtask_id, "_held_by": _held_by(first)}
            for key, first in self._followed.items()
        ]
        return connection.execute(_FOLLOW, rows).rowcount


_FOLLOW = (
    update(subtask)
    .where(
        subtask.c.state == SubtaskState.READY,
        subtask.c.repeat_key == bindparam("_key"),
        subtask.c.follows.is_(None),
    )
    .values(follows=bindparam("_first"), held_by=bindparam("_held_by"))
)
"""Everybody with the same question at once, so that followers take no place among the candidates."""


def _held_by(first: First) -> str:
    when = "is being" if first.answered_at is None else "was"
    return f"the same question {when} answered by {first.job_id}, {first.name}"


def _first_by_key(connection: Connection, keys: set[str]) -> dict[str, First]:
    """Who failed at a question has no key any more, and leads nobody; nor does who waits for another grant."""
    rows = connection.execute(
        select(answer_cache.c.key, subtask.c.id, subtask.c.job_id, subtask.c.name, subtask.c.ended_at)
        .join(subtask, subtask.c.id == answer_cache.c.subtask_id)
        .where(
            answer_cache.c.key.in_(keys),
            subtask.c.repeat_key == answer_cache.c.key,
            subtask.c.state.in_((*ANSWERING, SubtaskState.DONE)),
        )
    )
    return {row.key: First(row.id, row.job_id, row.name, row.ended_at) for row in rows}


_first = subtask.alias("first")
_answers_no_more = or_(_first.c.state.not_in(ANSWERING), _first.c.repeat_key.is_(None))

FREED = exists().where(
    _first.c.id.in_(
        select(subtask.c.follows)
        .where(subtask.c.state == SubtaskState.READY, subtask.c.follows.is_not(None))
        .distinct()
    ),
    _answers_no_more,
)
"""Whether anybody follows who answers no more, whatever came of it."""


def freed(connection: Connection, most: int, only: str | None = None) -> list[Any]:
    """The subtasks that follow who answers no more, or the one of this id if it does."""
    query = (
        select(
            subtask.c.id,
            subtask.c.job_id,
            subtask.c.follows,
            subtask.c.ready_at,
            subtask.c.dependency_seconds,
            subtask.c.repeat_within_seconds,
        )
        .join(_first, _first.c.id == subtask.c.follows)
        .where(subtask.c.state == SubtaskState.READY, subtask.c.follows.is_not(None), _answers_no_more)
        .order_by(subtask.c.id)
        .limit(most)
    )
    if only is not None:
        query = query.where(subtask.c.id == only)
    return list(connection.execute(query))


def answers(connection: Connection, ids: Iterable[str]) -> dict[str, Any]:
    """What these subtasks answered when they were first answered to, by subtask: the summary, and what it took.
    Attempts before it that reached no model took nothing. What was found wrong is no answer."""
    rows = connection.execute(
        select(
            subtask.c.id,
            subtask.c.job_id,
            subtask.c.name,
            subtask.c.lane,
            subtask.c.vendor,
            subtask.c.summary,
            subtask.c.ended_at,
            attempt.c.cost_nano_usd,
            attempt.c.simulated,
        )
        .join(attempt, attempt.c.subtask_id == subtask.c.id)
        .where(
            subtask.c.id.in_(list(ids)),
            subtask.c.state == SubtaskState.DONE,
            subtask.c.repeat_key.is_not(None),
            attempt.c.state == AttemptState.SETTLED,
            attempt.c.code.is_(None),
            ~exists().where(taint.c.subtask_id == subtask.c.id),
        )
    )
    return {row.id: row for row in rows}


_RELEASE = (
    update(subtask)
    .where(subtask.c.id == bindparam("_id"), subtask.c.state == SubtaskState.READY)
    .values(
        follows=None,
        held_by=None,
        dependency_seconds=bindparam("_dependency_seconds"),
        ready_at=bindparam("_at"),
    )
)


def release(connection: Connection, rows: Iterable[Any], at: float) -> None:
    """Those who followed in vain are candidates again. Until here they waited for the work of another."""
    released = [{"_id": row.id, "_at": at, "_dependency_seconds": waited(row, at)} for row in rows]
    if released:
        connection.execute(_RELEASE, released)


def waited(row: Any, at: float) -> float:
    """Seconds that a follower has waited for the work of others."""
    return float(row.dependency_seconds + at - row.ready_at)


def forget(connection: Connection, ids: Iterable[str]) -> None:
    """What these subtasks answered is not given again."""
    wanted = list(ids)
    if wanted:
        connection.execute(delete(answer_cache).where(answer_cache.c.subtask_id.in_(wanted)))


def ask_itself(connection: Connection, subtask_id: str) -> None:
    """The subtask gets an attempt of its own, whoever has asked the same."""
    alone = {"repeat_key": None, "follows": None, "held_by": None}
    connection.execute(
        update(subtask)
        .where(subtask.c.id == subtask_id, subtask.c.state == SubtaskState.READY)
        .values(**alone)
    )


def pretending(connection: Connection, since: float) -> set[tuple[str, str]]:
    """The lanes and vendors of which every live worker asks the simulator. `since`: who beat after that lives."""
    alive = select(worker.c.lanes, worker.c.simulates).where(
        worker.c.beat_at > since, worker.c.stopped_at.is_(None)
    )
    found: dict[str, set[str]] = {}
    for row in connection.execute(alive):
        for lane in row.lanes:
            found[lane] = found.get(lane, set(row.simulates)) & set(row.simulates)
    return {(lane, vendor) for lane, vendors in found.items() for vendor in vendors}
