"""What answers say of the account's limits, good ones as well as refusals, read by the real SDKs from a socket."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.limits import Dimension, ResponseKind, Standing, VendorSignal
from tests.integration.test_vendors_answers import WHOLE
from tests.integration.test_vendors_twin import Twin, a_request, adapter, twin_on_a_socket
from workers.vendors.headers import LONGEST_SECONDS, MOST, go_seconds, number, seconds_until
from workers.vendors.port import VendorFailure

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def twin() -> Iterator[Twin]:
    with twin_on_a_socket() as twin:
        yield twin


def claude(dimension: str, limit: str, remaining: str, reset: str) -> dict[str, str]:
    name = f"anthropic-ratelimit-{dimension}"
    return {f"{name}-limit": limit, f"{name}-remaining": remaining, f"{name}-reset": reset}


def gpt(dimension: str, limit: str, remaining: str, reset: str) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{dimension}": limit,
        f"x-ratelimit-remaining-{dimension}": remaining,
        f"x-ratelimit-reset-{dimension}": reset,
    }


def signal_of(
    vendor: str, twin: Twin, status: int, headers: dict[str, str], body: Any = None
) -> VendorSignal:
    twin.answers(status, WHOLE[vendor][0] if body is None else body, headers)
    try:
        return adapter(vendor, twin.address).ask(a_request()).signal
    except VendorFailure as failure:
        return failure.signal


def told(signal: VendorSignal) -> dict[Dimension, tuple[float | None, float | None]]:
    return {standing.dimension: (standing.limit, standing.remaining) for standing in signal.standings}


@pytest.mark.parametrize("status", [200, 400, 429, 500, 529])
def test_claude_tells_its_three_dimensions_with_every_status(twin: Twin, status: int) -> None:
    reset = (datetime.now(UTC) + timedelta(seconds=40)).strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = (
        claude("requests", "1000", "999", reset)
        | claude("input-tokens", "80000", "79000", reset)
        | claude("output-tokens", "16000", "16000", reset)
        | claude("tokens", "96000", "95000", reset)
    )

    signal = signal_of("anthropic", twin, status, headers)

    assert told(signal) == {
        Dimension.REQUESTS: (1000, 999),
        Dimension.INPUT_TOKENS: (80_000, 79_000),
        Dimension.OUTPUT_TOKENS: (16_000, 16_000),
    }
    assert all(30 < (standing.reset_seconds or 0) <= 40 for standing in signal.standings)


@pytest.mark.parametrize("status", [200, 400, 429, 500, 503])
def test_gpt_tells_its_two_dimensions_with_every_status(twin: Twin, status: int) -> None:
    headers = gpt("requests", "500", "499", "120ms") | gpt("tokens", "30000", "29000", "6m0.5s")

    signal = signal_of("openai", twin, status, headers)

    assert signal.standings == (
        Standing(dimension=Dimension.REQUESTS, limit=500, remaining=499, reset_seconds=0.12),
        Standing(dimension=Dimension.TOKENS, limit=30_000, remaining=29_000, reset_seconds=360.5),
    )


@pytest.mark.parametrize("vendor", ["anthropic", "openai"])
@pytest.mark.parametrize("body", [b"<html>", {"of": "another shape"}])
def test_an_answer_that_cannot_be_read_tells_of_the_limits_all_the_same(
    twin: Twin, vendor: str, body: Any
) -> None:
    headers = claude("requests", "9", "8", "") if vendor == "anthropic" else gpt("requests", "9", "8", "")

    signal = signal_of(vendor, twin, 200, headers, body)

    assert signal.kind is ResponseKind.ERROR
    assert told(signal) == {Dimension.REQUESTS: (9, 8)}


@pytest.mark.parametrize("vendor", WHOLE)
def test_an_answer_without_headers_says_only_that_it_came(twin: Twin, vendor: str) -> None:
    assert signal_of(vendor, twin, 200, {}) == VendorSignal(kind=ResponseKind.OK)


@pytest.mark.parametrize(
    ("limit", "remaining", "reset", "left"),
    [
        ("abc", "-1", "whenever", None),
        ("nan", "inf", "-5s", None),
        ("1e400", "1e13", "2026-11-20", None),
        ("0", "", "99999999999h", None),
        ("", "", "9999-12-31T23:59:59Z", None),
        ("1000, 2000", "12", "2026-11-20T12:00:00", (None, 12)),
        ("1000", "a few", "1 s", (1000, None)),
        # It cannot be true, but it is no nonsense: whoever paces judges it.
        ("1000", "5000", "", (1000, 5000)),
    ],
)
def test_what_makes_no_sense_is_left_out_and_the_rest_is_kept(
    twin: Twin, limit: str, remaining: str, reset: str, left: tuple[float | None, float | None] | None
) -> None:
    for vendor, headers in (
        ("anthropic", claude("requests", limit, remaining, reset)),
        ("openai", gpt("requests", limit, remaining, reset)),
    ):
        signal = signal_of(vendor, twin, 200, headers)

        assert signal.kind is ResponseKind.OK
        assert told(signal) == ({} if left is None else {Dimension.REQUESTS: left})
        assert all(standing.reset_seconds is None for standing in signal.standings)


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("120ms", 0.12),
        ("1s", 1),
        ("6m0s", 360),
        ("1h2m3.5s", 3723.5),
        ("0s", 0),
        ("15µs", 15e-6),
        ("26s", 26),
        ("53.098s", 53.098),
        ("", None),
        ("12", None),
        ("-1s", None),
        ("1s later", None),
        ("s", None),
    ],
)
def test_durations_are_read_as_go_writes_them(duration: str, seconds: float | None) -> None:
    assert go_seconds(duration) == (None if seconds is None else pytest.approx(seconds))


@given(hours=st.integers(0, 700), minutes=st.integers(0, 59), milliseconds=st.integers(0, 59_999))
def test_any_duration_of_hours_minutes_and_seconds_is_read(
    hours: int, minutes: int, milliseconds: int
) -> None:
    written = f"{hours}h{minutes}m{milliseconds / 1000}s"

    assert go_seconds(written) == pytest.approx(hours * 3600 + minutes * 60 + milliseconds / 1000)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_is_a_delay_from_now_and_never_negative(moment: datetime) -> None:
    seconds = (moment - NOW).total_seconds()

    expected = None if seconds > LONGEST_SECONDS else max(0.0, seconds)
    assert seconds_until(moment.isoformat().replace("+00:00", "Z"), NOW) == expected


@given(st.text() | st.floats().map(str) | st.integers().map(lambda count: f"{count}h"))
def test_no_text_is_read_as_more_than_makes_sense(text: str) -> None:
    read = number(text), go_seconds(text), seconds_until(text, NOW)

    for found, most in zip(read, (MOST, LONGEST_SECONDS, LONGEST_SECONDS), strict=True):
        assert found is None or 0 <= found <= most
