"""Queues: what waits and what runs, by lane."""

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, or_, select

from contracts.states import SubtaskState
from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import dead_letter, subtask
from orchestrator.selections import unsettled

NO_LANE = ""


@dataclass
class Queue:
    """One lane's work at one moment."""

    ready: int = 0
    """Could be dispatched now, as far as it depends on itself."""
    backing_off: int = 0
    """Ready, but not before a moment that is still to come, or before another has answered its question."""
    dispatched: int = 0
    """Granted, and not yet taken by a worker."""
    running: int = 0
    submitted: int = 0
    """Handed to a vendor's batch, and held by no worker."""
    oldest_ready_seconds: float = 0.0
    dead_letters: int = 0
    """Dead letters that nobody has discarded and no replay has taken up."""


def queues(connection: Connection) -> dict[str, Queue]:
    """The queues of all lanes that have any work or dead letter. Dead letters of no lane, such as those of
    approvals, stand under ``NO_LANE``."""
    found: dict[str, Queue] = {}
    _count_ready(connection, found)
    _count_granted(connection, found)
    _count_dead(connection, found)
    return found


def _count_ready(connection: Connection, found: dict[str, Queue]) -> None:
    at = now(connection)
    timely = or_(subtask.c.not_before.is_(None), subtask.c.not_before <= at)
    due = timely & subtask.c.follows.is_(None)
    since = case((subtask.c.not_before > subtask.c.ready_at, subtask.c.not_before), else_=subtask.c.ready_at)
    rows = connection.execute(
        select(
            subtask.c.lane,
            func.count().label("total"),
            func.count(case((due, 1))).label("ready"),
            func.min(case((due, since))).label("since"),
        )
        .where(subtask.c.state == SubtaskState.READY, subtask.c.lane.is_not(None))
        .group_by(subtask.c.lane)
    )
    for row in rows:
        queue = found.setdefault(row.lane, Queue())
        queue.ready, queue.backing_off = row.ready, row.total - row.ready
        queue.oldest_ready_seconds = max(at - row.since, 0.0) if row.since is not None else 0.0


def _count_granted(connection: Connection, found: dict[str, Queue]) -> None:
    rows = connection.execute(
        select(subtask.c.lane, subtask.c.state, func.count().label("total"))
        .where(
            subtask.c.ended_at.is_(None),
            subtask.c.state.in_([SubtaskState.DISPATCHED, SubtaskState.RUNNING, SubtaskState.SUBMITTED]),
            subtask.c.lane.is_not(None),
        )
        .group_by(subtask.c.lane, subtask.c.state)
    )
    for row in rows:
        setattr(found.setdefault(row.lane, Queue()), row.state, row.total)


def _count_dead(connection: Connection, found: dict[str, Queue]) -> None:
    rows = connection.execute(
        select(dead_letter.c.lane, func.count().label("total"))
        .where(unsettled())
        .group_by(dead_letter.c.lane)
    )
    for row in rows:
        found.setdefault(row.lane or NO_LANE, Queue()).dead_letters = row.total
