"""The witness's stand: what the simulator saw, and what it shall do next. Outside every vendor's path."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from workers.simulator.batches import Batches
from workers.simulator.exchange import Exchange
from workers.simulator.faults import ScriptedFault


def admin_routes(exchange: Exchange, batches: Batches) -> list[Route]:
    """Ledger, totals, faults, reset."""

    async def ledger(request: Request) -> Response:
        after = request.query_params.get("after", "0")
        if not after.isdecimal():
            return JSONResponse({"error": "after is a row's number"}, 400)
        return JSONResponse({"rows": exchange.ledger.rows(int(after))})

    async def totals(request: Request) -> Response:
        return JSONResponse(exchange.ledger.totals())

    async def faults(request: Request) -> Response:
        if request.method == "DELETE":
            exchange.script.clear()
        if request.method == "POST":
            try:
                for each in _listed(await request.json()):
                    exchange.script.add(ScriptedFault.of(each))
            except (ValueError, TypeError, re.error) as problem:
                return JSONResponse({"error": str(problem)}, 400)
        return JSONResponse({"faults": exchange.script.rows()})

    async def reset(request: Request) -> Response:
        exchange.reset()
        batches.reset()
        return JSONResponse({"reset": True})

    return [
        Route("/__admin/ledger", ledger),
        Route("/__admin/totals", totals),
        Route("/__admin/faults", faults, methods=["GET", "POST", "DELETE"]),
        Route("/__admin/reset", reset, methods=["POST"]),
    ]


def _listed(body: Any) -> list[dict[str, Any]]:
    """One fault or several. Raises ``ValueError`` for anything else, before any fault is taken in."""
    faults = body if isinstance(body, list) else [body]
    for each in faults:
        if not isinstance(each, dict):
            raise ValueError("a fault is an object")
        ScriptedFault.of(each)
    return faults
