"""Refusals: every error of a request becomes a problem document with one sentence."""

import re
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response

from orchestrator.api.documents import ProblemDocument, document, response
from orchestrator.api.patience import RETRY_AFTER_SECONDS
from orchestrator.artifacts import ArtifactMissing, StoreUnreachable
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.problems import Malformed, NotFound, Problem, faults


def add_handlers(app: FastAPI) -> None:
    """Teaches the app to answer every exception with a problem document."""
    handlers: dict[type[Exception], Any] = {
        Problem: _refused,
        ArtifactMissing: _artifact_missing,
        StoreUnreachable: _store_unreachable,
        RequestValidationError: _invalid,
        HTTPException: _http,
        LedgerUnreachable: _unreachable,
        PoolTimeout: _unreachable,
        Exception: _broken,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def problem_document(problem: Problem, path: str) -> ProblemDocument:
    return document(kind_of(type(problem)), problem.title, problem.status, str(problem), path)


def kind_of(problem: type[Problem]) -> str:
    """``NotFound`` is ``not-found``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", problem.__name__).lower()


def unreachable_document(detail: str, path: str) -> ProblemDocument:
    return document("unavailable", "the ledger does not answer", 503, f"{detail}; nothing was accepted", path)


async def _refused(request: Request, problem: Problem) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if problem.status == HTTPStatus.UNAUTHORIZED else None
    return response(problem_document(problem, request.url.path), headers)


async def _artifact_missing(request: Request, missing: ArtifactMissing) -> Response:
    return response(problem_document(NotFound(str(missing)), request.url.path))


async def _store_unreachable(request: Request, away: StoreUnreachable) -> Response:
    detail = f"{away}; nothing was accepted"
    problem = document("unavailable", "the artifact store does not answer", 503, detail, request.url.path)
    return response(problem, {"Retry-After": str(RETRY_AFTER_SECONDS)})


async def _invalid(request: Request, invalid: RequestValidationError) -> Response:
    # a place begins with where in the request it is: body, path, query, header
    errors = [{**error, "loc": error["loc"][1:]} for error in invalid.errors()]
    return response(problem_document(Malformed(faults(errors)), request.url.path))


async def _http(request: Request, error: HTTPException) -> Response:
    """What the framework itself refuses: unknown paths, other methods, bodies it cannot read."""
    phrase = HTTPStatus(error.status_code).phrase
    detail = {
        404: f"there is nothing at {request.url.path}; /openapi.json lists what there is",
        405: f"{request.method} is not offered at {request.url.path}",
        400: "the body could not be read as JSON in UTF-8",
    }.get(error.status_code, str(error.detail))
    kind = phrase.lower().replace(" ", "-")
    return response(
        document(kind, phrase.lower(), error.status_code, detail, request.url.path), error.headers
    )


async def _unreachable(request: Request, error: Exception) -> Response:
    detail = (
        str(error) if isinstance(error, LedgerUnreachable) else "the ledger is unreachable: it is too busy"
    )
    problem = unreachable_document(detail, request.url.path)
    return response(problem, {"Retry-After": str(RETRY_AFTER_SECONDS)})


async def _broken(request: Request, error: Exception) -> Response:
    detail = (
        f"the API failed on {request.method} {request.url.path} ({type(error).__name__}); its log says more"
    )
    return response(document("internal", "a defect of the fleet", 500, detail, request.url.path))
