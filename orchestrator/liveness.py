"""Liveness: which workers take work, and which only beat. Those are reported once, granted nothing, and leave."""

from typing import Any

from sqlalchemy import Connection, and_, or_, select, update

from contracts.states import SubtaskState
from orchestrator import escalations
from orchestrator.deciders.liveness import Serving, Standing, canary_seconds, is_silent
from orchestrator.ledger import events
from orchestrator.ledger.clock import wall_clock
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.tables import subtask, worker

BEATS_MISSED = 4
"""Of a worker that has missed so many nobody expects anything."""
SILENT = and_(worker.c.silent_at.is_not(None), worker.c.heard_at <= worker.c.silent_at)
"""Found to take nothing, and not heard since."""


def serving(
    connection: Connection, at: float, heartbeat_seconds: float, beats_missed: int = BEATS_MISSED
) -> list[Serving]:
    """Every worker that beats, but for so many beats missed, and takes work."""
    beats = _beats(at, heartbeat_seconds, beats_missed)
    query = select(worker.c.id, worker.c.lanes, worker.c.slots).where(beats, ~SILENT)
    return [Serving(row.id, frozenset(row.lanes), row.slots) for row in connection.execute(query)]


def unheard(connection: Connection, at: float, heartbeat_seconds: float, silent_seconds: float) -> list[str]:
    """The workers that are due for a canary: not heard for a while, and given none meanwhile. One of an older
    version, which knows none, is not among them."""
    since = at - canary_seconds(silent_seconds)
    query = select(worker.c.id).where(
        _beats(at, heartbeat_seconds),
        worker.c.heard_at < since,
        or_(worker.c.canary_at.is_(None), worker.c.canary_at < since),
    )
    return list(connection.execute(query).scalars())


def rang(connection: Connection, worker_ids: list[str]) -> None:
    """Writes down that the broker took a canary for each of them."""
    connection.execute(update(worker).where(worker.c.id.in_(worker_ids)).values(canary_at=wall_clock()))


def report_silent(
    connection: Connection, at: float, actor: str, heartbeat_seconds: float, silent_seconds: float
) -> int:
    """Reports every worker that fell silent, once: an event, a call for a person, and its beat is told to leave.
    Answers how many."""
    query = select(worker).where(
        _beats(at, heartbeat_seconds), ~SILENT, worker.c.heard_at < at - silent_seconds
    )
    rows = connection.execute(query).all()
    if not rows:
        return 0
    waiting = _waiting(connection, at)
    silent = [row for row in rows if is_silent(_standing(row), waiting, at, silent_seconds)]
    for row in silent:
        sentence = (
            f"worker {row.id} beats and has taken nothing for {at - row.heard_at:.0f} s, with "
            f"{row.slots - row.busy} of {row.slots} slots free and work waiting: it has to be started again"
        )
        connection.execute(update(worker).where(worker.c.id == row.id).values(silent_at=at))
        events.record(connection, Event(at, EventKind.WORKER_SILENT, actor, sentence=sentence))
        escalations.call(connection, at, actor, sentence)
    return len(silent)


def _beats(at: float, heartbeat_seconds: float, beats_missed: int = BEATS_MISSED) -> Any:
    return and_(worker.c.stopped_at.is_(None), worker.c.beat_at > at - beats_missed * heartbeat_seconds)


def _standing(row: Any) -> Standing:
    return Standing(frozenset(row.lanes), row.slots, row.busy, row.heard_at, row.canary_at)


def _waiting(connection: Connection, at: float) -> frozenset[str]:
    """The lanes that have work which somebody could take now."""
    due = or_(subtask.c.not_before.is_(None), subtask.c.not_before <= at)
    ready = and_(subtask.c.state == SubtaskState.READY, subtask.c.follows.is_(None), due)
    query = (
        select(subtask.c.lane)
        .where(subtask.c.ended_at.is_(None), or_(ready, subtask.c.state == SubtaskState.DISPATCHED))
        .distinct()
    )
    return frozenset(lane for lane in connection.execute(query).scalars() if lane is not None)
