"""The arithmetic behind the figures of pacing."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.pacing.witness import (
    Span,
    back_after,
    jain,
    pace,
    quantile,
    refused_per_thousand,
    seen,
    unparted,
    use,
)


def row(second: float, kind: str = "ok", tokens: int = 100, by: str | None = None) -> dict[str, Any]:
    """A call of one second that ended so many seconds after 2026 began."""
    minute, rest = divmod(second, 60)
    return {
        "time": f"2026-01-01T00:{int(minute):02d}:{rest:09.6f}+00:00",
        "latency_seconds": 1.0,
        "kind": kind,
        "counted": {"output_tokens": tokens} if kind == "ok" else {},
        "input_tokens": 10,
        "output_tokens": tokens,
        "attempt": None,
        "injected_by": by,
    }


BEGIN = seen([row(0)])[0].ended


def test_use_is_what_ended_within_the_span_against_what_the_limit_allows_there() -> None:
    calls = seen([row(1), row(29.9), row(30), row(59)])

    assert use(calls, Span(BEGIN, BEGIN + 30), "output_tokens", 400) == pytest.approx(1.0)
    assert use(calls, Span(BEGIN, BEGIN + 60), "output_tokens", 400) == pytest.approx(1.0)
    assert use(calls, Span(BEGIN, BEGIN + 60), "input_tokens", 400) == 0


def test_the_pace_is_that_of_every_second_and_hardly_moves_by_what_ends_just_outside() -> None:
    span = Span(BEGIN, BEGIN + 90)
    even = seen(row(second) for second in range(100))
    assert pace(even, span, "output_tokens", 6000) == pytest.approx(1)
    assert pace(even, span, "output_tokens", 12000) == pytest.approx(0.5)
    late = [*(row(second) for second in range(85)), row(91, tokens=500)]
    assert use(seen(late), span, "output_tokens", 6000) == pytest.approx(85 / 90)
    assert 0.98 < pace(seen(late), span, "output_tokens", 6000) < 1
    assert pace([], span, "output_tokens", 6000) == 0


def test_only_refusals_of_the_limiter_itself_are_counted() -> None:
    calls = seen([row(1), row(2), row(3, "429"), row(4, "429", by="script"), row(5, "count")])

    assert refused_per_thousand(calls) == 250
    assert refused_per_thousand([]) == 0


def test_calls_stand_in_order_of_their_arrival() -> None:
    assert [each.ended - BEGIN for each in seen([row(9), row(3)])] == pytest.approx([3, 9])


def test_recovery_is_the_end_of_the_first_stretch_that_is_used_enough() -> None:
    calls = seen([row(second) for second in (11, 12, 17, 18, 19, 20, 21, 40)])
    limit = 60 * 100  # one call a second

    assert back_after(calls, BEGIN + 10, "output_tokens", limit, 0.95, 5) == pytest.approx(12)
    assert back_after(calls, BEGIN + 25, "output_tokens", limit, 0.95, 5) is None


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1), st.floats(min_value=0.1, max_value=100))
def test_jain_lies_between_one_nth_and_one_and_knows_no_unit(shares: list[float], unit: float) -> None:
    index = jain(shares)

    assert 1 / len(shares) - 1e-9 <= index <= 1 + 1e-9
    assert jain([share * unit for share in shares]) == pytest.approx(index)


def test_jain_of_equal_shares_is_one_and_of_one_that_has_all_one_nth() -> None:
    assert jain([5, 5, 5, 5]) == pytest.approx(1)
    assert jain([7, 0, 0, 0]) == pytest.approx(0.25)


def test_a_quantile_is_one_of_the_values() -> None:
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile([3, 1, 2], 0.99) == 3
    assert math.isnan(quantile([], 0.5))


def test_moments_are_parted_by_a_call_that_began_and_was_answered_between_them() -> None:
    calls = seen([row(3), row(9)])  # from second 2 to 3, and from 8 to 9

    assert unparted([BEGIN + 1, BEGIN + 4, BEGIN + 10], calls) == 0
    assert unparted([BEGIN + 2.5, BEGIN + 4], calls) == 1
    assert unparted([BEGIN + 4, BEGIN + 5, BEGIN + 6], calls) == 2
    assert unparted([], calls) == 0
