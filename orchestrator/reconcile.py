"""Reconcile: what fell silent is found by the database's clock; nothing waits for a message that was lost."""

import logging
import random
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from contracts.failures import Code, Failure
from contracts.states import AttemptState, JobState, SubtaskState
from orchestrator import (
    blocking,
    effects,
    escalations,
    liveness,
    recovering,
    ringing,
    spending,
    stopping,
    suspects,
    taints,
    vendor_batches,
)
from orchestrator.aside import Aside
from orchestrator.batch import Batch
from orchestrator.deciders.ringing import rest
from orchestrator.deciders.suspecting import Blame
from orchestrator.ledger import ticks
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.ledger.leadership import Deposed, Leadership
from orchestrator.ledger.moves import SubtaskMove, move_subtasks
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.ledger.tables import attempt, job, subtask
from orchestrator.marking import move
from orchestrator.progressing import advance_job
from orchestrator.recovering import after_loss
from orchestrator.settling import Books, charged, tokens_reserved
from orchestrator.views import JobView, load

log = logging.getLogger(__name__)

ACTOR = "orchestrator.reconcile"
BATCH = 200
START_BY_GRACE_SECONDS = 1.0
"""A claim is checked against the start-by itself; only after this is silence taken for a lost doorbell."""
CALLED_AFTER = 5
"""So often in a row a subtask comes back unclaimed before a person is called: some minutes, with its rests."""
MOVING = (
    SubtaskState.READY,
    SubtaskState.DISPATCHED,
    SubtaskState.RUNNING,
    SubtaskState.SUBMITTED,
    SubtaskState.REPORTED,
    SubtaskState.PARKED,
)
HELD_BY_NOBODY = (
    SubtaskState.WAITING,
    SubtaskState.READY,
    SubtaskState.PARKED,
    SubtaskState.DISPATCHED,
)
"""What a cancelled job ends at once."""


Look = Callable[[Connection, float], int]
"""Looks at something at a moment, and answers how much was done."""


