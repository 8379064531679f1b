"""Jobs: handing one over, looking at it, cancelling it."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from contracts.base import Contract
from contracts.jobs import JobRequest
from contracts.states import JobState
from orchestrator.api.parameters import DEFAULT_LIMIT, Cursor, Id, IdOrPrefix, Key, Limit, Word
from orchestrator.api.services import Services, With
from orchestrator.cancelling import request_cancel
from orchestrator.reads import ids
from orchestrator.reads.base import Read
from orchestrator.reads.jobs import JobFilter, JobLine, jobs
from orchestrator.reads.outcomes import JobRead, job_read, job_state
from orchestrator.reads.paging import Page

router = APIRouter(tags=["jobs"])


class JobAccepted(Read):
    """The answer to a submission. Follow `links` for how it goes on."""

    id: str
    state: JobState
    created: bool
    """False where the same key and body had made the job before."""
    links: dict[str, str]


class Cancel(Contract):
    """Who wants a job cancelled."""

    by: str = Field(min_length=1, max_length=100)


def links_of(job_id: str) -> dict[str, str]:
    here = f"/v1/jobs/{job_id}"
    return {"self": here, **{name: f"{here}/{name}" for name in ("events", "explain", "cancel")}}


def accept(services: Services, request: JobRequest, key: str | None) -> JobAccepted:
    """Hands the job in; raises a Problem, or LedgerUnreachable where nothing was accepted."""
    accepted = services.intake.submit(request, key)
    state = JobState.ACCEPTED
    if not accepted.created:
        with services.ledger.read() as connection:
            state = job_state(connection, accepted.job_id)
    return JobAccepted(
        id=accepted.job_id, state=state, created=accepted.created, links=links_of(accepted.job_id)
    )


@router.post("/jobs", status_code=202)
def submit(services: With, request: JobRequest, response: Response, key: Key = None) -> JobAccepted:
    """Hands over a job: 202 where it was made, 200 where the same key and body had made it before."""
    accepted = accept(services, request, key)
    response.status_code = 202 if accepted.created else 200
    response.headers["Location"] = accepted.links["self"]
    return accepted


@router.get("/jobs")
def list_jobs(
    services: With,
    state: Annotated[JobState | None, Query()] = None,
    workflow: Word = None,
    tenant: Word = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[JobLine]:
    """Jobs, newest first."""
    with services.ledger.read() as connection:
        return jobs(connection, JobFilter(state=state, workflow=workflow, tenant=tenant), limit, cursor)


@router.get("/jobs/{job_id}")
def show_job(services: With, job_id: IdOrPrefix) -> JobRead:
    """A job with its outcome: result summary, artifacts, cost and why."""
    with services.ledger.read() as connection:
        return job_read(connection, ids.job_id(connection, job_id))


@router.post("/jobs/{job_id}/cancel", status_code=202)
def cancel_job(services: With, job_id: Id, cancel: Cancel) -> JobRead:
    """Asks for a job to be cancelled. What has not started will not; what runs is told at its next beat."""
    request_cancel(services.ledger, job_id, cancel.by)
    with services.ledger.read() as connection:
        return job_read(connection, job_id)
