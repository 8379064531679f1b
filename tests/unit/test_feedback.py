"""Feedback: less is taken at once, more only slowly, echoes and lies not at all, and a person is called once."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.limits import Dimension, ResponseKind, Standing, VendorSignal
from orchestrator.deciders.feedback import (
    CLOSED_SECONDS,
    LONGEST_DELAY_SECONDS,
    Account,
    Answer,
    Heard,
    Memory,
    hear,
)
from orchestrator.deciders.learning import Learned
from orchestrator.deciders.overload import Phase, most_in_flight
from orchestrator.deciders.pacing import full

REQUESTS, INPUT, OUTPUT = Dimension.REQUESTS, Dimension.INPUT_TOKENS, Dimension.OUTPUT_TOKENS
DAILY = Dimension.REQUESTS_PER_DAY
AT = 1_000_000.0


def learned(limit: float, level: float, **changed: Any) -> Learned:
    return replace(Learned(limit, limit, 60.0, 60.0, level), **changed)


def account(**changed: Any) -> Account:
    """Half a minute of each limit is full: 500 requests, 225,000 tokens in, 45,000 out."""
    dimensions = {
        REQUESTS: learned(1_000, 400),
        INPUT: learned(450_000, 100_000),
        OUTPUT: learned(90_000, 20_000),
        DAILY: learned(50_000, 30_000),
    }
    return replace(
        Account(dimensions, unsent={}, reserved={}, concurrency=64, in_flight=64, heard_at=AT - 10), **changed
    )


def standing(dimension: Dimension, limit: float | None, remaining: float | None = None) -> Standing:
    return Standing(dimension=dimension, limit=limit, remaining=remaining)


def answer(
    kind: ResponseKind = ResponseKind.OK,
    *standings: Standing,
    granted_at: float = AT - 2,
    answered_at: float = AT,
    wanted: float = 300.0,
    day_left_seconds: float = 7_200.0,
    **signal: Any,
) -> Answer:
    return Answer(
        VendorSignal(kind=kind, standings=standings, **signal),
        granted_at,
        answered_at,
        {OUTPUT: wanted},
        day_left_seconds,
    )


def heard_in_turn(start: Account, *answers: Answer) -> Heard:
    heard = Heard(start)
    for each in answers:
        heard = hear(heard.account, each, each.answered_at)
    return heard


def every_second(count: int, *standings: Standing) -> list[Answer]:
    return [
        answer(ResponseKind.OK, *standings, granted_at=AT + second - 0.5, answered_at=AT + second)
        for second in range(count)
    ]


@pytest.mark.parametrize(
    ("dimension", "remaining", "unsent", "level"),
    [
        (REQUESTS, 900, 0, 400),
        (REQUESTS, 300, 0, 300),
        (REQUESTS, 420, 50, 370),
        (REQUESTS, 10, 50, -40),
        (OUTPUT, 19_500, 0, 20_000),
        (OUTPUT, 18_000, 0, 18_000),
        (OUTPUT, 24_000, 10_000, 14_000),
    ],
    ids=lambda value: str(value),
)
def test_a_smaller_remainder_is_taken_at_once_less_what_is_granted_and_not_sent(
    dimension: Dimension, remaining: float, unsent: float, level: float
) -> None:
    limit = account().dimensions[dimension].limit
    heard = hear(
        account(unsent={dimension: unsent}),
        answer(ResponseKind.OK, standing(dimension, limit, remaining)),
        AT,
    )
    assert heard.account.dimensions[dimension].level == level
    assert bool(heard.said) is (level < account().dimensions[dimension].level)


def test_a_correction_says_what_was_thought_and_what_is() -> None:
    heard = hear(account(unsent={REQUESTS: 50}), answer(ResponseKind.OK, standing(REQUESTS, 1_000, 300)), AT)
    assert heard.said == (
        "requests: 400 were thought to be left; the vendor says 300, of which 50 are granted and not sent",
    )


def test_a_level_that_is_lowered_again_and_again_is_told_of_once_in_a_minute() -> None:
    first = hear(account(), answer(ResponseKind.OK, standing(REQUESTS, 1_000, 300)), AT)
    lower = answer(ResponseKind.OK, standing(REQUESTS, 1_000, 200))
    soon = hear(first.account, replace(lower, granted_at=AT + 1, answered_at=AT + 2), AT + 2)
    assert (soon.account.dimensions[REQUESTS].level, soon.said) == (200, ())
    later = hear(first.account, replace(lower, granted_at=AT + 60, answered_at=AT + 61), AT + 61)
    assert later.said


def test_a_level_is_raised_slowly_and_only_when_several_answers_agree() -> None:
    low = account(dimensions={REQUESTS: learned(1_000, 100)})
    answers = every_second(63, standing(REQUESTS, 1_000, 990))
    assert heard_in_turn(low, *answers[:2]).account.dimensions[REQUESTS].level == 100
    raised = heard_in_turn(low, *answers).account.dimensions[REQUESTS].level
    assert raised == pytest.approx(100 + 0.03 * 1_000, abs=1)


@pytest.mark.parametrize(("remaining", "reserved"), [(601, 0), (1_000, 399)])
def test_the_headroom_over_our_burst_and_what_is_under_way_are_never_handed_out(
    remaining: float, reserved: float
) -> None:
    low = account(dimensions={REQUESTS: learned(1_000, 100)}, reserved={REQUESTS: reserved})
    heard = heard_in_turn(low, *every_second(600, standing(REQUESTS, 1_000, remaining)))
    assert heard.account.dimensions[REQUESTS].level == pytest.approx(101)


def test_one_answer_that_disagrees_begins_the_count_anew() -> None:
    low = account(dimensions={REQUESTS: learned(1_000, 100)})
    more, less = standing(REQUESTS, 1_000, 990), standing(REQUESTS, 1_000, 550)
    answers = [
        replace(each, signal=VendorSignal(kind=ResponseKind.OK, standings=((less if n % 3 == 2 else more),)))
        for n, each in enumerate(every_second(60))
    ]
    assert heard_in_turn(low, *answers).account.dimensions[REQUESTS].level == 100


def test_a_lower_limit_is_taken_at_once_and_the_bucket_with_it() -> None:
    heard = hear(account(), answer(ResponseKind.OK, standing(OUTPUT, 16_000)), AT)
    assert heard.account.dimensions[OUTPUT].limit == 16_000
    assert heard.account.dimensions[OUTPUT].level == pytest.approx(8_000)
    assert heard.said == ("output tokens: the vendor allows 16,000, and not 90,000",)


def test_a_higher_limit_is_crept_up_to_and_never_beyond_the_declared_one() -> None:
    low = account(dimensions={OUTPUT: replace(learned(90_000, 0), limit=60_000.0)})
    answers = every_second(1200, standing(OUTPUT, 400_000))
    after_a_minute = heard_in_turn(low, *answers[:61]).account.dimensions[OUTPUT].limit
    assert after_a_minute == pytest.approx(60_000 + 0.03 * 90_000 * 70 / 60, rel=0.01)
    heard = heard_in_turn(low, *answers)
    assert heard.account.dimensions[OUTPUT].limit == 90_000


def test_a_limit_that_the_vendor_said_is_not_crept_beyond_while_it_is_remembered() -> None:
    said = hear(account(), answer(ResponseKind.OK, standing(OUTPUT, 60_000)), AT).account
    assert heard_in_turn(said, *every_second(600)).account.dimensions[OUTPUT].limit == 60_000
    later = [
        replace(each, granted_at=each.granted_at + 90_000, answered_at=each.answered_at + 90_000)
        for each in every_second(1200)
    ]
    assert heard_in_turn(said, *later).account.dimensions[OUTPUT].limit == 90_000


@pytest.mark.parametrize(
    ("limit", "remaining"),
    [(9_000, None), (3, 2), (450_000 * 9, 0), (900_000, 5), (90_000, 500_000), (None, 500_000)],
)
def test_what_cannot_be_true_is_believed_only_when_it_is_repeated(
    limit: float | None, remaining: float | None
) -> None:
    odd = [
        replace(
            each, signal=VendorSignal(kind=ResponseKind.OK, standings=(standing(OUTPUT, limit, remaining),))
        )
        for each in every_second(3)
    ]
    twice = heard_in_turn(account(), *odd[:2]).account
    assert twice.dimensions == account().dimensions
    assert heard_in_turn(account(), *odd).account.dimensions[OUTPUT].seen_at == AT + 2


def test_a_tier_that_really_fell_far_is_taken_with_the_third_answer() -> None:
    assert (
        heard_in_turn(account(), *every_second(3, standing(OUTPUT, 8_000, 7_000)))
        .account.dimensions[OUTPUT]
        .limit
        == 8_000
    )


def test_doubt_is_said_once_and_ends_with_a_sensible_answer() -> None:
    odd, sound = standing(REQUESTS, 3, 2), standing(REQUESTS, 1_000, 999)
    first = hear(account(), answer(ResponseKind.OK, odd), AT)
    assert first.said == (
        "requests: a limit of 3 with 2 left is not believed unless it is said 3 times in a row",
    )
    assert hear(first.account, answer(ResponseKind.OK, odd, answered_at=AT + 1), AT + 1).said == ()
    mixed = [
        answer(ResponseKind.OK, each, answered_at=AT + n) for n, each in enumerate([odd, odd, sound] * 3)
    ]
    assert heard_in_turn(account(), *mixed).account.dimensions[REQUESTS].limit == 1_000


def test_numbers_without_end_are_not_heard() -> None:
    heard = hear(account(), answer(ResponseKind.OK, standing(REQUESTS, float("inf"), float("inf"))), AT)
    assert heard.account.dimensions == account().dimensions


def test_a_dimension_that_the_account_does_not_have_is_not_heard() -> None:
    heard = hear(account(), answer(ResponseKind.OK, standing(Dimension.TOKENS, 10, 1)), AT)
    assert heard.account.dimensions == account().dimensions


OVERTAKEN = answer(ResponseKind.OK, standing(REQUESTS, 500, 1), granted_at=AT - 30, answered_at=AT - 11)
ECHO = answer(ResponseKind.OK, standing(REQUESTS, 500, 1), granted_at=AT - 6)


def test_an_answer_that_others_overtook_changes_nothing() -> None:
    assert hear(account(), OVERTAKEN, AT) == Heard(account())
    late_overload = replace(OVERTAKEN, signal=VendorSignal(kind=ResponseKind.OVERLOADED))
    assert hear(account(), late_overload, AT) == Heard(account())


def test_an_answer_to_a_call_from_before_the_last_correction_changes_no_level() -> None:
    corrected = account(memory=Memory(corrected_at=AT - 5))
    assert hear(corrected, ECHO, AT).account.dimensions == corrected.dimensions
    assert hear(corrected, replace(ECHO, granted_at=AT - 4), AT).account.dimensions[REQUESTS].level == 1


def test_a_clock_that_was_set_back_does_not_make_everything_late() -> None:
    assert hear(account(heard_at=AT + 5_000), ECHO, AT).account.dimensions[REQUESTS].level == 1


def test_a_refusal_closes_the_account_empties_what_was_hit_and_cuts_it() -> None:
    heard = hear(account(), answer(ResponseKind.RATE_LIMITED, hit=OUTPUT, retry_after_seconds=12), AT)
    hit = heard.account.dimensions[OUTPUT]
    assert heard.account.closed_until == AT + 12
    assert hit.level == -90_000 / 60 * 12
    assert (hit.limit, hit.burst_seconds) == (90_000 * 0.97, 30)
    assert heard.account.dimensions[INPUT] == account().dimensions[INPUT]
    assert heard.said == (
        "closed for 12.0 s: output tokens ran out at the vendor",
        "output tokens ran out at the vendor before they did here: limit 90,000 to 87,300, burst 60.0 s to 30.0 s",
    )
    assert heard.call == ""


@pytest.mark.parametrize(
    ("asked", "hit", "wanted", "seconds"),
    [
        (0.5, OUTPUT, 300, 0.5),
        (60, OUTPUT, 300, 60),
        (1e9, OUTPUT, 300, LONGEST_DELAY_SECONDS),
        (None, OUTPUT, 300, 1),
        (None, OUTPUT, 15_000, 10),
        (None, OUTPUT, 1e9, 30),
        (None, Dimension.TOKENS, 15_000, 1),
        (None, DAILY, 15_000, 1),
        (None, None, 15_000, 10),
    ],
)
def test_how_long_a_refusal_closes(
    asked: float | None, hit: Dimension | None, wanted: float, seconds: float
) -> None:
    start = account(dimensions={**account().dimensions, OUTPUT: learned(90_000, 5)})
    refusal = answer(ResponseKind.RATE_LIMITED, hit=hit, retry_after_seconds=asked, wanted=wanted)
    assert hear(start, refusal, AT).account.closed_until == pytest.approx(AT + seconds)


def test_a_refusal_heard_late_closes_from_when_it_came() -> None:
    refusal = answer(ResponseKind.RATE_LIMITED, hit=OUTPUT, retry_after_seconds=60)
    heard = hear(account(), refusal, AT + 45)
    assert heard.account.closed_until == AT + 60
    assert heard.account.dimensions[OUTPUT].level == -90_000 / 60 * 15
    assert hear(account(), refusal, AT + 61).account.closed_until is None


def test_refusals_of_one_round_trip_count_once_and_the_longest_delay_stands() -> None:
    refusals = [
        answer(
            ResponseKind.RATE_LIMITED,
            hit=OUTPUT,
            granted_at=AT - 1,
            answered_at=AT + n,
            retry_after_seconds=delay,
        )
        for n, delay in enumerate([5, 30, 2, None])
    ]
    heard = heard_in_turn(account(), *refusals)
    assert heard.account.dimensions[OUTPUT].limit == 90_000 * 0.97
    assert heard.account.closed_until == AT + 31
    echo = hear(hear(account(), refusals[0], AT).account, refusals[1], AT + 1)
    assert echo.said == ()


def test_a_refusal_that_others_overtook_still_closes_and_changes_nothing_else() -> None:
    late = replace(
        OVERTAKEN, signal=VendorSignal(kind=ResponseKind.RATE_LIMITED, hit=OUTPUT, retry_after_seconds=60)
    )
    heard = hear(account(), late, AT)
    assert heard.account.closed_until == AT - 11 + 60
    assert replace(heard.account, closed_until=None, closed_why="") == account()
    assert hear(heard.account, late, AT) == Heard(heard.account)


def test_refusals_alone_cut_no_deeper_than_half_the_limit_and_a_second_of_burst() -> None:
    refusals = [
        answer(
            ResponseKind.RATE_LIMITED,
            hit=OUTPUT,
            granted_at=AT + n,
            answered_at=AT + n,
            retry_after_seconds=0,
        )
        for n in range(100)
    ]
    hit = heard_in_turn(account(), *refusals).account.dimensions[OUTPUT]
    assert (hit.limit, hit.burst_seconds) == (45_000, 1)


def test_after_a_quiet_minute_limit_and_burst_come_back_slowly() -> None:
    refused = hear(
        account(), answer(ResponseKind.RATE_LIMITED, hit=OUTPUT, retry_after_seconds=0), AT
    ).account
    answers = every_second(1000)[1:]
    quiet = heard_in_turn(refused, *answers[:59]).account.dimensions[OUTPUT]
    assert (quiet.limit, quiet.burst_seconds) == (87_300, 30)
    healed = heard_in_turn(refused, *answers[:122]).account.dimensions[OUTPUT]
    assert healed.limit == 90_000
    assert healed.burst_seconds == pytest.approx(30 * 1.05, rel=0.01)
    heard = heard_in_turn(refused, *answers)
    assert heard.account.dimensions[OUTPUT].burst_seconds == 60


def test_the_end_of_the_recovery_is_said() -> None:
    almost = account(dimensions={OUTPUT: learned(90_000, 0, burst_seconds=59.9)})
    assert hear(almost, answer(), AT).said == ("output tokens: the declared limit and burst hold again",)
    assert hear(account(), answer(), AT).said == ()


def test_a_lower_limit_named_with_a_refusal_is_taken_at_once() -> None:
    refusal = answer(
        ResponseKind.RATE_LIMITED, standing(INPUT, 250_000), hit=INPUT, retry_after_seconds=26, wanted=0
    )
    assert hear(account(), refusal, AT).account.dimensions[INPUT].limit == 250_000 * 0.97


@pytest.mark.parametrize(
    ("day_left", "asked", "seconds"),
    [
        (7_200, None, 7_200),
        (7_200, 38, 7_200),
        (7_200, 20_000, 20_000),
        (7_200, 1e12, 86_400),
        (86_000, None, CLOSED_SECONDS),
    ],
)
def test_a_day_used_up_closes_until_the_day_ends_and_calls_a_person(
    day_left: float, asked: float | None, seconds: float
) -> None:
    heard = hear(
        account(),
        answer(ResponseKind.DAY_LIMITED, hit=DAILY, retry_after_seconds=asked, day_left_seconds=day_left),
        AT,
    )
    assert heard.account.closed_until == AT + seconds
    assert heard.account.dimensions[DAILY].level == 0
    assert heard.account.dimensions[OUTPUT] == account().dimensions[OUTPUT]
    assert heard.call == f"the quota of the day is used up; one call asks again in {seconds:,.0f} s"


@pytest.mark.parametrize("kind", [ResponseKind.SPEND_LIMITED, ResponseKind.UNAUTHORISED])
def test_money_and_keys_close_for_a_quarter_of_an_hour_and_call_a_person_once(kind: ResponseKind) -> None:
    first = hear(account(), answer(kind), AT)
    assert first.account.closed_until == AT + CLOSED_SECONDS
    assert first.call.endswith("; one call asks again in 900 s")
    echo = hear(first.account, answer(kind, granted_at=AT - 1, answered_at=AT + 1), AT + 1)
    assert (echo.call, echo.account.closed_until) == ("", AT + CLOSED_SECONDS)
    probed = AT + CLOSED_SECONDS + 1
    again = hear(echo.account, answer(kind, granted_at=probed, answered_at=probed + 1), probed + 1)
    assert again.call == first.call
    assert again.account.closed_until == probed + 1 + CLOSED_SECONDS


def test_when_it_opens_again_a_single_probe_goes_ahead_of_the_rest() -> None:
    closed = hear(account(), answer(ResponseKind.UNAUTHORISED), AT).account
    assert most_in_flight(closed.memory.ceiling, 64) == 1
    probed = AT + CLOSED_SECONDS + 1
    for kind in (ResponseKind.ERROR, ResponseKind.SILENT, ResponseKind.RATE_LIMITED):
        closed = hear(closed, answer(kind, granted_at=probed, answered_at=probed), probed).account
        assert most_in_flight(closed.memory.ceiling, 64) == 1
    good = hear(closed, answer(granted_at=probed, answered_at=probed), probed).account
    assert good.memory.ceiling is not None
    assert (good.memory.ceiling.phase, good.memory.ceiling.known_good) == (Phase.STARTING, 64)


def missing(seconds: float, kind: ResponseKind = ResponseKind.ERROR) -> Answer:
    at = AT + seconds
    return replace(answer(kind, granted_at=at, answered_at=at), is_missing=True)


@pytest.mark.parametrize("kind", [ResponseKind.ERROR, ResponseKind.SILENT])
def test_a_vendor_that_answers_nothing_is_away_until_a_probe_is_answered(kind: ResponseKind) -> None:
    twice = heard_in_turn(account(), missing(0, kind), missing(1, kind)).account
    assert (twice.closed_until, twice.memory.is_away) == (None, False)
    away = hear(twice, missing(2, kind), AT + 2)
    assert (away.account.closed_until, away.account.closed_why) == (AT + 3, "the vendor does not answer")
    assert away.said[0] == "3 calls in a row were not answered; a pause of 1.0 s, then a single probe"
    assert most_in_flight(away.account.memory.ceiling, 64) == 1
    echo = replace(missing(2.5, kind), granted_at=AT + 1)
    assert hear(away.account, echo, AT + 2.5).account.closed_until == AT + 3
    again = hear(away.account, missing(4, kind), AT + 4).account
    assert (again.closed_until, again.memory.is_away) == (AT + 4 + 1.25, True)
    back = hear(again, answer(granted_at=AT + 6, answered_at=AT + 6), AT + 6).account
    assert (back.memory.is_away, back.memory.unanswered) == (False, 0)
    assert back.memory.ceiling and back.memory.ceiling.phase is Phase.STARTING


def test_one_answer_between_them_shows_that_the_vendor_is_there() -> None:
    good = answer(granted_at=AT + 2, answered_at=AT + 2)
    heard = heard_in_turn(account(), missing(0), missing(1), good, missing(3), missing(4))
    assert (heard.account.closed_until, heard.account.memory.unanswered) == (None, 2)


def test_an_error_that_the_question_earned_says_nothing_of_its_vendor() -> None:
    errors = [answer(ResponseKind.ERROR, granted_at=AT + n, answered_at=AT + n) for n in range(9)]
    heard = heard_in_turn(account(), *errors)
    assert (heard.account.closed_until, heard.account.memory) == (None, Memory())


@pytest.mark.parametrize(("asked", "seconds"), [(None, 1), (20, 20), (1e9, LONGEST_DELAY_SECONDS)])
def test_the_breaker_closes_for_its_pause_or_for_as_long_as_is_asked(
    asked: float | None, seconds: float
) -> None:
    overloads = [
        answer(ResponseKind.OVERLOADED, granted_at=AT + n, answered_at=AT + n, retry_after_seconds=asked)
        for n in range(5)
    ]
    assert heard_in_turn(account(), *overloads[:4]).account.closed_until is None
    heard = heard_in_turn(account(), *overloads)
    assert heard.account.closed_until == AT + 4 + seconds
    assert heard.account.closed_why == "the vendor is overloaded"
    assert heard.account.dimensions == account().dimensions


def test_what_is_remembered_survives_its_row() -> None:
    odd = answer(ResponseKind.OVERLOADED, standing(REQUESTS, 3, 2), standing(OUTPUT, 90_000, 0))
    memory = hear(account(), odd, AT).account.memory
    assert memory != Memory()
    assert Memory.model_validate(memory.model_dump(mode="json")) == memory


NUMBERS = st.one_of(st.none(), st.floats(1e-3, 1e12))
STANDINGS = st.builds(
    Standing, dimension=st.sampled_from([REQUESTS, INPUT, OUTPUT, DAILY]), limit=NUMBERS, remaining=NUMBERS
)
SIGNALS = st.builds(
    VendorSignal,
    kind=st.sampled_from(ResponseKind),
    standings=st.lists(STANDINGS, max_size=3).map(tuple),
    hit=st.sampled_from([None, *Dimension]),
    retry_after_seconds=NUMBERS,
)
ANSWERS = st.lists(
    st.builds(
        lambda signal, came, took: Answer(signal, AT + came - took, AT + came, {OUTPUT: 300.0}),
        SIGNALS,
        st.floats(0, 600),
        st.floats(0, 20),
    ),
    max_size=30,
)


@given(ANSWERS, st.floats(0, 1e4), st.integers(0, 100))
def test_whatever_a_vendor_says_opens_no_more_than_was_declared(
    answers: list[Answer], unsent: float, in_flight: int
) -> None:
    """Heard in any order, true or false."""
    now = account(unsent={OUTPUT: unsent}, in_flight=in_flight)
    said = {dimension: each.declared_limit for dimension, each in now.dimensions.items()}
    at = AT
    for each in answers:
        at = max(at, each.answered_at)
        before, now = now, hear(now, each, at).account
        for told in each.signal.standings:
            said[told.dimension] = min(said[told.dimension], told.limit or said[told.dimension])
        for dimension, after in now.dimensions.items():
            assert after.level <= full(dimension, after.bucket)
            assert 0.5 * said[dimension] <= after.limit <= after.declared_limit
            assert 1 <= after.burst_seconds <= after.declared_burst_seconds
        assert 1 <= most_in_flight(now.memory.ceiling, 64) <= 64
        assert (now.closed_until or 0.0) <= at + 86_400
        assert (now.closed_until or 0.0) >= (before.closed_until or 0.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 20)), max_size=40))
def test_no_interleaving_of_refusals_cuts_twice_in_a_round_trip(refusals: list[tuple[float, float]]) -> None:
    now = account()
    last_cut = 0.0
    for came, took in sorted(refusals):
        refusal = answer(
            ResponseKind.RATE_LIMITED, hit=OUTPUT, granted_at=AT + came - took, answered_at=AT + came
        )
        before, now = now, hear(now, refusal, AT + came).account
        if now.dimensions[OUTPUT].limit < before.dimensions[OUTPUT].limit:
            assert refusal.granted_at >= last_cut
            last_cut = AT + came


@given(SIGNALS, st.floats(11, 100), st.floats(0, 20))
def test_hearing_a_late_answer_again_changes_nothing_more(
    signal: VendorSignal, ago: float, took: float
) -> None:
    late = Answer(signal, AT - ago - took, AT - ago, {})
    once = hear(account(), late, AT).account
    twice = hear(once, late, AT)
    assert (twice.account, twice.said, twice.call) == (once, (), "")
    assert {d: e for d, e in once.dimensions.items() if d is not DAILY} == {
        d: e for d, e in account().dimensions.items() if d is not DAILY
    }
