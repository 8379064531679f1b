"""Taint: a result found wrong, and everything that was built on it."""

from fastapi import APIRouter
from pydantic import Field

from contracts.base import Contract
from orchestrator.api.parameters import IdOrPrefix
from orchestrator.api.services import With
from orchestrator.reads import ids
from orchestrator.reads.taint import TaintedRead, making_anew
from orchestrator.tainting import find_wrong

router = APIRouter(prefix="/subtasks", tags=["explain"])


class Taint(Contract):
    """Who found a result wrong, and what is wrong with it."""

    by: str = Field(min_length=1, max_length=100)
    why: str = Field(min_length=1, max_length=2000)


@router.post("/{subtask_id}/taint")
def taint_subtask(services: With, subtask_id: IdOrPrefix, found: Taint) -> TaintedRead:
    """Marks a result as wrong, and what was built on it in any job. Nothing is stopped but effects that would be
    built on it; where one was applied already, a person is called."""
    with services.ledger.read() as connection:
        whole = ids.subtask_id(connection, subtask_id)
    marked = find_wrong(services.ledger, whole, found.by, found.why)
    return TaintedRead(
        cause=marked.cause,
        results=marked.results,
        jobs=marked.jobs,
        effects=marked.effects,
        replay=making_anew(marked.cause),
    )
