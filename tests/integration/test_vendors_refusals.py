"""Every way in which a vendor can say no, or nothing, and what the adapters make of it."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from contracts.failures import CATEGORY_OF, Category, Code
from contracts.limits import Dimension, ResponseKind, Standing, VendorSignal
from tests.integration.test_vendors_twin import Twin, a_request, adapter, twin_on_a_socket
from workers.vendors.port import Billing, VendorFailure

VENDORS = ("anthropic", "openai", "google")
SILENT = VendorSignal(kind=ResponseKind.SILENT)
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
    message = "Words that may change. Please retry in 99.0s."
    error: dict[str, Any] = {"code": status, "message": message, "status": name}
    if details:
        error["details"] = list(details)
    return {"error": error}


def quota(*quotas: tuple[str, str, Any]) -> dict[str, Any]:
    """The quotas that were hit: what is metered, the quota's id, and how much it allows."""
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [
            {
                "quotaMetric": f"generativelanguage.googleapis.com/{metric}",
                "quotaId": quota_id,
                "quotaDimensions": {"location": "global", "model": "gemini-2.5-flash"},
                "quotaValue": value,
            }
            for metric, quota_id, value in quotas
        ],
    }


def retry_info(delay: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


RETRY_INFO = retry_info("26s")
HELP = {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"url": "https://example.org"}]}
PER_MINUTE = (
    "generate_content_free_tier_input_token_count",
    "GenerateContentInputTokensPerModelPerMinute-FreeTier",
    "250000",
)
REQUESTS_PER_MINUTE = ("generate_requests", "GenerateRequestsPerMinutePerProjectPerModel", "1000")
PER_DAY = (
    "generate_content_free_tier_requests",
    "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
    "250",
)
TOKENS_PER_DAY = ("input_token_count", "GenerateContentInputTokensPerModelPerDay", "3000000")
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


CLAUDE_NO_OUTPUT = {
    **CLAUDE_PLENTY,
    "anthropic-ratelimit-output-tokens-limit": "16000",
    "anthropic-ratelimit-output-tokens-remaining": "0",
}

SPENT = Code.SPEND_LIMIT, ResponseKind.SPEND_LIMITED
BARRED = Code.UNAUTHORISED, ResponseKind.UNAUTHORISED
DAY = Code.DAY_LIMIT, ResponseKind.DAY_LIMITED
BUSY = Code.OVERLOADED, ResponseKind.OVERLOADED
LIMITED = Code.RATE_LIMITED, ResponseKind.RATE_LIMITED
TROUBLE = Code.VENDOR_ERROR, ResponseKind.ERROR
WRONG = Code.BAD_REQUEST, ResponseKind.ERROR
LARGE = Code.TOO_LARGE, ResponseKind.ERROR
"""What a row means for the attempt, and what it says of the account."""


@dataclass(frozen=True)
class Row:
    vendor: str
    status: int
    body: Any
    meaning: tuple[Code, ResponseKind]
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float | None = None
    billing: Billing = Billing.NOT_BILLED
    hit: Dimension | None = None
    limits: dict[Dimension, float] = field(default_factory=dict)
    """Where a body names them; those of headers have tests of their own."""


