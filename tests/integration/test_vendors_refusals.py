"""Every way in which a vendor can say no, or nothing, and what the adapters make of it."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from contracts.failures import Code
from tests.integration.test_vendors_twin import Twin, a_request, adapter, twin_on_a_socket
from workers.vendors.port import Billing, VendorFailure

VENDORS = ("anthropic", "openai", "google")
HTML = b"<html><body><h1>Bad Gateway</h1></body></html>"


@pytest.fixture
def twin() -> Iterator[Twin]:
    with twin_on_a_socket() as twin:
        yield twin


def claude(kind: str, error_code: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"type": kind, "message": "Words that may change."}
    if error_code:
        error["details"] = {"error_code": error_code}
    return {"type": "error", "error": error, "request_id": "req_1"}


def gpt(kind: str | None, code: str | None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": "Words that may change.", "type": kind, "param": param, "code": code}}


def gemini(status: int, name: str, *details: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = {"code": status, "message": "Words that may change.", "status": name}
    if details:
        error["details"] = list(details)
    return {"error": error}


def quota(quota_id: str) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaId": quota_id, "quotaValue": "250000", "quotaDimensions": {"model": "m"}}],
    }


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "26s"}
HELP = {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"url": "https://example.org"}]}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "x"}

CLAUDE_PLENTY = {
    "anthropic-ratelimit-requests-limit": "1000",
    "anthropic-ratelimit-requests-remaining": "999",
    "anthropic-ratelimit-input-tokens-limit": "80000",
    "anthropic-ratelimit-input-tokens-remaining": "79000",
}
CLAUDE_SPENT = {**CLAUDE_PLENTY, "anthropic-ratelimit-input-tokens-remaining": "0"}
GPT_PLENTY = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-limit-tokens": "30000",
    "x-ratelimit-remaining-tokens": "29000",
}
GPT_SPENT = {**GPT_PLENTY, "x-ratelimit-remaining-tokens": "120"}


@dataclass(frozen=True)
class Row:
    vendor: str
    status: int
    body: Any
    code: Code
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float | None = None
    billing: Billing = Billing.NOT_BILLED


ROWS = {
    # spend, credit, keys: a person's matter
    "claude spend limit": Row(
        "anthropic", 429, claude("rate_limit_error", "enforced_spend_limit_reached"), Code.SPEND_LIMIT
    ),
    "claude contract limit, plenty left": Row(
        "anthropic",
        429,
        claude("rate_limit_error", "contract_spend_limit_reached"),
        Code.SPEND_LIMIT,
        CLAUDE_PLENTY,
    ),
    "claude no key": Row("anthropic", 401, claude("authentication_error"), Code.UNAUTHORISED),
    "claude billing": Row("anthropic", 402, claude("billing_error"), Code.UNAUTHORISED),
    "claude forbidden": Row("anthropic", 403, claude("permission_error"), Code.UNAUTHORISED),
    "gpt credit": Row("openai", 429, gpt("insufficient_quota", "credit_balance_exhausted"), Code.SPEND_LIMIT),
    "gpt quota": Row("openai", 429, gpt("insufficient_quota", "insufficient_quota"), Code.SPEND_LIMIT),
    "gpt quota by type alone": Row("openai", 429, gpt("insufficient_quota", None), Code.SPEND_LIMIT),
    "gpt organisation": Row(
        "openai", 429, gpt("insufficient_quota", "organization_spend_limit_exceeded"), Code.SPEND_LIMIT
    ),
    "gpt project": Row(
        "openai", 429, gpt("insufficient_quota", "project_spend_limit_exceeded"), Code.SPEND_LIMIT
    ),
    "gpt usage": Row(
        "openai", 429, gpt("insufficient_quota", "organization_usage_limit_exceeded"), Code.SPEND_LIMIT
    ),
    "gpt no key": Row("openai", 401, gpt("invalid_request_error", "invalid_api_key"), Code.UNAUTHORISED),
    "gpt region": Row("openai", 403, gpt("request_forbidden", "unsupported_country"), Code.UNAUTHORISED),
    "gemini key": Row("google", 400, gemini(400, "INVALID_ARGUMENT", BAD_KEY), Code.UNAUTHORISED),
    "gemini no billing": Row("google", 400, gemini(400, "FAILED_PRECONDITION"), Code.UNAUTHORISED),
    "gemini forbidden": Row("google", 403, gemini(403, "PERMISSION_DENIED"), Code.UNAUTHORISED),
    "gemini pay": Row("google", 402, gemini(402, "FAILED_PRECONDITION"), Code.UNAUTHORISED),
    "gemini day's quota": Row(
        "google",
        429,
        gemini(429, "RESOURCE_EXHAUSTED", quota("GenerateRequestsPerDayPerProjectPerModel"), RETRY_INFO),
        Code.SPEND_LIMIT,
        delay_seconds=26,
    ),
    # overloaded
    "claude 529": Row("anthropic", 529, claude("overloaded_error"), Code.OVERLOADED),
    "claude 503": Row("anthropic", 503, claude("api_error"), Code.OVERLOADED),
    "claude ramp": Row(
        "anthropic",
        429,
        claude("rate_limit_error", "ramp_limit_exceeded"),
        Code.OVERLOADED,
        {**CLAUDE_SPENT, "retry-after": "7"},
        7,
    ),
    "claude not your limit": Row(
        "anthropic",
        429,
        claude("rate_limit_error"),
        Code.OVERLOADED,
        {**CLAUDE_PLENTY, "retry-after": "2"},
        2,
    ),
    "gpt slow down": Row("openai", 429, gpt("rate_limit_error", "slow_down"), Code.OVERLOADED),
    "gpt 503": Row("openai", 503, gpt("service_unavailable_error", "server_is_overloaded"), Code.OVERLOADED),
    "gpt not your limit": Row(
        "openai", 429, gpt("tokens", "rate_limit_exceeded"), Code.OVERLOADED, GPT_PLENTY
    ),
    "gemini 503": Row("google", 503, gemini(503, "UNAVAILABLE"), Code.OVERLOADED),
    "gemini bare 429": Row("google", 429, gemini(429, "RESOURCE_EXHAUSTED"), Code.OVERLOADED),
    # rate-limited
    "claude 429": Row(
        "anthropic",
        429,
        claude("rate_limit_error"),
        Code.RATE_LIMITED,
        {**CLAUDE_SPENT, "retry-after": "13"},
        13,
    ),
    "claude 429 without headers": Row("anthropic", 429, claude("rate_limit_error"), Code.RATE_LIMITED),
    "gpt 429 in ms": Row(
        "openai",
        429,
        gpt("tokens", "rate_limit_exceeded"),
        Code.RATE_LIMITED,
        {**GPT_SPENT, "retry-after-ms": "1500", "retry-after": "2"},
        1.5,
    ),
    "gpt 429 with a rest too small for the request": Row(
        "openai",
        429,
        gpt("tokens", "rate_limit_exceeded"),
        Code.RATE_LIMITED,
        {**GPT_PLENTY, "x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "101"},
    ),
    "gemini 429": Row(
        "google",
        429,
        gemini(
            429,
            "RESOURCE_EXHAUSTED",
            quota("GenerateContentInputTokensPerModelPerMinute-FreeTier"),
            HELP,
            RETRY_INFO,
        ),
        Code.RATE_LIMITED,
        delay_seconds=26,
    ),
    # transient
    **{
        f"{vendor} {status}": Row(vendor, status, body, Code.VENDOR_ERROR)
        for vendor, body in (
            ("anthropic", claude("api_error")),
            ("openai", gpt("server_error", None)),
            ("google", gemini(500, "INTERNAL")),
        )
        for status in (408, 409, 500, 502, 504)
    },
    **{
        f"{vendor} html {status}": Row(vendor, status, HTML, code, billing=billing)
        for vendor in VENDORS
        for status, code, billing in (
            (502, Code.VENDOR_ERROR, Billing.AMBIGUOUS),
            (503, Code.OVERLOADED, Billing.AMBIGUOUS),
            (404, Code.VENDOR_ERROR, Billing.NOT_BILLED),
        )
    },
    # deterministic
    "claude 400": Row("anthropic", 400, claude("invalid_request_error"), Code.BAD_REQUEST),
    "claude 404": Row("anthropic", 404, claude("not_found_error"), Code.BAD_REQUEST),
    "claude 422": Row("anthropic", 422, claude("invalid_request_error"), Code.BAD_REQUEST),
    "claude 413": Row("anthropic", 413, claude("request_too_large"), Code.TOO_LARGE),
    "gpt 400": Row("openai", 400, gpt("invalid_request_error", "invalid_json_schema"), Code.BAD_REQUEST),
    "gpt 404": Row("openai", 404, gpt("invalid_request_error", "model_not_found"), Code.BAD_REQUEST),
    "gpt context": Row(
        "openai", 400, gpt("invalid_request_error", "context_length_exceeded", "input"), Code.TOO_LARGE
    ),
    "gemini 400": Row("google", 400, gemini(400, "INVALID_ARGUMENT"), Code.BAD_REQUEST),
    "gemini 404": Row("google", 404, gemini(404, "NOT_FOUND"), Code.BAD_REQUEST),
    "gemini 413 page": Row("google", 413, HTML, Code.TOO_LARGE),
}


def failure_of(vendor: str, address: str, timeout_seconds: float = 5.0) -> VendorFailure:
    with pytest.raises(VendorFailure) as raised:
        adapter(vendor, address).ask(a_request(timeout_seconds))
    return raised.value


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_an_error_status_becomes_one_typed_failure_after_one_request(twin: Twin, row: Row) -> None:
    twin.answers(row.status, row.body, row.headers)

    failure = failure_of(row.vendor, twin.address)

    assert failure.failure.code is row.code
    assert failure.failure.retry_after_seconds == row.delay_seconds
    assert failure.billing is row.billing
    assert failure.failure.evidence["status"] == str(row.status)
    assert "Words that may change" not in failure.failure.model_dump_json()
    assert failure.body
    assert len(twin.seen) == 1


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_server_that_asks_for_a_retry_gets_none(twin: Twin, vendor: str) -> None:
    twin.answers(503, {"error": {}}, {"x-should-retry": "true", "retry-after": "0"})

    assert failure_of(vendor, twin.address).failure.code is Code.OVERLOADED
    assert len(twin.seen) == 1
    assert twin.seen[0].headers.get("x-stainless-retry-count", "0") == "0"


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_date_in_retry_after_becomes_a_delay(twin: Twin, vendor: str) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    twin.answers(500, {"error": {}}, {"retry-after": moment})

    delay = failure_of(vendor, twin.address).failure.retry_after_seconds

    assert delay is not None and 50 < delay <= 60


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("told", ["soon", "-3", "inf", "nan", "Thu, 99 Foo 2026"])
def test_a_senseless_retry_after_is_no_delay(twin: Twin, vendor: str, told: str) -> None:
    twin.answers(500, {"error": {}}, {"retry-after": told})

    assert failure_of(vendor, twin.address).failure.retry_after_seconds is None


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("body", [{"error": None}, {"error": "words"}, [], {"detail": "x"}, b""])
def test_a_body_of_an_unknown_shape_breaks_nothing(twin: Twin, vendor: str, body: Any) -> None:
    twin.answers(500, body)

    assert failure_of(vendor, twin.address).failure.code is Code.VENDOR_ERROR


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_silent_vendor_is_a_timeout_that_may_have_been_billed(twin: Twin, vendor: str) -> None:
    twin.silent_seconds = 2

    failure = failure_of(vendor, twin.address, timeout_seconds=0.2)

    assert (failure.failure.code, failure.billing) == (Code.TIMEOUT, Billing.AMBIGUOUS)
    assert len(twin.seen) == 1


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_reset_after_sending_may_have_been_billed(twin: Twin, vendor: str) -> None:
    twin.reset = True

    failure = failure_of(vendor, twin.address)

    assert (failure.failure.code, failure.billing) == (Code.VENDOR_ERROR, Billing.AMBIGUOUS)
    assert len(twin.seen) == 1


@pytest.mark.parametrize("vendor", VENDORS)
def test_an_answer_that_breaks_off_may_have_been_billed(twin: Twin, vendor: str) -> None:
    twin.reply = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\nconnection: close\r\n\r\n{"

    failure = failure_of(vendor, twin.address)

    assert (failure.failure.code, failure.billing) == (Code.VENDOR_ERROR, Billing.AMBIGUOUS)
    assert len(twin.seen) == 1


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("body", [HTML, b"", {"of": "another shape", "candidates": 3}])
def test_a_200_that_is_no_answer_may_have_been_billed(twin: Twin, vendor: str, body: Any) -> None:
    twin.answers(200, body)

    failure = failure_of(vendor, twin.address)

    assert (failure.failure.code, failure.billing) == (Code.VENDOR_ERROR, Billing.AMBIGUOUS)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_refused_connection_was_not_sent(vendor: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]

    failure = failure_of(vendor, f"http://127.0.0.1:{free}")

    assert (failure.failure.code, failure.billing) == (Code.NOT_SENT, Billing.NOT_SENT)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_redirect_is_not_followed(twin: Twin, vendor: str) -> None:
    twin.answers(307, {}, {"location": f"{twin.address}/elsewhere"})

    assert failure_of(vendor, twin.address).billing is Billing.NOT_BILLED
    assert len(twin.seen) == 1
