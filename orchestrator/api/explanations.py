"""Explanations: why a job or subtask exists, what happened, what it waits for and what it took."""

from fastapi import APIRouter

from orchestrator.api.parameters import IdOrPrefix
from orchestrator.api.services import With
from orchestrator.reads.explain import Explanation, explain_job, explain_subtask

router = APIRouter(tags=["explain"])


@router.get("/jobs/{job_id}/explain")
def of_job(services: With, job_id: IdOrPrefix) -> Explanation:
    with services.ledger.read() as connection:
        return explain_job(connection, job_id)


@router.get("/subtasks/{subtask_id}/explain")
def of_subtask(services: With, subtask_id: IdOrPrefix) -> Explanation:
    with services.ledger.read() as connection:
        return explain_subtask(connection, subtask_id)
