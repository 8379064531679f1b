"""Dead letters: what ended unwell, kept whole."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from contracts.base import Contract
from orchestrator import inbox
from orchestrator.api.parameters import DEFAULT_LIMIT, Cursor, Id, IdOrPrefix, Limit, Word
from orchestrator.api.services import With
from orchestrator.reads.dead_letters import (
    DeadLetterFilter,
    DeadLetterGroup,
    DeadLetterLine,
    dead_letter_groups,
    dead_letters,
)
from orchestrator.reads.paging import Page
from orchestrator.reads.post_mortems import DeadLetterRead, dead_letter_read

router = APIRouter(prefix="/dead-letters", tags=["dead letters"])
_DISCARDED: dict[str, bool | None] = {"no": False, "yes": True, "all": None}


class Discard(Contract):
    """Who settles a dead letter, and why nobody has to do anything about it any more."""

    by: str = Field(min_length=1, max_length=100)
    why: str = Field(min_length=1, max_length=2000)


@router.get("")
def list_dead_letters(
    services: With,
    lane: Word = None,
    category: Word = None,
    code: Word = None,
    tenant: Word = None,
    job_id: Word = None,
    discarded: Annotated[Literal["no", "yes", "all"], Query()] = "no",
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[DeadLetterLine]:
    """Dead letters, the latest first."""
    wanted = _wanted(lane, category, code, tenant, job_id, discarded)
    with services.ledger.read() as connection:
        return dead_letters(connection, wanted, limit, cursor)


@router.get("/groups")
def group_dead_letters(
    services: With,
    lane: Word = None,
    category: Word = None,
    code: Word = None,
    tenant: Word = None,
    job_id: Word = None,
    discarded: Annotated[Literal["no", "yes", "all"], Query()] = "no",
) -> Page[DeadLetterGroup]:
    """The same, counted by lane, category and code."""
    wanted = _wanted(lane, category, code, tenant, job_id, discarded)
    with services.ledger.read() as connection:
        return Page(items=dead_letter_groups(connection, wanted))


@router.get("/{subtask_id}")
def show_dead_letter(services: With, subtask_id: IdOrPrefix) -> DeadLetterRead:
    """One dead letter whole: handoff, attempts, the exchange around it."""
    with services.ledger.read() as connection:
        return dead_letter_read(connection, subtask_id)


@router.post("/{subtask_id}/discard")
def discard_dead_letter(services: With, subtask_id: Id, discard: Discard) -> DeadLetterRead:
    """Marks it as settled by a person; it is kept."""
    inbox.discard(services.ledger, subtask_id, discard.by, discard.why)
    with services.ledger.read() as connection:
        return dead_letter_read(connection, subtask_id)


def _wanted(
    lane: str | None,
    category: str | None,
    code: str | None,
    tenant: str | None,
    job_id: str | None,
    discarded: str,
) -> DeadLetterFilter:
    return DeadLetterFilter(
        lane=lane,
        category=category,
        code=code,
        tenant=tenant,
        job_id=job_id,
        discarded=_DISCARDED[discarded],
    )
