"""Escalations: calls for a person, and the person's note that they were heard."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from contracts.base import Contract
from orchestrator import inbox
from orchestrator.api.parameters import DEFAULT_LIMIT, Cursor, Id, Limit
from orchestrator.api.services import With
from orchestrator.reads.escalations import EscalationRead, escalation_read, escalations
from orchestrator.reads.outcomes import JobRead, job_read
from orchestrator.reads.paging import Page
from orchestrator.upkeep import ticker

router = APIRouter(prefix="/escalations", tags=["escalations"])


class Acknowledge(Contract):
    """Who took note."""

    by: str = Field(min_length=1, max_length=100)


class Drill(Contract):
    """Which drill is done, and who asks for it."""

    name: str = Field(min_length=1, max_length=64)
    by: str = Field(min_length=1, max_length=100)


@router.get("")
def list_escalations(
    services: With,
    open_only: Annotated[bool, Query(alias="open")] = False,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[EscalationRead]:
    """Escalations, newest first; ``open=true`` leaves out those that somebody took note of."""
    with services.ledger.read() as connection:
        return escalations(connection, open_only, limit, cursor)


@router.post("/drills", status_code=202)
def begin_drill(services: With, wanted: Drill) -> JobRead:
    """Has a drill done now that the clock does on schedule; answers its job."""
    job_id = ticker.drill(services.intake, services.catalog, wanted.name, wanted.by)
    with services.ledger.read() as connection:
        return job_read(connection, job_id)


@router.post("/{escalation_id}/acknowledge")
def acknowledge_escalation(services: With, escalation_id: Id, note: Acknowledge) -> EscalationRead:
    """Writes down that a person took note."""
    inbox.acknowledge(services.ledger, escalation_id, note.by)
    with services.ledger.read() as connection:
        return escalation_read(connection, escalation_id)