ROWS = {
    # spend, credit, keys: a person's matter
    "claude spend limit": Row(
        "anthropic", 429, claude("rate_limit_error", "enforced_spend_limit_reached"), SPENT
    ),
    "claude contract limit, plenty left": Row(
        "anthropic",
        429,
        claude("rate_limit_error", "contract_spend_limit_reached"),
        SPENT,
        CLAUDE_PLENTY,
    ),
    "claude no key": Row("anthropic", 401, claude("authentication_error"), BARRED),
    "claude billing": Row("anthropic", 402, claude("billing_error"), SPENT),
    "claude forbidden": Row("anthropic", 403, claude("permission_error"), BARRED),
    "gpt credit": Row("openai", 429, gpt("insufficient_quota", "credit_balance_exhausted"), SPENT),
    "gpt quota": Row("openai", 429, gpt("insufficient_quota", "insufficient_quota"), SPENT),
    "gpt quota by type alone": Row("openai", 429, gpt("insufficient_quota", None), SPENT),
    "gpt organisation": Row(
        "openai", 429, gpt("insufficient_quota", "organization_spend_limit_exceeded"), SPENT
    ),
    "gpt project": Row("openai", 429, gpt("insufficient_quota", "project_spend_limit_exceeded"), SPENT),
    "gpt usage": Row("openai", 429, gpt("insufficient_quota", "organization_usage_limit_exceeded"), SPENT),
    "gpt hard limit": Row("openai", 400, gpt("invalid_request_error", "billing_hard_limit_reached"), SPENT),
    "gpt not active": Row("openai", 429, gpt("billing_not_active", "billing_not_active"), SPENT, GPT_PLENTY),
    "gpt pay": Row("openai", 402, HTML, SPENT),
    "gpt no key": Row("openai", 401, gpt("invalid_request_error", "invalid_api_key"), BARRED),
    "gpt region": Row("openai", 403, gpt("request_forbidden", "unsupported_country"), BARRED),
    "gemini key": Row("google", 400, gemini(400, "INVALID_ARGUMENT", BAD_KEY), BARRED),
    "gemini no billing": Row("google", 400, gemini(400, "FAILED_PRECONDITION"), BARRED),
    "gemini forbidden": Row("google", 403, gemini(403, "PERMISSION_DENIED"), BARRED),
    "gemini pay": Row("google", 402, gemini(402, "FAILED_PRECONDITION"), SPENT),
    "gemini day's quota": Row(
        "google",
        429,
        gemini(429, "RESOURCE_EXHAUSTED", quota(PER_DAY), HELP, retry_info("53.5s")),
        DAY,
        delay_seconds=53.5,
        hit=Dimension.REQUESTS_PER_DAY,
        limits={Dimension.REQUESTS_PER_DAY: 250},
    ),
    "gemini day's tokens": Row(
        "google",
        429,
        gemini(429, "RESOURCE_EXHAUSTED", quota(TOKENS_PER_DAY)),
        DAY,
        hit=Dimension.TOKENS_PER_DAY,
        limits={Dimension.TOKENS_PER_DAY: 3_000_000},
    ),
    "gemini minute's and day's quota": Row(
        "google",
        429,
        gemini(429, "RESOURCE_EXHAUSTED", quota(PER_MINUTE, PER_DAY), RETRY_INFO),
        DAY,
        delay_seconds=26,
        hit=Dimension.REQUESTS_PER_DAY,
        limits={Dimension.REQUESTS_PER_DAY: 250, Dimension.INPUT_TOKENS: 250_000},
    ),
    # overloaded
    "claude 529": Row("anthropic", 529, claude("overloaded_error"), BUSY),
    "claude 503": Row("anthropic", 503, claude("api_error"), BUSY),
    "claude ramp": Row(
        "anthropic",
        429,
        claude("rate_limit_error", "ramp_limit_exceeded"),
        BUSY,
        {**CLAUDE_SPENT, "retry-after": "7"},
        7,
    ),
    "claude not your limit": Row(
        "anthropic",
        429,
        claude("rate_limit_error"),
        BUSY,
        {**CLAUDE_PLENTY, "retry-after": "2"},
        2,
    ),
    "gpt slow down": Row("openai", 429, gpt("rate_limit_error", "slow_down"), BUSY),
    "gpt 503": Row("openai", 503, gpt("service_unavailable_error", "server_is_overloaded"), BUSY),
    "gpt not your limit": Row("openai", 429, gpt("tokens", "rate_limit_exceeded"), BUSY, GPT_PLENTY),
    "gemini 503": Row("google", 503, gemini(503, "UNAVAILABLE"), BUSY),
    "gemini bare 429": Row("google", 429, gemini(429, "RESOURCE_EXHAUSTED"), BUSY),
    "gemini 429 page": Row("google", 429, HTML, BUSY),
    "gpt 503 without a body": Row("openai", 503, b"", BUSY, billing=Billing.AMBIGUOUS),
    # rate-limited
    "claude 429": Row(
        "anthropic",
        429,
        claude("rate_limit_error"),
        LIMITED,
        {**CLAUDE_SPENT, "retry-after": "13"},
        13,
        hit=Dimension.INPUT_TOKENS,
    ),
    "claude 429 of requests": Row(
        "anthropic",
        429,
        claude("rate_limit_error"),
        LIMITED,
        {**CLAUDE_PLENTY, "anthropic-ratelimit-requests-remaining": "0"},
        hit=Dimension.REQUESTS,
    ),
    "claude 429 of output": Row(
        "anthropic",
        429,
        claude("rate_limit_error"),
        LIMITED,
        CLAUDE_NO_OUTPUT,
        hit=Dimension.OUTPUT_TOKENS,
    ),
    "claude 429 with garbled headers": Row(
        "anthropic",
        429,
        claude("rate_limit_error"),
        LIMITED,
        dict.fromkeys(CLAUDE_PLENTY, "abc") | {"retry-after": "soon"},
    ),
    "claude 429 with one rest garbled": Row(
        "anthropic",
        429,
        claude("rate_limit_error"),
        LIMITED,
        {**CLAUDE_PLENTY, "anthropic-ratelimit-input-tokens-remaining": "-1"},
    ),
    "claude 429 page": Row("anthropic", 429, HTML, LIMITED),
    "claude 429 without headers": Row("anthropic", 429, claude("rate_limit_error"), LIMITED),
    "gpt 429 in ms": Row(
        "openai",
        429,
        gpt("tokens", "rate_limit_exceeded"),
        LIMITED,
        {**GPT_SPENT, "retry-after-ms": "1500", "retry-after": "2"},
        1.5,
        hit=Dimension.TOKENS,
    ),
    "gpt 429 of requests": Row(
        "openai",
        429,
        gpt("requests", "rate_limit_exceeded"),
        LIMITED,
        {**GPT_PLENTY, "x-ratelimit-remaining-requests": "0", "retry-after": "6"},
        6,
        hit=Dimension.REQUESTS,
    ),
    "gpt 429 without headers": Row(
        "openai", 429, gpt("tokens", "rate_limit_exceeded"), LIMITED, hit=Dimension.TOKENS
    ),
    "gpt 429 with garbled headers": Row(
        "openai",
        429,
        gpt("tokens", "rate_limit_exceeded"),
        LIMITED,
        dict.fromkeys(GPT_PLENTY, "NaN"),
        hit=Dimension.TOKENS,
    ),
    "gpt 429 of a word of tomorrow": Row("openai", 429, gpt("images", "rate_limit_exceeded"), LIMITED),
    "gpt 429 page": Row("openai", 429, HTML, LIMITED),
    "gpt 429 without a body": Row("openai", 429, b"", LIMITED),
    "gpt 429 with a rest too small for the request": Row(
        "openai",
        429,
        gpt("tokens", "rate_limit_exceeded"),
        LIMITED,
        {**GPT_PLENTY, "x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "101"},
        hit=Dimension.TOKENS,
    ),
    "gemini 429": Row(
        "google",
        429,
        gemini(
            429,
            "RESOURCE_EXHAUSTED",
            quota(PER_MINUTE),
            HELP,
            RETRY_INFO,
        ),
        LIMITED,
        delay_seconds=26,
        hit=Dimension.INPUT_TOKENS,
        limits={Dimension.INPUT_TOKENS: 250_000},
    ),
    "gemini 429 of requests": Row(
        "google",
        429,
        gemini(429, "RESOURCE_EXHAUSTED", quota(REQUESTS_PER_MINUTE), retry_info("0.5s")),
        LIMITED,
        delay_seconds=0.5,
        hit=Dimension.REQUESTS,
        limits={Dimension.REQUESTS: 1000},
    ),
    "gemini 429 of a quota of nothing we know": Row(
        "google",
        429,
        gemini(429, "RESOURCE_EXHAUSTED", quota(("images", "GenerateImagesPerMinute", "10"))),
        LIMITED,
    ),
    **{
        f"gemini 429 with a value of {value!r}": Row(
            "google",
            429,
            gemini(429, "RESOURCE_EXHAUSTED", quota((*PER_MINUTE[:2], value)), retry_info("-3s")),
            LIMITED,
            hit=Dimension.INPUT_TOKENS,
        )
        for value in ("many", "-5", "0", "nan", "1e400", None, {"a": 1})
    },
    # transient
    **{
        f"{vendor} {status}": Row(vendor, status, body, TROUBLE)
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
            (502, TROUBLE, Billing.AMBIGUOUS),
            (503, BUSY, Billing.AMBIGUOUS),
            (404, TROUBLE, Billing.NOT_BILLED),
        )
    },
    # deterministic
    "claude 400": Row("anthropic", 400, claude("invalid_request_error"), WRONG),
    "claude 404": Row("anthropic", 404, claude("not_found_error"), WRONG),
    "claude 422": Row("anthropic", 422, claude("invalid_request_error"), WRONG),
    "claude 413": Row("anthropic", 413, claude("request_too_large"), LARGE),
    "gpt 400": Row("openai", 400, gpt("invalid_request_error", "invalid_json_schema"), WRONG),
    "gpt 404": Row("openai", 404, gpt("invalid_request_error", "model_not_found"), WRONG),
    "gpt context": Row(
        "openai", 400, gpt("invalid_request_error", "context_length_exceeded", "input"), LARGE
    ),
    "gemini 400": Row("google", 400, gemini(400, "INVALID_ARGUMENT"), WRONG),
    "gemini 404": Row("google", 404, gemini(404, "NOT_FOUND"), WRONG),
    "gemini 413 page": Row("google", 413, HTML, LARGE),
}


