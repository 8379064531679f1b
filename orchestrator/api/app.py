"""The API as one ASGI application."""

from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from orchestrator.api import (
    approvals,
    artifacts,
    batches,
    blockers,
    caps,
    catalog,
    changes,
    dead_letters,
    diagnosis,
    economy,
    effects,
    escalations,
    events,
    explanations,
    health,
    jobs,
    pauses,
    replays,
    taints,
    tuning,
)
from orchestrator.api.access import with_key
from orchestrator.api.body_limit import BodyLimit
from orchestrator.api.documents import MEDIA_TYPE, ProblemDocument
from orchestrator.api.patience import Patience
from orchestrator.api.refusals import add_handlers
from orchestrator.api.services import Services
from orchestrator.api.text import storable

_JSON = (
    batches,
    jobs,
    blockers,
    events,
    explanations,
    taints,
    dead_letters,
    replays,
    effects,
    approvals,
    escalations,
    catalog,
    economy,
    caps,
    tuning,
    changes,
    diagnosis,
    pauses,
)
_PROBLEM: dict[str, Any] = {
    "model": ProblemDocument,
    "description": "refused, with one sentence in `detail`",
    "content": {MEDIA_TYPE: {}},
}


def create_app(services: Services) -> FastAPI:
    """The application. Nothing connects before the first request. The pages at ``/docs`` load their scripts
    from the internet; ``/openapi.json`` does not need it."""
    app = FastAPI(
        title="Tuesday fleet",
        version="1",
        description="Hand over jobs, learn how they ended, answer what waits for a person.",
        responses={"4XX": _PROBLEM, "5XX": _PROBLEM},
    )
    app.state.services = services
    app.state.registry = health.make_registry(services)
    app.add_middleware(BodyLimit, max_body_bytes=services.settings.max_body_bytes)
    app.add_middleware(Patience, answers=services.ledger.answers)
    add_handlers(app)
    app.include_router(health.router)
    app.include_router(_v1())
    return app


def _v1() -> APIRouter:
    v1 = APIRouter(prefix="/v1", dependencies=[Depends(with_key)])
    v1.include_router(artifacts.router)
    for module in _JSON:
        v1.include_router(module.router, dependencies=[Depends(storable)])
    return v1
