"""Reports: what a worker hands in, accepted at the fence it was claimed at and nowhere else."""

from sqlalchemy import Connection, bindparam, select, update

from contracts.reports import Report
from contracts.states import AttemptState, SubtaskState
from orchestrator.door.claims import Claim
from orchestrator.ledger import events
from orchestrator.ledger.clock import now, wall_clock
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.moves import SubtaskMove, move_subtasks
from orchestrator.ledger.tables import attempt
from orchestrator.wake import ring

_REPORT = (
    update(attempt)
    .where(
        attempt.c.id == bindparam("_id"),
        attempt.c.fence == bindparam("_fence"),
        attempt.c.state == AttemptState.RUNNING,
    )
    .values(
        state=AttemptState.REPORTED,
        reported_at=wall_clock(),
        report=bindparam("_report"),
        worker_seconds=bindparam("_seconds"),
    )
    .returning(attempt.c.reported_at)
)


def hand_in(ledger: Ledger, claim: Claim, report: Report, worker_id: str) -> bool:
    """Hands in the report. False where the fence has moved on: it is written down and dropped."""
    with ledger.write() as connection:
        reported_at = connection.execute(
            _REPORT,
            {
                "_id": claim.attempt,
                "_fence": claim.fence,
                "_report": report.model_dump(mode="json"),
                "_seconds": report.worker_seconds,
            },
        ).scalar_one_or_none()
        if reported_at is None:
            return _stale(connection, claim, worker_id)
        move = SubtaskMove(
            claim.subtask,
            claim.job,
            SubtaskState.RUNNING,
            SubtaskState.REPORTED,
            report.outcome.kind,
            attempt_id=claim.attempt,
        )
        move_subtasks(connection, [move], worker_id, reported_at)
        ring(connection)
    return True


def _stale(connection: Connection, claim: Claim, worker_id: str) -> bool:
    """Whether this very report had been accepted before and only its answer was lost."""
    row = connection.execute(
        select(attempt.c.state, attempt.c.fence, attempt.c.claim_token, attempt.c.report).where(
            attempt.c.id == claim.attempt
        )
    ).one()
    if row.report is not None and row.fence == claim.fence and row.claim_token == claim.token:
        return True
    stale = Event(
        at=now(connection),
        kind=EventKind.ATTEMPT_STALE,
        actor=worker_id,
        job_id=claim.job,
        subtask_id=claim.subtask,
        attempt_id=claim.attempt,
        sentence=f"a report at fence {claim.fence} came late: the attempt is {row.state}",
    )
    events.record(connection, stale)
    return False
