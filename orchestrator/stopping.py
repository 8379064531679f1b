"""Stopping: what a switch killed is taken back to run again, and what is overdue comes to its end."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from contracts.failures import CATEGORY_OF, Code, Failure
from contracts.states import AttemptState, JobState, SubtaskState
from orchestrator import spending
from orchestrator.batch import Batch
from orchestrator.deciders.recovery import Retry
from orchestrator.deciders.stopping import moment
from orchestrator.deciders.switches import Standing, Work
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.ledger.tables import attempt, job, subtask
from orchestrator.pauses import TOLD_TO_STOP, standing
from orchestrator.progressing import advance_job
from orchestrator.recovering import COLUMNS, enact, handed_again
from orchestrator.settling import charged, tokens_reserved
from orchestrator.views import load

MOST = 200
STOPPED = and_(
    TOLD_TO_STOP,
    attempt.c.vendor_batch_id.is_(None),
    subtask.c.state == SubtaskState.RUNNING,
    job.c.cancel_requested_by.is_(None),
)
"""An attempt that a switch killed, and that is taken back for that alone, however long it has been silent."""

Among = Callable[[ColumnElement[str]], ColumnElement[bool]]
"""Which jobs are looked at, as a condition on the column that names them."""


def stop_overdue(
    connection: Connection,
    snapshots: Snapshots,
    at: float,
    actor: str,
    among: Among,
    correct: Callable[[str, float], None],
) -> int:
    """Takes back what must not run on, ends what is overdue, and answers how much moved."""
    rows = _to_take_back(connection, at, among)
    views = load(connection, snapshots, {row.job_id for row in rows} | _overdue(connection, at, among))
    batch, switches = Batch(at, actor), standing(connection, at) if rows else Standing()
    for row in rows:
        view = views[row.job_id]
        late = view.row.stop_at is not None and view.row.stop_at < at
        why = f"its job was to end by {moment(view.row.stop_at)}" if late else _held(switches, row)
        stopped = Failure(code=Code.TOO_LATE if late else Code.STOPPED, sentence=f"stopped: {why}"[:2000])
        columns = _columns(row, stopped.code, at)
        batch.settled.append(columns)
        view.spent_now += spending.spent(row, columns)
        correct(row.subtask_id, tokens_reserved(row))
        node = view.node(row.subtask_id)
        handoff = handed_again(connection, node, row, stopped, None)
        enact(view, node, row, stopped, Retry(0.0, stopped.sentence), handoff, batch)
    for view in views.values():
        advance_job(view, batch)
    batch.write(connection)
    return len(batch.moves) + len(batch.job_moves)


def overdue(connection: Connection, at: float, among: Among) -> set[str]:
    """The jobs that there is anything to stop in."""
    return {row.job_id for row in _to_take_back(connection, at, among)} | _overdue(connection, at, among)


def _to_take_back(connection: Connection, at: float, among: Among) -> list[Any]:
    """Attempts that a switch killed, and those of jobs whose time is up. What waits for a vendor's batch holds no
    worker, so a switch leaves it there."""
    query = (
        select(attempt, *COLUMNS, subtask.c.vendor.label("of_vendor"), job.c.tenant, job.c.workflow)
        .join(subtask, subtask.c.id == attempt.c.subtask_id)
        .join(job, job.c.id == attempt.c.job_id)
        .where(
            attempt.c.state == AttemptState.RUNNING,
            attempt.c.ended_at.is_(None),
            subtask.c.state.in_((SubtaskState.RUNNING, SubtaskState.SUBMITTED)),
            job.c.cancel_requested_by.is_(None),
            or_(STOPPED, job.c.stop_at < at),
            among(attempt.c.job_id),
        )
        .with_for_update(of=attempt)
        .limit(MOST)
    )
    return list(connection.execute(query))


def _overdue(connection: Connection, at: float, among: Among) -> set[str]:
    """Jobs whose time is up, and those with a subtask that has waited for too long."""
    open_ = (
        job.c.ended_at.is_(None),
        job.c.state != JobState.ACCEPTED,
        job.c.cancel_requested_by.is_(None),  # ends as cancelled
        job.c.stop_at < at,
        among(job.c.id),
    )
    old = (
        subtask.c.ended_at.is_(None),
        subtask.c.stop_at < at,
        subtask.c.state.in_((SubtaskState.READY, SubtaskState.PARKED)),
        among(subtask.c.job_id),
    )
    jobs = select(job.c.id).where(*open_).limit(MOST)
    subtasks = select(subtask.c.job_id).where(*old).limit(MOST)
    return {*connection.execute(jobs).scalars(), *connection.execute(subtasks).scalars()}


def _held(switches: Standing, row: Any) -> str:
    """Which switch it was; it may be gone by now."""
    work = Work(row.lane, row.of_vendor, row.tenant, row.workflow)
    return switches.holder(work) or "a switch that was lifted since"


def _columns(row: Any, code: Code, at: float) -> dict[str, Any]:
    """The attempt's columns at its end: charged like one of which nobody knows what it used. Its worker did not
    fall silent, so no lease of it ran out."""
    return charged(row, AttemptState.LOST, at) | {
        "worker_seconds": 0.0 if row.vendor_batch_id else at - row.claimed_at,
        "lease_until": None,
        "category": CATEGORY_OF[code],
        "code": code,
    }
