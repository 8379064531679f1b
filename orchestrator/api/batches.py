"""Batches: many jobs in one request, each accepted or refused on its own."""

from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import Field, ValidationError

from contracts.base import Contract
from contracts.jobs import JobRequest
from orchestrator.api.documents import ProblemDocument
from orchestrator.api.jobs import JobAccepted, accept
from orchestrator.api.refusals import problem_document, unreachable_document
from orchestrator.api.services import Services, With
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.problems import KEY, LONGEST_KEY, Malformed, Problem, faults
from orchestrator.reads.base import Read

router = APIRouter(tags=["jobs"])
MOST_JOBS = 200
_PATH = "/v1/jobs/batch"


class Item(Contract):
    """One job of a batch, with its idempotency key."""

    key: str | None = Field(default=None, min_length=1, max_length=LONGEST_KEY, pattern=KEY)
    job: dict[str, Any]
    """The body of ``POST /v1/jobs``; it is checked by itself, so that it fails by itself."""


class Answer(Read):
    """What became of one job: the status it would have had alone, and either the job or the problem."""

    status: int
    job: JobAccepted | None = None
    problem: ProblemDocument | None = None


class BatchAnswer(Read):
    """The answers in the order of the jobs."""

    items: tuple[Answer, ...]


@router.post("/jobs/batch")
def submit_batch(
    services: With, items: Annotated[list[Item], Body(min_length=1, max_length=MOST_JOBS)]
) -> BatchAnswer:
    """Hands over up to 200 jobs. Where the ledger goes away before any was accepted, the answer is 503."""
    answers: list[Answer] = []
    for item in items:
        try:
            answers.append(_answer(services, item))
        except LedgerUnreachable as error:
            if not any(answer.job for answer in answers):
                raise
            lost = Answer(status=503, problem=unreachable_document(str(error), _PATH))
            answers += [lost] * (len(items) - len(answers))
            break
    return BatchAnswer(items=tuple(answers))


def _answer(services: Services, item: Item) -> Answer:
    try:
        accepted = accept(services, _request(item), item.key)
    except Problem as problem:
        return Answer(status=problem.status, problem=problem_document(problem, _PATH))
    return Answer(status=202 if accepted.created else 200, job=accepted)


def _request(item: Item) -> JobRequest:
    try:
        return JobRequest.model_validate(item.job)
    except ValidationError as error:
        raise Malformed(faults(error.errors())) from None