def failure_of(vendor: str, address: str, timeout_seconds: float = 5.0) -> VendorFailure:
    with pytest.raises(VendorFailure) as raised:
        adapter(vendor, address).ask(a_request(timeout_seconds))
    return raised.value


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_an_error_status_becomes_one_typed_failure_after_one_request(twin: Twin, row: Row) -> None:
    twin.answers(row.status, row.body, row.headers)

    failure = failure_of(row.vendor, twin.address)

    assert (failure.failure.code, failure.signal.kind) == row.meaning
    assert failure.signal.hit is row.hit
    assert failure.failure.retry_after_seconds == row.delay_seconds
    assert failure.signal.retry_after_seconds == row.delay_seconds
    if row.vendor == "google":
        assert set(failure.signal.standings) == {
            Standing(dimension=dimension, limit=limit) for dimension, limit in row.limits.items()
        }
    assert failure.billing is row.billing
    assert failure.failure.evidence["status"] == str(row.status)
    assert "Words that may change" not in failure.failure.model_dump_json()
    assert bool(failure.body) is (row.body != b"")
    assert len(twin.seen) == 1


@pytest.mark.parametrize("kind", [SPENT, DAY, BARRED])
def test_what_a_person_decides_is_never_retried(kind: tuple[Code, ResponseKind]) -> None:
    assert CATEGORY_OF[kind[0]] is Category.GOVERNANCE


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
@pytest.mark.parametrize("told", ["soon", "-3", "inf", "nan", "1e300", "Thu, 99 Foo 2026"])
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
    assert failure.signal == SILENT
    assert len(twin.seen) == 1


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_reset_after_sending_may_have_been_billed(twin: Twin, vendor: str) -> None:
    twin.reset = True

    failure = failure_of(vendor, twin.address)

    assert (failure.failure.code, failure.billing) == (Code.VENDOR_ERROR, Billing.AMBIGUOUS)
    assert failure.signal == SILENT
    assert len(twin.seen) == 1


