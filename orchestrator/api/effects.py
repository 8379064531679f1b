"""Effects: what a person found where nobody knew whether one was applied."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from contracts.base import Contract
from orchestrator.api.services import With
from orchestrator.reads.effects import SettledRead
from orchestrator.vouching import settle

router = APIRouter(prefix="/effects", tags=["dead letters"])


class Settlement(Contract):
    """Who looked, and what they found."""

    key: str = Field(min_length=1, max_length=71)
    """As the dead letter or the escalation names it."""
    applied: bool
    by: str = Field(min_length=1, max_length=100)
    why: str = Field(min_length=1, max_length=2000)
    result: dict[str, Any] | None = None
    """What it came to, by the contract that its step delivers; where that needs nothing, it may be left out."""


@router.post("/settle")
def settle_effect(services: With, found: Settlement) -> SettledRead:
    """Says whether an effect was applied whose end nobody knew. One that was counts as applied; of one that was not
    the intent is taken back, so that a replay applies it."""
    target = settle(services.ledger, found.key, found.applied, found.by, found.why, found.result)
    return SettledRead(key=found.key, target=target, applied=found.applied)
