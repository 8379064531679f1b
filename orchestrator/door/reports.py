"""Reports: what a worker hands in, accepted at the fence it was claimed at and nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from contracts.reports import Report
from contracts.states import AttemptState, SubtaskState
from orchestrator.door.claims import Claim, Unreadable
from orchestrator.ledger import events
from orchestrator.ledger.clock import now, wall_clock
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.moves import MovedMeanwhile, SubtaskMove, move_subtasks
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
)


@dataclass(frozen=True)
class Delivered:
    """A report on its way in, under the claim it was worked at."""

    claim: Claim | Unreadable
    report: Report
    worker: str


def hand_in(ledger: Ledger, reports: Sequence[Delivered]) -> list[bool]:
    """Hands reports in. One alone is answered False where its fence has moved on: it is written down and
    dropped. Several raise MovedMeanwhile where that is so of any, and nothing is handed in."""
    # In one order for everybody, so that two groups with the same attempts cannot wait for each other.
    rows = [_row(each) for each in sorted(reports, key=lambda each: each.claim.attempt)]
    with ledger.write() as connection:
        accepted = connection.execute(_REPORT, rows).rowcount
        if accepted != len(reports):
            if len(reports) > 1:
                raise MovedMeanwhile(f"of {len(reports)} reports {accepted} came in time")
            return [_accepted_before(connection, each) for each in reports]
        at = now(connection)
        for worker in {each.worker for each in reports}:
            move_subtasks(connection, [_move(each) for each in reports if each.worker == worker], worker, at)
        ring(connection)
    return [True] * len(reports)


def _row(each: Delivered) -> dict[str, Any]:
    return {
        "_id": each.claim.attempt,
        "_fence": each.claim.fence,
        "_report": each.report.model_dump(mode="json"),
        "_seconds": each.report.worker_seconds,
    }


def _move(each: Delivered) -> SubtaskMove:
    return SubtaskMove(
        each.claim.subtask,
        each.claim.job,
        SubtaskState.SUBMITTED if each.claim.submitted else SubtaskState.RUNNING,
        SubtaskState.REPORTED,
        each.report.outcome.kind,
        attempt_id=each.claim.attempt,
    )


def _accepted_before(connection: Connection, late: Delivered) -> bool:
    """Whether this very report had been accepted before and only its answer was lost."""
    claim = late.claim
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
        actor=late.worker,
        job_id=claim.job,
        subtask_id=claim.subtask,
        attempt_id=claim.attempt,
        sentence=f"a report at fence {claim.fence} came late: the attempt is {row.state}",
    )
    events.record(connection, stale)
    return False
