"""Blockers: what is missing, who waits for it, and what supplies it."""

from typing import Annotated

from fastapi import APIRouter, Query

from orchestrator.api.parameters import DEFAULT_LIMIT, Cursor, Limit
from orchestrator.api.services import With
from orchestrator.reads.blockers import BlockerRead, blockers
from orchestrator.reads.paging import Page

router = APIRouter(prefix="/blockers", tags=["jobs"])


@router.get("")
def list_blockers(
    services: With,
    resolved: Annotated[bool, Query(alias="all")] = False,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[BlockerRead]:
    """The missing prerequisites that hold work, oldest first; ``all=true`` adds those that are resolved."""
    with services.ledger.read() as connection:
        return blockers(connection, resolved, limit, cursor)
