"""Approvals: what waits for a person, and the person's answer."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from contracts.base import Contract
from orchestrator import inbox
from orchestrator.api.parameters import DEFAULT_LIMIT, Cursor, Id, Limit
from orchestrator.api.services import With
from orchestrator.reads.approvals import ApprovalLine, ApprovalRead, approval_read, approvals
from orchestrator.reads.paging import Page

router = APIRouter(prefix="/approvals", tags=["approvals"])
State = Literal["waiting", "approved", "rejected", "revise", "lapsed", "all"]


class Answer(Contract):
    """A person's answer. With `digest` it holds only for exactly what they saw."""

    decision: inbox.Decision
    by: str = Field(min_length=1, max_length=100)
    comment: str = Field(default="", max_length=2000)
    digest: str | None = Field(default=None, max_length=71)


@router.get("")
def list_approvals(
    services: With,
    state: Annotated[State, Query()] = "waiting",
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ApprovalLine]:
    """Approvals, the oldest first."""
    with services.ledger.read() as connection:
        return approvals(connection, None if state == "all" else state, limit, cursor)


@router.get("/{approval_id}")
def show_approval(services: With, approval_id: Id) -> ApprovalRead:
    """One question with everything that is needed to decide."""
    with services.ledger.read() as connection:
        return approval_read(connection, approval_id)


@router.post("/{approval_id}/answer")
def answer_approval(services: With, approval_id: Id, answer: Answer) -> ApprovalRead:
    """Approves, rejects or asks for a revision. Who asked for the job cannot answer."""
    inbox.answer(services.ledger, approval_id, answer.decision, answer.by, answer.comment, answer.digest)
    with services.ledger.read() as connection:
        return approval_read(connection, approval_id)
