"""Spending caps: what may be spent by whom, and who said so."""

from fastapi import APIRouter
from pydantic import Field

from contracts.jobs import LARGEST_CAP_USD
from orchestrator.api.changes import Change
from orchestrator.api.services import With
from orchestrator.capping import set_cap
from orchestrator.deciders.spending import Period, Scope
from orchestrator.reads.caps import CapRead, spending_caps
from orchestrator.reads.paging import Page

router = APIRouter(prefix="/budgets/caps", tags=["economy"])


class SetCap(Change):
    """A cap to be set or removed."""

    scope: Scope
    name: str = Field(default="", max_length=64)
    """Of the tenant, lane or purpose, or the job's id; empty for the fleet."""
    period: Period
    """The day in UTC, or all that is ever spent; a job's own cap is on all."""
    limit_usd: float | None = Field(ge=0, le=LARGEST_CAP_USD, allow_inf_nan=False)
    """None removes the cap; at zero nothing that costs money is started."""


@router.get("")
def list_caps(services: With) -> Page[CapRead]:
    """Every spending cap, with what is spent and reserved of it."""
    with services.ledger.read() as connection:
        return Page(items=spending_caps(connection))


@router.put("")
def put_cap(services: With, wanted: SetCap) -> Page[CapRead]:
    """Sets, raises, lowers or removes a cap. Running work finishes; parked work goes on once there is room."""
    set_cap(
        services.ledger,
        services.catalog,
        wanted.scope,
        wanted.name,
        wanted.period,
        wanted.limit_usd,
        wanted.by,
        wanted.reason,
    )
    return list_caps(services)
