"""Cancelling: a wish, written down. The loop stops what has not started, and heartbeats tell what runs."""

from sqlalchemy import select, update

from orchestrator.ledger import events
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.tables import job
from orchestrator.problems import Conflict, Malformed, NotFound
from orchestrator.wake import ring


def request_cancel(ledger: Ledger, job_id: str, by: str) -> bool:
    """Asks for a job to be cancelled; False where that was asked before. Raises a Problem where the job is
    unknown or has ended."""
    person = by.strip()
    if not person or len(person) > 100:
        raise Malformed("by: name who cancels, in 1 to 100 characters")
    with ledger.write() as connection:
        row = connection.execute(select(job).where(job.c.id == job_id).with_for_update()).one_or_none()
        if row is None:
            raise NotFound(f"no job {job_id} is in the ledger")
        if row.ended_at is not None:
            raise Conflict(f"job {job_id} has ended ({row.state}); what ended stays ended")
        if row.cancel_requested_by is not None:
            return False
        connection.execute(update(job).where(job.c.id == job_id).values(cancel_requested_by=person))
        event = Event(at=now(connection), kind=EventKind.CANCEL_REQUESTED, actor=person, job_id=job_id)
        events.record(connection, event)
        ring(connection)
    return True
