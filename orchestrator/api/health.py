"""Health: whether this process lives, whether work can be carried, and the figures for Prometheus."""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from orchestrator.api.services import Services, With
from orchestrator.reads.figures.collector import LedgerFigures
from orchestrator.reads.readiness import Readiness, readiness

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """This process answers; it says nothing about the ledger."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(services: With, response: Response) -> Readiness:
    """503 while the ledger is away or not migrated, or while no orchestrator leads."""
    with services.ledger.read() as connection:
        found = readiness(connection)
    response.status_code = 200 if found.ready else 503
    return found


@router.get("/metrics", response_class=Response)
def metrics(request: Request, accept: Annotated[str, Header()] = "") -> Response:
    """Figures in the format that Prometheus asks for."""
    encode, media_type = choose_encoder(accept)
    return Response(encode(request.app.state.registry), media_type=media_type)


def make_registry(services: Services) -> CollectorRegistry:
    """The figures of one API process, and the ledger's where this process is the one that shows them."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    if services.ledger_figures:
        registry.register(LedgerFigures(services.ledger, services.catalog, tells_leader=True))
    return registry
