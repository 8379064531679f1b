"""Pauses: what is held, and how operators hold it and let it go on."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints

from orchestrator.api.changes import Change
from orchestrator.api.services import With
from orchestrator.deciders.switches import Scope
from orchestrator.pausing import Wish, hold, release
from orchestrator.reads.pauses import PausesRead, Released, pauses_read

router = APIRouter(prefix="/pauses", tags=["pauses"])

LONGEST_SECONDS = 366 * 86400.0


class Hold(Change):
    """Something to be held."""

    kills: bool = False
    """Whether what runs is stopped as well, at its next heartbeat."""
    for_seconds: float | None = Field(default=None, gt=0, le=LONGEST_SECONDS, allow_inf_nan=False)
    """After which it goes on by itself; None until somebody resumes it."""


By = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), Query()]
Why = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), Query()]
CatchUp = Annotated[bool, Query(description="Whether the newest skipped slot of each tick fires once.")]


@router.get("")
def list_pauses(services: With) -> PausesRead:
    """What is held, since when and by whom, with how much of it waits."""
    with services.ledger.read() as connection:
        return pauses_read(connection)


@router.put("/{scope}")
def hold_fleet(services: With, scope: Scope, wanted: Hold) -> PausesRead:
    """Holds the whole fleet; every other scope needs a name."""
    return _hold(services, scope, "", wanted)


@router.put("/{scope}/{name}")
def hold_scope(services: With, scope: Scope, name: str, wanted: Hold) -> PausesRead:
    """Holds a lane, a vendor, a tenant or a workflow: nothing of it is granted or claimed from now on."""
    return _hold(services, scope, name, wanted)


@router.delete("/{scope}")
def release_scope(
    services: With, scope: str, by: By, reason: Why = "", catch_up: CatchUp = False
) -> Released:
    """Lets the fleet go on; of another word, removes the row that cannot be read."""
    return _release(services, scope, "", by, reason, catch_up)


@router.delete("/{scope}/{name}")
def release_named(
    services: With, scope: str, name: str, by: By, reason: Why = "", catch_up: CatchUp = False
) -> Released:
    """Lets a lane, a vendor, a tenant or a workflow go on."""
    return _release(services, scope, name, by, reason, catch_up)


def _hold(services: With, scope: Scope, name: str, wanted: Hold) -> PausesRead:
    wish = Wish(scope, name, wanted.by, wanted.reason, wanted.kills, wanted.for_seconds)
    hold(services.ledger, services.catalog, wish)
    return list_pauses(services)


def _release(services: With, scope: str, name: str, by: str, reason: str, catch_up: bool) -> Released:
    fired = release(services.ledger, scope, name, by, reason, catch_up)
    return Released(ticks_to_fire=fired, pauses=list_pauses(services))
