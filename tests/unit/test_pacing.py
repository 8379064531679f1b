"""Budgets: refilled continuously, never above full, reserved before and settled after."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.deciders.pacing import Amount, Held, Levels, Purse, Rates, capacity, refill, reserve, settle

RATES = Rates(requests=60, input_tokens=6000, output_tokens=600, concurrency=2)


def purse(levels: Levels | None = None, in_flight: int = 0, closed: float = 0.0) -> Purse:
    return Purse("v/a/g", RATES, levels or capacity(RATES), in_flight, closed, "the vendor said so")


def test_a_bucket_holds_half_a_minute() -> None:
    assert capacity(RATES) == Levels(30, 3000, 300)


def test_a_reservation_is_taken_from_every_level() -> None:
    taken = reserve(purse(), Amount(1, 100, 50))
    assert isinstance(taken, Purse)
    assert taken.levels == Levels(29, 2900, 250)
    assert taken.in_flight == 1


def test_what_is_short_is_named() -> None:
    assert reserve(purse(Levels(5, 5000, 10)), Amount(1, 1, 50)) == Held("v/a/g: output tokens")
    assert reserve(purse(in_flight=2), Amount(1, 1, 1)) == Held("v/a/g: all 2 concurrent calls are taken")
    assert reserve(purse(closed=7.4), Amount(1, 1, 1)) == Held("v/a/g is closed for 7 s: the vendor said so")


def test_a_request_larger_than_the_bucket_waits_for_a_full_one_and_goes_into_debt() -> None:
    large = Amount(1, 100, 1000)
    assert isinstance(reserve(purse(Levels(30, 3000, 299)), large), Held)
    taken = reserve(purse(), large)
    assert isinstance(taken, Purse)
    assert taken.levels.output_tokens == -700


@given(st.floats(-10, 300), st.floats(-1e4, 1e4))
def test_levels_never_exceed_a_full_bucket_and_never_fall_by_time(elapsed: float, level: float) -> None:
    full = capacity(RATES)
    after = refill(Levels(min(level, full.requests), 0, 0), RATES, elapsed)
    assert min(level, full.requests) <= after.requests <= full.requests


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000))
def test_reserving_and_settling_leaves_exactly_what_was_used(
    i: int, o: int, used_i: int, used_o: int
) -> None:
    start = Levels(10.0, 5000.0, 5000.0)
    reserved = Amount(1, i, o)
    after = settle(settle(start, Amount(0, 0, 0), reserved), reserved, Amount(1, used_i, used_o))
    assert after == Levels(9.0, 5000.0 - used_i, 5000.0 - used_o)
