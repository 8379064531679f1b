"""Limits, floors and weights: what operators set of them while the fleet runs."""

from fastapi import APIRouter
from pydantic import Field

from contracts.jobs import Name
from orchestrator.api.changes import Change
from orchestrator.api.services import With
from orchestrator.reads.budgets import BudgetRead, budgets
from orchestrator.reads.shares import SharesRead, shares_read
from orchestrator.sharing import FloorKind, set_floor, set_weight
from orchestrator.tuning import open_account, set_limit

router = APIRouter(prefix="/budgets", tags=["economy"])


class SetLimit(Change):
    """A limit to be set."""

    key: str = Field(max_length=200)
    """``vendor/account/group``."""
    dimension: str = Field(max_length=64)
    """One of the budget's dimensions, ``concurrency`` or ``burst_seconds``."""
    value: float = Field(gt=0, allow_inf_nan=False)
    """Per minute, or per day where the dimension says so; calls at once; seconds of burst."""


class OpenAccount(Change):
    """A closed account to be opened."""

    key: str = Field(max_length=200)


class SetFloor(Change):
    """A floor to be set."""

    kind: FloorKind
    name: str = Field(max_length=64)
    """Of the purpose or lane; ``urgent`` is the one priority that has a floor."""
    fraction: float = Field(ge=0, le=1, allow_inf_nan=False)
    """Of every pool; 0 keeps none."""


class SetWeight(Change):
    """A weight to be set."""

    tenant: str = Name
    weight: float = Field(gt=0, le=1_000_000, allow_inf_nan=False)
    """Against 1, which every tenant weighs where nothing else is set."""


@router.put("/limits")
def put_limit(services: With, wanted: SetLimit) -> BudgetRead:
    """Sets a limit. It holds from the next dispatch on; a day's raised limit adds nothing to the day that runs.
    It outranks the catalog, also one that is changed later."""
    set_limit(services.ledger, wanted.key, wanted.dimension, wanted.value, wanted.by, wanted.reason)
    return _budget(services, wanted.key)


@router.post("/open")
def open_closed(services: With, wanted: OpenAccount) -> BudgetRead:
    """Opens a closed account before its time. What its vendor's overload taught stays."""
    open_account(services.ledger, wanted.key, wanted.by, wanted.reason)
    return _budget(services, wanted.key)


@router.get("/shares")
def show_shares(services: With) -> SharesRead:
    """The floors and weights that hold."""
    with services.ledger.read() as connection:
        return shares_read(connection)


@router.put("/floors")
def put_floor(services: With, wanted: SetFloor) -> SharesRead:
    """Keeps a part of every pool for a purpose, a lane or urgent work."""
    set_floor(
        services.ledger,
        services.catalog,
        wanted.kind,
        wanted.name,
        wanted.fraction,
        wanted.by,
        wanted.reason,
    )
    return show_shares(services)


@router.put("/weights")
def put_weight(services: With, wanted: SetWeight) -> SharesRead:
    """Lets a tenant weigh more or less against the others."""
    set_weight(services.ledger, wanted.tenant, wanted.weight, wanted.by, wanted.reason)
    return show_shares(services)


def _budget(services: With, key: str) -> BudgetRead:
    with services.ledger.read() as connection:
        return next(each for each in budgets(connection) if each.key == key)
