"""What operators change while the fleet runs: what every change says, and the list of them."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import StringConstraints

from contracts.base import Contract
from orchestrator.api.parameters import DEFAULT_LIMIT, Cursor, Limit
from orchestrator.api.services import With
from orchestrator.reads.changes import ChangeRead, setting_changes
from orchestrator.reads.paging import Page

router = APIRouter(prefix="/budgets/changes", tags=["economy"])


class Change(Contract):
    """Who changes something, and why; it is kept with what was and what is."""

    by: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500)]


@router.get("")
def list_changes(services: With, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Page[ChangeRead]:
    """What operators changed of budgets, floors, weights and spending caps, the latest first."""
    with services.ledger.read() as connection:
        return setting_changes(connection, limit, cursor)
