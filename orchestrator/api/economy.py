"""What the fleet may spend and what it spends it on: budgets and the autonomy tax."""

from typing import Annotated

from fastapi import APIRouter, Query

from orchestrator.api.services import With
from orchestrator.reads.budgets import BudgetRead, budgets
from orchestrator.reads.paging import Page
from orchestrator.reads.tax import DAY_SECONDS, TaxRead, tax

router = APIRouter(tags=["economy"])
YEAR_SECONDS = 366 * DAY_SECONDS


@router.get("/budgets")
def list_budgets(services: With) -> Page[BudgetRead]:
    """What each vendor account allows, and what is left of it now."""
    with services.ledger.read() as connection:
        return Page(items=budgets(connection))


@router.get("/tax")
def show_tax(
    services: With, window_seconds: Annotated[float, Query(gt=0, le=YEAR_SECONDS)] = DAY_SECONDS
) -> TaxRead:
    """The autonomy tax over a trailing window, by default a day."""
    with services.ledger.read() as connection:
        return tax(connection, window_seconds)