class Reconciler:
    """The verb that takes up what fell silent; every statement of it may be repeated."""

    def __init__(
        self,
        leadership: Leadership,
        snapshots: Snapshots,
        cadences: dict[str, float],
        correct: Callable[[str, float], None],
        chance: Callable[[], float] = random.random,
        heartbeat_seconds: float = 5.0,
        silent_seconds: float = 90.0,
    ) -> None:
        self._leadership = leadership
        self._snapshots = snapshots
        self._correct = correct
        self._chance = chance
        self._aside = Aside(leadership, ACTOR)
        self._before_jobs: tuple[Look, ...] = (
            lambda connection, at: ticks.note_due(connection, cadences, at),
            vendor_batches.give_up,
            lambda connection, at: blocking.resolve(connection, at, ACTOR),
        )
        self._after_jobs: tuple[Look, ...] = (
            lambda connection, at: taints.finish(connection, at, ACTOR),
            lambda connection, at: effects.call(connection, at, ACTOR),
            lambda connection, at: liveness.report_silent(
                connection, at, ACTOR, heartbeat_seconds, silent_seconds
            ),
            lambda connection, at: ringing.ring_again(connection, at, heartbeat_seconds),
        )

    def run(self) -> int:
        """Takes everything up that fell silent, and answers how much that was; where it raises, job by job."""
        before = self._look_at(self._before_jobs)
        return before + self._aside.run(self._reconcile, self._silent) + self._look_at(self._after_jobs)

    def _look_at(self, looks: tuple[Look, ...]) -> int:
        """What is nobody's job; whatever raises here keeps no job from its leases, and nothing else here."""
        try:
            with self._leadership.decide() as (connection, at):
                return sum(look(connection, at) for look in looks)
        except (Deposed, LedgerUnreachable):
            raise
        except Exception:
            log.exception("what reconcile looks at beside jobs raises; trying one by one")
        return sum(map(self._look_alone, looks))

    def _look_alone(self, look: Look) -> int:
        try:
            with self._leadership.decide() as (connection, at):
                return look(connection, at)
        except (Deposed, LedgerUnreachable):
            raise
        except Exception:
            log.exception("one of reconcile's looks raises and changes nothing; it is tried again")
            return 0

    def _reconcile(self, only: str | None) -> int:
        with self._leadership.decide() as (connection, at):
            returned = self._return_unrun(connection, at, self._aside.among(attempt.c.job_id, only))
            stopped = stopping.stop_overdue(
                connection, self._snapshots, at, ACTOR, self._among(only), self._correct
            )
            lost = self._take_back(connection, at, self._aside.among(attempt.c.job_id, only))
            resumed = self._resume(connection, at, self._aside.among(job.c.id, only))
            released = _release(connection, at, self._aside.among(subtask.c.job_id, only))
            released += self._unblock(connection, at, self._aside.among(subtask.c.job_id, only))
            return returned + stopped + lost + resumed + released

    def _silent(self) -> set[str]:
        """The jobs that there is anything to do for."""
        with self._leadership.decide() as (connection, at):
            among = self._aside.among(attempt.c.job_id, None)
            rows = [*_unrun(connection, at, among), *_lost(connection, at, among)]
            resting = _resting(connection, self._aside.among(job.c.id, None))
            capped = spending.releases(connection, at, self._aside.among(subtask.c.job_id, None), BATCH)
            blocked = blocking.held(connection, self._aside.among(subtask.c.job_id, None), BATCH)
            overdue = stopping.overdue(connection, at, self._among(None))
            return {row.job_id for row in [*rows, *capped, *blocked]} | set(resting) | overdue

    def _among(self, only: str | None) -> stopping.Among:
        return lambda job_id: self._aside.among(job_id, only)

    def _return_unrun(self, connection: Connection, at: float, among: ColumnElement[bool]) -> int:
        """They go back: refunded, and not counted as a try."""
        batch, books, untaken = Batch(at, ACTOR), Books(), set[str]()
        rows = _unrun(connection, at, among)
        before = _returned_in_a_row(connection, [row.subtask_id for row in rows])
        waiting = ringing.take_down(connection, [row.id for row in rows])
        for row in rows:
            books.refund(row)
            self._correct(row.subtask_id, 0)
            batch.settled.append({"id": row.id, "state": AttemptState.RETURNED, "ended_at": at})
            if row.subtask_state != SubtaskState.DISPATCHED:
                continue
            again = before.get(row.subtask_id, 0)
            was_rung = row.rings > 1 or row.id not in waiting
            why, resting = _why_unrun(row, again, was_rung)
            if was_rung and resting and again + 1 >= CALLED_AFTER:
                untaken.add(row.lane)
            batch.moves.append(
                SubtaskMove(
                    row.subtask_id,
                    row.job_id,
                    SubtaskState.DISPATCHED,
                    SubtaskState.READY,
                    why,
                    {"ready_at": at, "not_before": at + resting},
                    row.id,
                )
            )
        books.write(connection, at, ACTOR)
        batch.write(connection)
        _call_for(connection, untaken, at)
        return len(rows)

    def _take_back(self, connection: Connection, at: float, among: ColumnElement[bool]) -> int:
        """Attempts whose worker fell silent, or that ran past their own deadline."""
        rows = _lost(connection, at, among)
        blamed = suspects.blame_all(connection, rows)
        views = load(connection, self._snapshots, {row.job_id for row in rows})
        batch, books = Batch(at, ACTOR), Books()
        for row in rows:
            self._lose(connection, row, views[row.job_id], blamed[row.id], batch)
        for view in views.values():
            advance_job(view, batch)
        books.write(connection, at, ACTOR)
        batch.write(connection)
        taints.pass_on(connection, views, at, ACTOR)
        return len(rows)

    def _lose(self, connection: Connection, row: Any, view: JobView, blamed: Blame, batch: Batch) -> None:
        sentence = f"{_silence(row, batch.at)}; {blamed.why}" if blamed.why else _silence(row, batch.at)
        failure = Failure(code=Code.CRASHED, sentence=sentence)
        columns = _lost_columns(row, batch.at)
        batch.settled.append(columns)
        view.spent_now += spending.spent(row, columns)
        self._correct(row.subtask_id, tokens_reserved(row))
        node = view.node(row.subtask_id)
        if view.row.cancel_requested_by:
            move(view, node, SubtaskState.CANCELLED, f"cancelled by {view.row.cancel_requested_by}", batch)
            return
        after_loss(connection, view, node, row, failure, blamed, self._chance, batch)

    def _unblock(self, connection: Connection, at: float, among: ColumnElement[bool]) -> int:
        """What a missing prerequisite held, once the job that was to supply it has ended."""
        rows, batch = blocking.held(connection, among, BATCH), Batch(at, ACTOR)
        if rows:
            blocking.go_on(connection, self._snapshots, rows, batch)
            batch.write(connection)
            taints.pass_on(connection, {row.job_id for row in rows}, at, ACTOR)
        return len(rows)

    def _resume(self, connection: Connection, at: float, among: ColumnElement[bool]) -> int:
        """Jobs in which nothing moves although something could, and those that are being cancelled."""
        ids = _resting(connection, among)
        views = load(connection, self._snapshots, ids)
        batch = Batch(at, ACTOR)
        for view in views.values():
            advance_job(view, batch)
        batch.write(connection)
        taints.pass_on(connection, views, at, ACTOR)
        return len(batch.moves) + len(batch.job_moves)


def _unrun(connection: Connection, at: float, among: ColumnElement[bool]) -> list[Any]:
    """Attempts that nobody claimed in time, or whose subtask was cancelled meanwhile."""
    query = (
        select(attempt, subtask.c.state.label("subtask_state"))
        .join(subtask, subtask.c.id == attempt.c.subtask_id)
        .where(
            attempt.c.state == AttemptState.DISPATCHED,
            attempt.c.ended_at.is_(None),
            or_(
                attempt.c.start_by < at - START_BY_GRACE_SECONDS,
                subtask.c.state != SubtaskState.DISPATCHED,
            ),
            among,
        )
        .limit(BATCH)
    )
    return list(connection.execute(query))


