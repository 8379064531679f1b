"""What the fleet is short of, and what mends it."""

from typing import Annotated

from fastapi import APIRouter, Query

from orchestrator.api.services import With
from orchestrator.reads.diagnosis import WINDOW_SECONDS, DiagnosisRead, diagnosis

router = APIRouter(tags=["economy"])
SHORTEST_SECONDS = 60.0
LONGEST_SECONDS = 86_400.0


@router.get("/diagnosis")
def show_diagnosis(
    services: With,
    window_seconds: Annotated[float, Query(ge=SHORTEST_SECONDS, le=LONGEST_SECONDS)] = WINDOW_SECONDS,
) -> DiagnosisRead:
    """What the fleet was short of in a trailing window, by default a quarter of an hour."""
    with services.ledger.read() as connection:
        return diagnosis(connection, services.catalog, services.settings.lease_seconds, window_seconds)
