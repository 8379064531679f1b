"""Reports: what a worker hands in, accepted at the fence it was claimed at and nowhere else.

An answer that was paid for while its attempt was given back takes the place of that, for as long as nobody has
acted upon it. Later than that it counts no more, and is kept on the attempt as evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from contracts.failures import Code, Failure
from contracts.reports import Completed, Failed, Report
from contracts.states import AttemptState, SubtaskState
from orchestrator.door.claims import Claim, Unreadable
from orchestrator.ledger import artifacts, events
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
            return [_after_all(connection, each) for each in reports]
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


def _after_all(connection: Connection, late: Delivered) -> bool:
    """Whether a report counts though its attempt was reported on or taken away: this very report may have been
    accepted before, and only its answer was lost; or all that came before it was that the attempt is given back."""
    claim = late.claim
    columns = attempt.c.state, attempt.c.fence, attempt.c.claim_token, attempt.c.code, attempt.c.report
    query = select(*columns).where(attempt.c.id == claim.attempt)
    # Locked, so that nobody settles meanwhile what is replaced here.
    row = connection.execute(query.with_for_update()).one()
    mine = row.fence == claim.fence and row.claim_token == claim.token
    if mine and row.state in (AttemptState.REPORTED, AttemptState.SETTLED):
        if not (_gives_back(row.report) and _knows_more(late.report)):
            return True
        if row.state == AttemptState.REPORTED:
            _replace(connection, late)
            return True
    if mine and late.report.call is not None:
        _keep_as_evidence(connection, row, late)
    why = f"a report at fence {claim.fence} came late: the attempt is {row.state}"
    events.record(connection, _told(connection, EventKind.ATTEMPT_STALE, late, why))
    return False


def _gives_back(kept: dict[str, Any]) -> bool:
    """Whether a report says no more than that its attempt was not ended."""
    outcome = Report.read(kept).outcome
    return isinstance(outcome, Failed) and outcome.failure.code is Code.INTERRUPTED


def _knows_more(report: Report) -> bool:
    """Whether a report brings what was paid for, or at least what it cost."""
    answered = report.call is not None and report.call.usage is not None
    return answered or isinstance(report.outcome, Completed)


def _replace(connection: Connection, late: Delivered) -> None:
    values = {"report": late.report.model_dump(mode="json"), "worker_seconds": late.report.worker_seconds}
    connection.execute(update(attempt).where(attempt.c.id == late.claim.attempt).values(**values))
    why = "its answer came in after it was given back, and counts"
    events.record(connection, _told(connection, EventKind.ATTEMPT_ANSWERED, late, why))


def _told(connection: Connection, kind: EventKind, late: Delivered, sentence: str) -> Event:
    claim = late.claim
    at = now(connection)
    return Event(at, kind, late.worker, claim.job, claim.subtask, claim.attempt, sentence=sentence)


def _keep_as_evidence(connection: Connection, row: Any, late: Delivered) -> None:
    """Its call with what it cost, its artifacts, and nothing that anybody decides by: the attempt is charged."""
    report = late.report
    lost = Failure(code=Code(row.code or Code.INTERRUPTED), sentence="it was over when its answer came in")
    before = Report.read(row.report).outcome if row.report else Failed(failure=lost)
    kept = Report(outcome=before, call=report.call, worker_seconds=report.worker_seconds)
    values = {"report": kept.model_dump(mode="json")}
    connection.execute(update(attempt).where(attempt.c.id == late.claim.attempt).values(**values))
    named = [ref.model_dump(mode="json") for ref in report.artifacts()]
    artifacts.note(connection, named, now(connection))
