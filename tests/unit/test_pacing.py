"""Budgets: refilled continuously, never above full, reserved before and settled after."""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.limits import Dimension
from contracts.reports import Call, Usage
from contracts.vendors import Charging
from orchestrator.deciders.charging import Reserved, reservation, used
from orchestrator.deciders.pacing import (
    Amount,
    Bucket,
    Held,
    Purse,
    beside,
    full,
    on_top,
    refilled,
    reserve,
    settled,
)
from orchestrator.purses import day_left_seconds

R, IN, OUT = Dimension.REQUESTS, Dimension.INPUT_TOKENS, Dimension.OUTPUT_TOKENS
DAY, TOKENS = Dimension.REQUESTS_PER_DAY, Dimension.TOKENS
LIMITS = {R: 60, IN: 6000, OUT: 600}


def purse(levels: Amount | None = None, in_flight: int = 0, closed: float = 0.0, **limits: int) -> Purse:
    named = {Dimension(name): limit for name, limit in limits.items()} or LIMITS
    buckets = {name: Bucket(limit, 60.0, 0.0) for name, limit in named.items()}
    start = {
        name: Bucket(b.limit, 60.0, levels[name] if levels and name in levels else full(name, b))
        for name, b in buckets.items()
    }
    return Purse("v/a/g", "v/g", Charging(), start, 2, in_flight, closed, "the vendor said so")


def levels(of: Purse | Held) -> dict[Dimension, float]:
    assert isinstance(of, Purse)
    return {name: bucket.level for name, bucket in of.buckets.items()}


def test_a_bucket_holds_half_of_the_vendors_burst() -> None:
    assert levels(purse()) == {R: 30, IN: 3000, OUT: 300}


def test_a_reservation_is_taken_from_every_level() -> None:
    taken = reserve(purse(), {R: 1, IN: 100, OUT: 50, TOKENS: 150})
    assert levels(taken) == {R: 29, IN: 2900, OUT: 250}
    assert isinstance(taken, Purse) and taken.in_flight == 1


def test_what_is_short_is_named_with_the_seconds_it_takes() -> None:
    assert reserve(purse({OUT: 10}), {R: 1, IN: 1, OUT: 50}) == Held("v/a/g: output tokens", 4.0)
    assert reserve(purse(closed=7.4), {R: 1}) == Held("v/a/g is closed: the vendor said so", 7.4)
    assert reserve(purse(in_flight=2), {R: 1}) == Held(
        "v/a/g: all 2 concurrent calls are taken", float("inf")
    )


def test_of_two_that_are_short_the_later_one_is_named() -> None:
    held = reserve(purse({R: 0, IN: 0}), {R: 1, IN: 300})
    assert held == Held("v/a/g: input tokens", 3.0)


def test_a_request_larger_than_the_bucket_waits_for_a_full_one_and_goes_into_debt() -> None:
    large = {R: 1, IN: 100, OUT: 1000}
    assert isinstance(reserve(purse({OUT: 299}), large), Held)
    assert levels(reserve(purse(), large))[OUT] == -700


def test_a_day_is_counted_down_and_begins_anew() -> None:
    day = purse({DAY: 1}, requests_per_day=100)
    spent = reserve(day, {DAY: 1})
    assert isinstance(spent, Purse)
    assert reserve(spent, {DAY: 1}) == Held("v/a/g: requests per day", float("inf"))
    assert levels(refilled(spent, 80_000, another_day=False))[DAY] == 0
    assert levels(refilled(spent, 10, another_day=True))[DAY] == 100


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 8), 23), ((2026, 7, 1), 24), ((2026, 11, 1), 25)])
def test_a_vendors_day_is_as_long_as_its_clocks_make_it(day: tuple[int, int, int], hours: int) -> None:
    zone = "America/Los_Angeles"
    midnight = datetime(*day, tzinfo=ZoneInfo(zone)).timestamp()
    assert day_left_seconds(midnight, zone) == 3600 * hours
    assert day_left_seconds(midnight + 3600 * hours - 1, zone) == 1


def test_what_waits_for_workers_counts_as_still_there() -> None:
    bucket = purse({R: 20, IN: 2900, OUT: 300})
    assert beside(bucket, {R: 10, IN: 100}) is bucket
    assert levels(beside(bucket, {R: 11, OUT: 120})) == {R: 19, IN: 2900, OUT: 180}
    assert levels(beside(bucket, {OUT: 1000}))[OUT] == 0
    assert levels(beside(purse({OUT: -50}), {OUT: 1000}))[OUT] == -50
    days = purse({DAY: 1000}, requests_per_day=1000)
    assert beside(days, {DAY: 900}) is days, "a day does not refill, so nothing is gained twice"