def _call_for(connection: Connection, lanes: set[str], at: float) -> None:
    """Calls a person, once until somebody takes note, for lanes whose work is granted and rung and never claimed.
    Its subtasks look fresh each time, and its workers take their doorbells, so that nothing else would tell."""
    for lane in sorted(lanes):
        sentence = (
            f"work of lane {lane} was granted and rung {CALLED_AFTER} times in a row, and nobody claimed it: "
            "`fleet lanes` says who serves it, and its workers' logs whether their claims fail"
        )
        escalations.call_once(connection, at, ACTOR, sentence, f"untaken/{lane}")


def _why_unrun(row: Any, before: int, was_rung: bool) -> tuple[str, float]:
    """Why an attempt comes back unrun, and for how many seconds its subtask rests. A start-by before the grant says
    that whoever was to begin it had to give it back, which is no sign that nobody can take it; no more is a broker
    that is away, after which work is to go on at once."""
    if row.start_by < row.granted_at:
        return (
            "it could not begin where it was to: its account closed, a switch holds it, or a suspect is there",
            0.0,
        )
    if not was_rung:
        return "the broker took no doorbell for it", 0.0
    resting = rest(before + 1)
    if not resting:
        return "nobody claimed it by its start-by", 0.0
    return (
        f"nobody claimed it by its start-by, {before + 1} times in a row; again in {resting:.0f} s",
        resting,
    )


def _returned_in_a_row(connection: Connection, subtask_ids: list[str]) -> dict[str, int]:
    """How many attempts of each were rung, and claimed by nobody by their start-by, since one was claimed."""
    claimed = attempt.alias("claimed")
    of_same = claimed.c.subtask_id == attempt.c.subtask_id, claimed.c.fence > 0
    last = select(func.max(claimed.c.granted_at)).where(*of_same).correlate(attempt).scalar_subquery()
    query = select(attempt.c.subtask_id, func.count().label("returned")).where(
        attempt.c.subtask_id.in_(subtask_ids),
        attempt.c.state == AttemptState.RETURNED,
        attempt.c.rings > 0,  # else the broker was away, which says nothing of who could take it
        attempt.c.start_by >= attempt.c.granted_at,
        attempt.c.granted_at > func.coalesce(last, 0.0),
    )
    rows = connection.execute(query.group_by(attempt.c.subtask_id)) if subtask_ids else ()
    return {row.subtask_id: row.returned for row in rows}


def _release(connection: Connection, at: float, among: ColumnElement[bool]) -> int:
    """What a spending cap held and has room for again."""
    moves = spending.releases(connection, at, among, BATCH)
    move_subtasks(connection, moves, ACTOR, at)
    return len(moves)


def _lost(connection: Connection, at: float, among: ColumnElement[bool]) -> list[Any]:
    query = (
        select(attempt, *recovering.COLUMNS)
        .join(subtask, subtask.c.id == attempt.c.subtask_id)
        .join(job, job.c.id == attempt.c.job_id)
        .where(
            attempt.c.state == AttemptState.RUNNING,
            attempt.c.ended_at.is_(None),
            or_(attempt.c.lease_until < at, attempt.c.deadline_at < at),
            ~stopping.STOPPED,  # told to stop: its silence is no crash
            subtask.c.state.in_((SubtaskState.RUNNING, SubtaskState.SUBMITTED)),
            among,
        )
        .with_for_update(of=attempt)
        .limit(BATCH)
    )
    return list(connection.execute(query))


def _silence(row: Any, at: float) -> str:
    if row.vendor_batch_id is not None:
        return "its batch was given up: nobody brought its result in time"
    if row.deadline_at < at:
        return f"it ran longer than the {row.allowed_seconds:g} s it was allowed"
    return f"its worker {row.worker} fell silent"


def _lost_columns(row: Any, at: float) -> dict[str, Any]:
    return charged(row, AttemptState.LOST, at) | {
        # Who waits for a batch holds no worker.
        "worker_seconds": 0.0 if row.vendor_batch_id else at - row.claimed_at,
        "category": "crash",
        "code": Code.CRASHED,
    }


def _resting(connection: Connection, among: ColumnElement[bool]) -> list[str]:
    """Of those that are cancelled the ones in which something can end: what runs, or waits for a vendor's batch, may
    take hours, and so many of them would keep all others from being looked at."""
    of_job = subtask.c.job_id == job.c.id
    moving = exists().where(of_job, subtask.c.state.in_(MOVING))
    sealed = and_(subtask.c.state == SubtaskState.REPORTED, subtask.c.sealed_at.is_not(None))
    can_end = exists().where(of_job, or_(subtask.c.state.in_(HELD_BY_NOBODY), sealed))
    cancelled = job.c.cancel_requested_by.is_not(None)
    query = (
        select(job.c.id)
        .where(
            job.c.ended_at.is_(None),
            job.c.state != JobState.ACCEPTED,
            or_(and_(cancelled, can_end), ~moving),
            among,
        )
        .limit(BATCH)
    )
    return list(connection.execute(query).scalars())
