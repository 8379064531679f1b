"""Gemini's generateContent. It has no rate-limit headers: only the body of a 429 tells of a limit."""

from typing import Any

from workers.simulator.call import Call, Inbound, Rejected, correlation
from workers.simulator.dialects.dialect import Wire, joined_text
from workers.simulator.failure import Failure, FailureKind, Produced
from workers.simulator.levels import Levels

_FAILURES: dict[FailureKind, tuple[int, str, str]] = {
    FailureKind.RATE_LIMITED: (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota."),
    FailureKind.RATE_LIMITED_WITH_REMAINING: (
        429,
        "RESOURCE_EXHAUSTED",
        "Resource has been exhausted (e.g. check quota).",
    ),
    FailureKind.OVERLOAD: (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    FailureKind.SERVER_ERROR: (500, "INTERNAL", "An internal error has occurred."),
    FailureKind.SPEND_LIMIT: (
        402,
        "FAILED_PRECONDITION",
        "Billing for this project has reached its spend limit.",
    ),
    FailureKind.UNAUTHORISED: (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    FailureKind.NO_KEY: (401, "UNAUTHENTICATED", "Request is missing required authentication credential."),
    FailureKind.INVALID: (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
}
_TYPE = "type.googleapis.com/google.rpc."
_METRICS = {
    "requests": ("generate_content_requests", "GenerateRequestsPerMinutePerProjectPerModel"),
    "input_tokens": ("generate_content_input_token_count", "GenerateContentInputTokensPerModelPerMinute"),
}


class GeminiDialect:
    vendor = "gemini"

    def read(self, inbound: Inbound) -> Call:
        key = inbound.headers.get("x-goog-api-key") or inbound.query.get("key", "")
        model, body = inbound.model or "", inbound.body
        if not key:
            raise Rejected("unauthorised", "no key", model)
        if not body.get("contents"):
            raise Rejected("invalid", "* GenerateContentRequest.contents: contents is not specified", model)
        config = body.get("generationConfig") or {}
        attempt, retries = correlation(inbound.headers)
        return Call(
            vendor=self.vendor,
            key=key,
            model=model,
            instructions=joined_text((body.get("systemInstruction") or {}).get("parts")),
            text="\n\n".join(joined_text(each.get("parts")) for each in body["contents"]),
            schema=config.get("responseJsonSchema") or config.get("responseSchema"),
            max_output_tokens=config.get("maxOutputTokens"),
            attempt=attempt,
            retry_count=retries,
        )

    def answer(self, produced: Produced) -> Wire:
        body: dict[str, Any] = {
            "usageMetadata": _usage(produced),
            "modelVersion": produced.model,
            "responseId": produced.id,
        }
        if produced.stop == "refused":
            return Wire(200, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **body})
        content: dict[str, Any] = {"role": "model"}
        if produced.text:
            content["parts"] = [{"text": produced.text}]
        finish = "MAX_TOKENS" if produced.stop == "cut" else "STOP"
        return Wire(200, {"candidates": [{"content": content, "finishReason": finish, "index": 0}], **body})

    def failure(self, failure: Failure, request_id: str) -> Wire:
        code, status, message = _FAILURES[failure.kind]
        error: dict[str, Any] = {"code": code, "message": failure.message or message, "status": status}
        if failure.kind is FailureKind.RATE_LIMITED:
            if failure.retry_after_seconds is not None:
                error["message"] += f" Please retry in {failure.retry_after_seconds:.3f}s."
            error["details"] = _quota_details(failure)
        if failure.kind is FailureKind.UNAUTHORISED:
            reason = {"reason": "API_KEY_INVALID", "domain": "googleapis.com"}
            error["details"] = [{"@type": _TYPE + "ErrorInfo", **reason}]
        return Wire(code, {"error": error})

    def counted(self, input_tokens: int) -> Wire:
        return Wire(200, {"totalTokens": input_tokens})

    def headers(self, levels: Levels, request_id: str) -> dict[str, str]:
        return {"server-timing": "gfet4t7; dur=1"}


def _usage(produced: Produced) -> dict[str, Any]:
    return {
        "promptTokenCount": produced.input_tokens,
        "candidatesTokenCount": produced.output_tokens,
        "totalTokenCount": produced.input_tokens + produced.output_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": produced.input_tokens}],
    }


def _quota_details(failure: Failure) -> list[dict[str, Any]]:
    metric, quota = _METRICS.get(failure.dimension, _METRICS["requests"])
    violation = {
        "quotaMetric": f"generativelanguage.googleapis.com/{metric}",
        "quotaId": quota,
        "quotaDimensions": {"location": "global", "model": failure.model},
        "quotaValue": str(int(failure.limit)),
    }
    help_link = {
        "description": "Learn more about quotas",
        "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
    }
    details: list[dict[str, Any]] = [
        {"@type": _TYPE + "QuotaFailure", "violations": [violation]},
        {"@type": _TYPE + "Help", "links": [help_link]},
    ]
    if failure.retry_after_seconds is not None:
        details.append({"@type": _TYPE + "RetryInfo", "retryDelay": f"{failure.retry_after_seconds:.3f}s"})
    return details