def test_output_under_way_is_on_top_where_it_is_more_than_the_limit_lets_through_meanwhile() -> None:
    assert on_top(purse(), 100, 5.0) == {OUT: 50}, "at 10 a second 50 are on their way in 5 s"
    assert on_top(purse(), 40, 5.0) == {OUT: 0}
    assert on_top(purse(input_tokens=600), 100, 5.0) == {}
    promised = replace(purse(), charging=Charging(promise_counts=True))
    assert on_top(promised, 100, 5.0) == {}, "it was counted when the call was admitted"


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 60),
            st.integers(0, 40),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_no_standstill_of_workers_makes_more_arrive_than_the_vendor_takes(
    story: list[tuple[float, int, bool]],
) -> None:
    """Tokens are granted as they can be paid, and sent together when workers go on: `story` is of pauses in seconds,
    of the tokens of each wish, and of whether workers go on after it."""
    ours, theirs, unsent = purse(in_flight=-10_000), LIMITS[OUT] * 1.0, 0
    for pause, tokens, go_on in story:
        theirs = min(theirs + LIMITS[OUT] / 60 * pause, LIMITS[OUT])
        ours = beside(refilled(ours, pause, another_day=False), {OUT: unsent})
        while tokens and isinstance(paid := reserve(ours, {OUT: tokens}), Purse):
            ours, unsent = paid, unsent + tokens
            ours = beside(ours, {OUT: unsent})
        if go_on:
            theirs, unsent = theirs - unsent, 0
        assert theirs >= LIMITS[OUT] / 2, "the other half is for answers that are longer than expected"


@given(st.floats(-10, 300), st.floats(-1e4, 30))
def test_levels_never_exceed_a_full_bucket_and_never_fall_by_time(elapsed: float, level: float) -> None:
    after = levels(refilled(purse({R: level}), elapsed, another_day=False))
    assert level <= after[R] <= 30


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000))
def test_reserving_and_settling_leaves_exactly_what_was_used(
    i: int, o: int, used_i: int, used_o: int
) -> None:
    start = purse({R: 10, IN: -20_000, OUT: -20_000})
    reserved = {R: 1, IN: i, OUT: o}
    taken = settled(start, {}, reserved)
    assert levels(settled(taken, reserved, {R: 1, IN: used_i, OUT: used_o})) == {
        R: 9,
        IN: -20_000 - used_i,
        OUT: -20_000 - used_o,
    }


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 400), st.integers(0, 900)), max_size=60))
def test_no_order_of_grants_and_settlements_admits_more_than_the_cap_and_the_rate(
    story: list[tuple[float, int, int]],
) -> None:
    """What was used, less what was used beyond its reservation, stays below cap + rate × time."""
    now, spent, overdraft, at_work = 0.0, 0.0, 0.0, list[tuple[int, int]]()
    bucket = purse(in_flight=-1000)
    for pause, reserved, really in story:
        now += pause
        bucket = refilled(bucket, pause, another_day=False)
        match reserve(bucket, {OUT: reserved}):
            case Purse() as paid:
                bucket = paid
                at_work.append((reserved, really))
                spent += really
                overdraft += max(really - min(reserved, 300), 0)
            case Held():
                if at_work:
                    promised, took = at_work.pop(0)
                    bucket = settled(bucket, {OUT: promised}, {OUT: took})
        assert spent - overdraft <= 300 + 10 * now + 1e-6


ANTHROPIC = Charging()
OPENAI = Charging(cached_input_counts=True, promise_counts=True, failures_count=True)
EXPECTED = Reserved(input_tokens=800, output_tokens=350, promised_tokens=1000)


def call(usage: Usage | None, sent: bool = True) -> Call:
    return Call(
        vendor="v", account="a", group="g", model="m", simulated=True, usage=usage, sent=sent, seconds=1
    )


def test_a_promise_is_charged_where_it_counts_and_the_mean_elsewhere() -> None:
    assert reservation(ANTHROPIC, EXPECTED)[TOKENS] == 1150
    assert reservation(OPENAI, EXPECTED)[TOKENS] == 1000
    assert reservation(OPENAI, Reserved(4000, 350, 1000))[TOKENS] == 4000


def test_what_was_used_is_counted_by_the_vendors_own_rules() -> None:
    answered = call(Usage(input_tokens=900, cached_input_tokens=600, output_tokens=100))
    assert used(ANTHROPIC, EXPECTED, answered)[IN] == 300
    assert used(OPENAI, EXPECTED, answered)[IN] == 900
    assert used(OPENAI, EXPECTED, answered)[TOKENS] == 1000, "a promise is not given back"


def test_a_refused_request_counts_where_failures_count() -> None:
    assert used(ANTHROPIC, EXPECTED, call(Usage())) == {}
    assert used(OPENAI, EXPECTED, call(Usage())) == {R: 1, DAY: 1}


def test_an_ambiguous_end_is_charged_at_the_reservation_and_one_that_never_left_not_at_all() -> None:
    assert used(ANTHROPIC, EXPECTED, call(None)) == reservation(ANTHROPIC, EXPECTED)
    assert used(ANTHROPIC, EXPECTED, call(None, sent=False)) == {}
    assert used(ANTHROPIC, EXPECTED, None) == {}
