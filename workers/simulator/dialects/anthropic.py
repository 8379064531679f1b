"""Anthropic's Messages API."""

from datetime import UTC, datetime, timedelta
from typing import Any

from workers.simulator.call import Call, Inbound, Rejected, bearer, correlation
from workers.simulator.dialects.dialect import Wire, joined_text, whole_seconds
from workers.simulator.failure import Failure, FailureKind, Produced
from workers.simulator.levels import Levels

_STOPS = {"end": "end_turn", "cut": "max_tokens", "refused": "refusal"}
_FAILURES: dict[FailureKind, tuple[int, str, str]] = {
    FailureKind.RATE_LIMITED: (
        429,
        "rate_limit_error",
        "This request would exceed your organization's rate limit",
    ),
    FailureKind.RATE_LIMITED_WITH_REMAINING: (
        429,
        "rate_limit_error",
        "Server is temporarily limiting requests",
    ),
    FailureKind.OVERLOAD: (529, "overloaded_error", "Overloaded"),
    FailureKind.SERVER_ERROR: (500, "api_error", "Internal server error"),
    FailureKind.SPEND_LIMIT: (429, "rate_limit_error", "Your organization has reached its spend limit"),
    FailureKind.UNAUTHORISED: (401, "authentication_error", "invalid x-api-key"),
    FailureKind.NO_KEY: (401, "authentication_error", "x-api-key header is required"),
    FailureKind.INVALID: (400, "invalid_request_error", "Invalid request"),
}
_WAITING = (FailureKind.RATE_LIMITED, FailureKind.RATE_LIMITED_WITH_REMAINING)


class AnthropicDialect:
    vendor = "anthropic"

    def read(self, inbound: Inbound) -> Call:
        key = inbound.headers.get("x-api-key") or bearer(inbound.headers)
        body = inbound.body
        if not key:
            raise Rejected("unauthorised", "no key", str(body.get("model", "")))
        for name in ("model", "messages"):
            if not body.get(name):
                raise Rejected("invalid", f"{name}: Field required", str(body.get("model", "")))
        form = (body.get("output_config") or {}).get("format") or {}
        attempt, retries = correlation(inbound.headers)
        return Call(
            vendor=self.vendor,
            key=key,
            model=str(body["model"]),
            instructions=joined_text(body.get("system")),
            text="\n\n".join(joined_text(each.get("content")) for each in body["messages"]),
            schema=form.get("schema"),
            max_output_tokens=body.get("max_tokens"),
            attempt=attempt,
            retry_count=retries,
        )

    def answer(self, produced: Produced) -> Wire:
        content = [{"type": "text", "text": produced.text}] if produced.text else []
        body: dict[str, Any] = {
            "id": f"msg_01{produced.id}",
            "type": "message",
            "role": "assistant",
            "model": produced.model,
            "content": content,
            "stop_reason": _STOPS[produced.stop],
            "stop_sequence": None,
            "stop_details": None,
            "usage": _usage(produced),
        }
        return Wire(200, body)

    def failure(self, failure: Failure, request_id: str) -> Wire:
        status, kind, message = _FAILURES[failure.kind]
        error: dict[str, Any] = {"type": kind, "message": failure.message or message}
        headers = {}
        if failure.kind is FailureKind.RATE_LIMITED:
            error["message"] += f" of {int(failure.limit)} {failure.dimension.replace('_', ' ')} per minute"
        if failure.kind is FailureKind.SPEND_LIMIT:
            error["details"] = {"error_code": "enforced_spend_limit_reached"}
        if failure.kind in _WAITING and failure.retry_after_seconds is not None:
            headers["retry-after"] = str(whole_seconds(failure.retry_after_seconds))
        return Wire(status, {"type": "error", "error": error, "request_id": request_id}, headers)

    def counted(self, input_tokens: int) -> Wire:
        return Wire(200, {"input_tokens": input_tokens})

    def headers(self, levels: Levels, request_id: str) -> dict[str, str]:
        headers = {"request-id": request_id, "anthropic-organization-id": "org-simulated"}
        for dimension, level in levels.items():
            remaining = level.remaining if dimension == "requests" else _thousands(level.remaining)
            headers |= _limit_headers(dimension, level.limit, remaining, level.reset_seconds)
        if "input_tokens" in levels and "output_tokens" in levels:
            both = levels["input_tokens"], levels["output_tokens"]
            headers |= _limit_headers(
                "tokens",
                sum(level.limit for level in both),
                sum(_thousands(level.remaining) for level in both),
                max(level.reset_seconds for level in both),
            )
        return headers


def _usage(produced: Produced) -> dict[str, Any]:
    return {
        "input_tokens": produced.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": produced.output_tokens,
        "service_tier": "standard",
    }


def _thousands(remaining: float) -> int:
    """The vendor shows tokens rounded to the nearest thousand."""
    return round(remaining / 1000) * 1000


def _limit_headers(dimension: str, limit: float, remaining: float, reset_seconds: float) -> dict[str, str]:
    name = f"anthropic-ratelimit-{dimension.replace('_', '-')}"
    reset = datetime.now(UTC) + timedelta(seconds=reset_seconds)
    return {
        f"{name}-limit": str(int(limit)),
        f"{name}-remaining": str(int(remaining)),
        f"{name}-reset": reset.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
