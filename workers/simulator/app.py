"""The addresses of the simulator."""

import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from workers.simulator.admin import admin_routes
from workers.simulator.batch_routes import batch_routes, gemini_submission
from workers.simulator.batches import Batches
from workers.simulator.call import Inbound, Rejected
from workers.simulator.dialects import ANTHROPIC, GEMINI, OPENAI, OPENAI_CHAT
from workers.simulator.dialects.dialect import Dialect
from workers.simulator.exchange import Exchange
from workers.simulator.ledger import Ledger
from workers.simulator.limit_routes import limit_routes
from workers.simulator.settings import Settings

Endpoint = Callable[[Request], Awaitable[Response]]
Handler = Callable[[Request, str | None], Awaitable[Response]]
"""Handles a request to a model; the model is None where the body names it."""


def simulator_app(settings: Settings, ledger_path: Path | None = None) -> Starlette:
    """The whole simulator as one application."""
    exchange = Exchange(settings, Ledger(ledger_path), time.monotonic)
    batches = Batches(exchange, time.monotonic)
    gemini = _gemini(exchange, batches)
    return Starlette(
        routes=[
            Route("/healthz", _health),
            *admin_routes(exchange, batches),
            *batch_routes(exchange, batches),
            *limit_routes(exchange),
            _post("/anthropic/v1/messages", _plain(_conversation(exchange, ANTHROPIC))),
            _post("/anthropic/v1/messages/count_tokens", _plain(_count(exchange, ANTHROPIC))),
            _post("/openai/v1/responses", _plain(_conversation(exchange, OPENAI))),
            _post("/openai/v1/responses/input_tokens", _plain(_count(exchange, OPENAI))),
            _post("/openai/v1/chat/completions", _plain(_conversation(exchange, OPENAI_CHAT))),
            _post("/gemini/v1/models/{target:path}", gemini),
            _post("/gemini/v1beta/models/{target:path}", gemini),
        ]
    )


def _post(path: str, endpoint: Endpoint) -> Route:
    return Route(path, endpoint, methods=["POST"])


async def _health(request: Request) -> Response:
    return PlainTextResponse("ok")


def _conversation(exchange: Exchange, dialect: Dialect) -> Handler:
    async def handler(request: Request, model: str | None = None) -> Response:
        try:
            call = dialect.read(await _inbound(request, model))
        except Rejected as rejected:
            return exchange.reject(dialect, rejected)
        return await exchange.converse(dialect, call)

    return handler


def _count(exchange: Exchange, dialect: Dialect) -> Handler:
    async def handler(request: Request, model: str | None = None) -> Response:
        try:
            call = dialect.read(await _inbound(request, model))
        except Rejected as rejected:
            return exchange.reject(dialect, rejected)
        return exchange.count(dialect, call)

    return handler


def _plain(handler: Handler) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await handler(request, None)

    return endpoint


def _gemini(exchange: Exchange, batches: Batches) -> Endpoint:
    """Gemini writes model and method into one path segment: ``gemini-x:generateContent``."""
    methods = {
        "generateContent": _conversation(exchange, GEMINI),
        "countTokens": _count(exchange, GEMINI),
        "batchGenerateContent": gemini_submission(exchange, batches),
    }

    async def endpoint(request: Request) -> Response:
        model, _, method = request.path_params["target"].rpartition(":")
        if method not in methods:
            return PlainTextResponse(f"no method {method}; there are {', '.join(methods)}", 404)
        return await methods[method](request, model)

    return endpoint


async def _inbound(request: Request, model: str | None) -> Inbound:
    try:
        body: Any = json.loads(await request.body() or b"{}")
    except ValueError:
        body = {}
    return Inbound(
        headers={name.lower(): value for name, value in request.headers.items()},
        query=dict(request.query_params),
        body=body if isinstance(body, dict) else {},
        model=model,
    )