@pytest.mark.parametrize("vendor", VENDORS)
def test_an_answer_that_breaks_off_may_have_been_billed(twin: Twin, vendor: str) -> None:
    twin.reply = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\nconnection: close\r\n\r\n{"

    failure = failure_of(vendor, twin.address)

    assert (failure.failure.code, failure.billing) == (Code.VENDOR_ERROR, Billing.AMBIGUOUS)
    assert failure.signal == SILENT
    assert len(twin.seen) == 1


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("body", [HTML, b"", {"of": "another shape", "candidates": 3}])
def test_a_200_that_is_no_answer_may_have_been_billed(twin: Twin, vendor: str, body: Any) -> None:
    twin.answers(200, body)

    failure = failure_of(vendor, twin.address)

    assert (failure.failure.code, failure.billing) == (Code.VENDOR_ERROR, Billing.AMBIGUOUS)
    assert failure.signal.kind is ResponseKind.ERROR


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_refused_connection_was_not_sent(vendor: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]

    failure = failure_of(vendor, f"http://127.0.0.1:{free}")

    assert (failure.failure.code, failure.billing) == (Code.NOT_SENT, Billing.NOT_SENT)
    assert failure.signal == SILENT


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_redirect_is_not_followed(twin: Twin, vendor: str) -> None:
    twin.answers(307, {}, {"location": f"{twin.address}/elsewhere"})

    assert failure_of(vendor, twin.address).billing is Billing.NOT_BILLED
    assert len(twin.seen) == 1
