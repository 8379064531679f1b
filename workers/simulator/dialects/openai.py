"""OpenAI's Responses API."""

import time
from collections.abc import Mapping
from typing import Any

from workers.simulator.call import Call, Inbound, Rejected, bearer, correlation
from workers.simulator.dialects.dialect import Wire, joined_text, whole_seconds
from workers.simulator.failure import Failure, FailureKind, Produced
from workers.simulator.levels import Levels

REFUSAL = "I'm sorry, but I can't assist with that request."
_FAILURES: dict[FailureKind, tuple[int, str | None, str, str]] = {
    FailureKind.RATE_LIMITED: (429, "rate_limit_exceeded", "tokens", ""),
    FailureKind.RATE_LIMITED_WITH_REMAINING: (429, "slow_down", "rate_limit_error", "Please slow down."),
    FailureKind.OVERLOAD: (
        503,
        "server_is_overloaded",
        "service_unavailable_error",
        "Our servers are currently overloaded. Please try again later.",
    ),
    FailureKind.SERVER_ERROR: (500, None, "server_error", "The server had an error processing your request."),
    FailureKind.SPEND_LIMIT: (
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    FailureKind.UNAUTHORISED: (
        401,
        "invalid_api_key",
        "invalid_request_error",
        "Incorrect API key provided.",
    ),
    FailureKind.NO_KEY: (401, None, "invalid_request_error", "You didn't provide an API key."),
    FailureKind.INVALID: (400, None, "invalid_request_error", "Invalid request."),
}
_WAITING = (FailureKind.RATE_LIMITED, FailureKind.RATE_LIMITED_WITH_REMAINING)


class OpenAIDialect:
    """``POST /responses``."""

    vendor = "openai"

    def read(self, inbound: Inbound) -> Call:
        key, body = entered(inbound, "input")
        turns = [{"content": body["input"]}] if isinstance(body["input"], str) else body["input"]
        form = (body.get("text") or {}).get("format") or {}
        told = [
            joined_text(turn.get("content")) for turn in turns if turn.get("role") in ("system", "developer")
        ]
        asked = [
            joined_text(turn.get("content"))
            for turn in turns
            if turn.get("role") not in ("system", "developer")
        ]
        return call_of(
            inbound,
            key,
            "\n".join(part for part in (body.get("instructions") or "", *told) if part),
            "\n\n".join(asked),
            form.get("schema"),
            body.get("max_output_tokens"),
        )

    def answer(self, produced: Produced) -> Wire:
        cut = produced.stop == "cut"
        part: dict[str, Any] = {"type": "output_text", "text": produced.text, "annotations": []}
        if produced.stop == "refused":
            part = {"type": "refusal", "refusal": REFUSAL}
        message = {
            "id": f"msg_{produced.id}",
            "type": "message",
            "role": "assistant",
            "status": "incomplete" if cut else "completed",
            "content": [part],
        }
        body: dict[str, Any] = {
            "id": f"resp_{produced.id}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "incomplete" if cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "error": None,
            "instructions": None,
            "metadata": {},
            "model": produced.model,
            "output": [message],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                "input_tokens": produced.input_tokens,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": produced.output_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": produced.input_tokens + produced.output_tokens,
            },
        }
        return Wire(200, body)

    def failure(self, failure: Failure, request_id: str) -> Wire:
        status, code, kind, message = _FAILURES[failure.kind]
        if failure.kind is FailureKind.RATE_LIMITED:
            kind, message = failure.dimension, _limit_message(failure)
        error = {"message": failure.message or message, "type": kind, "param": None, "code": code}
        headers = {}
        if failure.kind in _WAITING and failure.retry_after_seconds is not None:
            headers["retry-after"] = str(whole_seconds(failure.retry_after_seconds))
            headers["retry-after-ms"] = str(max(1, round(failure.retry_after_seconds * 1000)))
        return Wire(status, {"error": error}, headers)

    def counted(self, input_tokens: int) -> Wire:
        return Wire(200, {"object": "response.input_tokens", "input_tokens": input_tokens})

    def headers(self, levels: Levels, request_id: str) -> dict[str, str]:
        headers = {"x-request-id": request_id, "openai-processing-ms": "1", "openai-version": "2020-10-01"}
        for dimension, level in levels.items():
            headers[f"x-ratelimit-limit-{dimension}"] = str(int(level.limit))
            headers[f"x-ratelimit-remaining-{dimension}"] = str(int(level.remaining))
            headers[f"x-ratelimit-reset-{dimension}"] = go_duration(level.reset_seconds)
        return headers


def entered(inbound: Inbound, required: str) -> tuple[str, Mapping[str, Any]]:
    """The key and the body of a request. Raises ``Rejected`` where either lacks what it needs."""
    key, body = bearer(inbound.headers), inbound.body
    model = str(body.get("model", ""))
    if not key:
        raise Rejected("unauthorised", "no key", model)
    for name in ("model", required):
        if not body.get(name):
            raise Rejected("invalid", f"Missing required parameter: '{name}'.", model)
    return key, body


def call_of(
    inbound: Inbound, key: str, instructions: str, text: str, schema: Any, max_output_tokens: int | None
) -> Call:
    """The call of this vendor with so much text."""
    attempt, retries = correlation(inbound.headers)
    model = str(inbound.body["model"])
    return Call("openai", key, model, instructions, text, schema, max_output_tokens, attempt, retries)


def _limit_message(failure: Failure) -> str:
    short = {"requests": "RPM", "tokens": "TPM"}.get(failure.dimension, failure.dimension)
    again = failure.retry_after_seconds
    return (
        f"Rate limit reached for {failure.model} in organization org-simulated on "
        f"{failure.dimension} per min ({short}): Limit {int(failure.limit)}, "
        f"Used {int(max(0, failure.used))}, Requested {int(failure.requested)}."
        + (f" Please try again in {go_duration(again)}." if again is not None else "")
    )


def go_duration(seconds: float) -> str:
    """Seconds as Go prints them: ``120ms``, ``1.5s``, ``6m0s``."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    shown = f"{rest:.3f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{shown}s" if minutes else f"{shown}s"
