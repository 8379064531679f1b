"""Anthropic's address for an organisation's rate limits, which takes an admin key. It meters nothing, asks no
model and leaves no row in the ledger of calls."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from workers.simulator.call import bearer
from workers.simulator.dialects import ANTHROPIC
from workers.simulator.exchange import Exchange
from workers.simulator.failure import Failure, FailureKind
from workers.simulator.limiter import METERED
from workers.simulator.settings import Limits, Settings
from workers.simulator.visit import new_request_id

SIMULATED_ADMIN = "simulated-admin-"
"""How the admin keys of a fleet without keys begin; its keys for models begin with ``simulated-``."""
TYPES = {
    "requests": "requests_per_minute",
    "input_tokens": "input_tokens_per_minute_cache_aware",
    "output_tokens": "output_tokens_per_minute",
}
"""The vendor's word for each dimension it meters."""


def limit_routes(exchange: Exchange) -> list[Route]:
    """The list of limits."""

    async def listed(request: Request) -> Response:
        key = request.headers.get("x-api-key") or bearer(dict(request.headers))
        account = _account_of(exchange.settings, key)
        request_id = new_request_id()
        if account is None:
            kind = FailureKind.UNAUTHORISED if key else FailureKind.NO_KEY
            wire = ANTHROPIC.failure(Failure(kind), request_id)
            return JSONResponse(wire.body, wire.status, ANTHROPIC.headers({}, request_id))
        groups = exchange.limiter.groups(ANTHROPIC.vendor, account)
        entries = [_of_models(exchange.settings, account, name, models) for name, models in groups.items()]
        wanted = request.query_params.get("group_type")
        data = [each for each in [*entries, _of_batches(exchange.settings)] if wanted in (None, _type(each))]
        return JSONResponse({"data": data, "next_page": None}, headers=ANTHROPIC.headers({}, request_id))

    return [Route("/anthropic/v1/organizations/rate_limits", listed)]


def _account_of(settings: Settings, key: str) -> str | None:
    """The account that an admin key administers; None for any other key."""
    if key in settings.admin_keys:
        return settings.admin_keys[key]
    name = key.removeprefix(SIMULATED_ADMIN)
    return settings.account_of(f"simulated-{name}") if name not in ("", key) else None


def _of_models(settings: Settings, account: str, group: str, models: list[str]) -> dict[str, Any]:
    limits: Limits = settings.limits_of(ANTHROPIC.vendor, account, group)
    values = {each: getattr(limits, f"{each}_per_minute") for each in METERED[ANTHROPIC.vendor]}
    return _entry(
        {"id": f"rlg_{group}", "type": "model_group", "display_name": group},
        models,
        {TYPES[dimension]: value for dimension, value in values.items()},
    )


def _of_batches(settings: Settings) -> dict[str, Any]:
    group = {"id": "rlg_batch", "type": "batch"}
    return _entry(group, None, {"enqueued_batch_requests": settings.batches.queued_requests})


def _entry(group: dict[str, str], models: list[str] | None, limits: dict[str, float]) -> dict[str, Any]:
    listed = [{"type": name, "value": int(value)} for name, value in limits.items()]
    return {
        "id": f"rl_{group['id']}",
        "type": "rate_limit",
        "group": group,
        "models": models,
        "limits": listed,
    }


def _type(entry: dict[str, Any]) -> Any:
    return entry["group"]["type"]
