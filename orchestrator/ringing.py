"""Ringing: granted attempts whose doorbells rang in vain are rung again, through the relay as ever."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, exists, func, insert, select, update

from contracts.states import AttemptState, SubtaskState
from orchestrator import liveness
from orchestrator.deciders.ringing import FIRST_PATIENCE_SECONDS, Progress, Unclaimed, in_vain
from orchestrator.deciders.slots import Slots
from orchestrator.ledger.tables import attempt, doorbell, subtask

MOST = 1000
BEATS_MISSED = 2
"""Of a worker that has missed so many the slots are not free: who died hears no doorbell, however often it rings."""
UNDER_WAY = (AttemptState.RUNNING, AttemptState.REPORTED)
_RUNG = func.coalesce(attempt.c.rung_at, attempt.c.granted_at)


def ring_again(connection: Connection, at: float, heartbeat_seconds: float) -> int:
    """Rings every granted attempt again that the broker seems to have lost, and answers how many."""
    rows = {row.id: row for row in connection.execute(_overdue(at))}
    if not rows:
        return 0
    free, progress = _free(connection, at, heartbeat_seconds), _progress(connection)
    unclaimed = [Unclaimed(row.id, row.lane, row.granted_at, row.rung, row.rings) for row in rows.values()]
    again = [rows[attempt_id] for attempt_id in in_vain(unclaimed, free, progress, at)]
    if again:
        ids = [row.id for row in again]
        rung = update(attempt).where(attempt.c.id.in_(ids))
        connection.execute(rung.values(rings=attempt.c.rings + 1, rung_at=at))
        connection.execute(insert(doorbell), [_doorbell(row, at) for row in again])
    return len(again)


def take_down(connection: Connection, attempt_ids: Sequence[str]) -> frozenset[str]:
    """Takes the doorbells of attempts that are over down, counts none that nobody had rung yet, and answers whose
    they were."""
    unrung = select(doorbell.c.attempt_id).where(doorbell.c.attempt_id.in_(attempt_ids))
    unrung_ids = connection.execute(unrung).scalars().all() if attempt_ids else []
    if unrung_ids:
        connection.execute(
            update(attempt).where(attempt.c.id.in_(unrung_ids)).values(rings=attempt.c.rings - 1)
        )
        connection.execute(delete(doorbell).where(doorbell.c.attempt_id.in_(unrung_ids)))
    return frozenset(unrung_ids)


def _overdue(at: float) -> Select[Any]:
    """Granted attempts that were rung a while ago and can still be claimed; one that is being claimed at this very
    moment is left alone."""
    return (
        select(
            attempt.c.id,
            attempt.c.job_id,
            attempt.c.lane,
            attempt.c.granted_at,
            attempt.c.rings,
            _RUNG.label("rung"),
            subtask.c.name,
        )
        .join(subtask, subtask.c.id == attempt.c.subtask_id)
        .where(
            attempt.c.state == AttemptState.DISPATCHED,
            attempt.c.ended_at.is_(None),
            attempt.c.start_by > at,
            attempt.c.vendor_batch_id.is_(None),
            subtask.c.state == SubtaskState.DISPATCHED,
            at >= _RUNG + FIRST_PATIENCE_SECONDS,
            ~exists().where(doorbell.c.attempt_id == attempt.c.id),
        )
        .order_by(attempt.c.granted_at, attempt.c.id)
        .limit(MOST)
        .with_for_update(of=attempt, skip_locked=True)
    )


def _free(connection: Connection, at: float, heartbeat_seconds: float) -> Counter[str]:
    """Slots of live workers that nobody holds, by lane; lanes that share workers share them."""
    running = (
        select(attempt.c.lane, func.count().label("taken"))
        .where(
            attempt.c.state == AttemptState.RUNNING,
            attempt.c.ended_at.is_(None),
            attempt.c.vendor_batch_id.is_(None),
        )
        .group_by(attempt.c.lane)
    )
    workers = liveness.serving(connection, at, heartbeat_seconds, BEATS_MISSED)
    taken = {row.lane: row.taken for row in connection.execute(running)}
    slots = Slots([(each.lanes, each.slots) for each in workers], taken, {})
    return Counter({lane: slots.room(lane) for each in workers for lane in each.lanes})


def _progress(connection: Connection) -> dict[str, Progress]:
    claimed = and_(attempt.c.state.in_(UNDER_WAY), attempt.c.ended_at.is_(None))
    query = (
        select(
            attempt.c.lane,
            func.max(attempt.c.granted_at).label("reached"),
            func.max(attempt.c.claimed_at).label("claimed_at"),
        )
        .where(claimed, attempt.c.vendor_batch_id.is_(None))
        .group_by(attempt.c.lane)
    )
    return {row.lane: Progress(row.reached, row.claimed_at) for row in connection.execute(query)}


def _doorbell(row: Any, at: float) -> dict[str, Any]:
    return {
        "attempt_id": row.id,
        "lane": row.lane,
        "label": f"{row.job_id}, {row.name}, {row.id}",
        "created_at": at,
    }
