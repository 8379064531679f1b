"""Dead letters: what ended unwell, kept whole."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from sqlalchemy import Connection

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
    whole_signature,
)
from orchestrator.reads.paging import Page
from orchestrator.reads.post_mortems import DeadLetterRead, dead_letter_read

router = APIRouter(prefix="/dead-letters", tags=["dead letters"])
_CHOICES: dict[str, bool | None] = {"no": False, "yes": True, "all": None}
Choice = Annotated[Literal["no", "yes", "all"], Query()]


class Discard(Contract):
    """Who settles a dead letter, and why nobody has to do anything about it any more."""

    by: str = Field(min_length=1, max_length=100)
    why: str = Field(min_length=1, max_length=2000)


class _Asked:
    """The parameters that narrow a list of dead letters."""

    def __init__(
        self,
        lane: Word = None,
        category: Word = None,
        code: Word = None,
        tenant: Word = None,
        workflow: Word = None,
        job_id: Word = None,
        signature: Annotated[
            str | None, Query(max_length=71, description="a signature, or at least its first six digits")
        ] = None,
        discarded: Choice = "no",
        replayed: Choice = "no",
    ) -> None:
        self._signature = signature
        self._others = DeadLetterFilter(
            lane=lane,
            category=category,
            code=code,
            tenant=tenant,
            workflow=workflow,
            job_id=job_id,
            discarded=_CHOICES[discarded],
            replayed=_CHOICES[replayed],
        )

    def narrowing(self, connection: Connection) -> DeadLetterFilter:
        """With the whole signature; raises NotFound or Conflict where none or several begin as given."""
        if self._signature is None:
            return self._others
        whole = whole_signature(connection, self._signature)
        return self._others.model_copy(update={"signature": whole})


Asked = Annotated[_Asked, Depends()]


@router.get("")
def list_dead_letters(
    services: With, asked: Asked, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[DeadLetterLine]:
    """Dead letters, the latest first."""
    with services.ledger.read() as connection:
        return dead_letters(connection, asked.narrowing(connection), limit, cursor)


@router.get("/groups")
def group_dead_letters(
    services: With, asked: Asked, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[DeadLetterGroup]:
    """The same, counted by what they died of, the largest group first."""
    with services.ledger.read() as connection:
        return dead_letter_groups(connection, asked.narrowing(connection), limit, cursor)


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
