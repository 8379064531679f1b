"""What the API stands on, handed in by the wiring."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from contracts.catalog import Catalog
from orchestrator.artifacts import ArtifactStore
from orchestrator.intake import Intake
from orchestrator.ledger.engine import Ledger
from orchestrator.settings import Settings


@dataclass(frozen=True)
class Services:
    """One API process's parts."""

    ledger: Ledger
    catalog: Catalog
    store: ArtifactStore
    intake: Intake
    settings: Settings
    ledger_figures: bool = True
    """Whether ``/metrics`` carries the ledger's figures. Where the leader is scraped for them it should not,
    or they would be counted twice."""


def _of(request: Request) -> Services:
    return cast(Services, request.app.state.services)


With = Annotated[Services, Depends(_of)]
"""The services, as a parameter of an endpoint."""
