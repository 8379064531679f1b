"""Estimates: learned from what attempts really took, tight where a promise is charged."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.limits import Dimension
from orchestrator.deciders.charging import Reserved
from orchestrator.deciders.estimating import (
    FEW,
    UNKNOWN,
    Calibration,
    expected_billed_input,
    expected_input,
    expected_output,
    learned,
    promise,
)
from orchestrator.deciders.funding import Funded, Wish, fund
from orchestrator.deciders.pacing import Held
from tests.unit.test_pacing import OPENAI, purse


def after(outputs: list[int], most: int = 100_000, factor: float = 1.0) -> Calibration:
    known = UNKNOWN
    for output in outputs:
        tokens = int(1000 * factor)
        known = learned(known, 1000, tokens, tokens, output, whole=output < most)
    return known


def test_without_a_sample_the_lanes_own_guess_stands() -> None:
    assert expected_output(UNKNOWN, declared=400, most=2048) == 400
    assert expected_output(UNKNOWN, declared=4000, most=2048) == 2048
    assert expected_input(UNKNOWN, 700) == 700
    assert promise(UNKNOWN, 4096) == 4096


def test_few_samples_are_taken_at_their_ninth_decile_and_many_at_their_mean() -> None:
    few = [100] * 8 + [1000]
    assert expected_output(after(few), 400, 2048) == 1000
    assert expected_output(after([100] * 18 + [1000] * 2), 400, 2048) == pytest.approx(190, abs=1)


@given(st.floats(0.2, 5), st.floats(0.2, 5))
def test_the_factor_finds_the_vendors_count_from_anywhere(first: float, then: float) -> None:
    known = after([100] * 50, factor=first)
    for _ in range(1200):
        known = learned(known, 1000, 2 * int(1000 * then), int(1000 * then), 100, whole=True)
    assert expected_input(known, 1000) == pytest.approx(1000 * then, rel=0.02, abs=2)
    assert expected_billed_input(known, 1000) == pytest.approx(2000 * then, rel=0.02, abs=2)


def test_an_answer_that_was_cut_counts_at_what_it_took_and_teaches_no_promise() -> None:
    known = learned(after([100] * 30), 1000, 1000, 1000, 4096, whole=False)
    assert expected_output(known, 400, 8192) == pytest.approx((30 * 100 + 4096) / 31, abs=1)
    assert promise(known, 8192) == promise(after([100] * 30), 8192)


def test_an_answer_that_stays_within_its_room_is_not_expected_shorter_for_those_that_were_cut_before() -> (
    None
):
    known = after([4096] * 19 + [1000], most=4096)
    assert expected_output(known, 400, 4096) == pytest.approx((19 * 4096 + 1000) / 20, abs=1)
    assert promise(known, 4096) == 4096, "one whole answer is too few"


def test_answers_of_which_all_were_cut_are_expected_as_long_as_they_were() -> None:
    assert expected_output(after([4096] * 3, most=4096), 400, 4096) == 4096


@given(st.lists(st.tuples(st.integers(1, 9000), st.booleans()), min_size=1, max_size=90))
def test_no_less_is_expected_than_answers_have_taken(answers: list[tuple[int, bool]]) -> None:
    known = UNKNOWN
    for tokens, whole in answers:
        known = learned(known, 1000, 1000, 1000, tokens, whole)
    mean = sum(tokens for tokens, _ in answers) / len(answers)
    assert expected_output(known, 1, 9000) >= int(mean)
    if sum(whole for _, whole in answers) < FEW:
        assert promise(known, 9000) == 9000


def test_input_read_from_a_cache_is_on_the_bill_and_not_reserved_where_it_does_not_count() -> None:
    known = UNKNOWN
    for _ in range(30):
        known = learned(known, 1000, 1200, 200, 100, whole=True)
    paid = fund(replace(WISH, raw_input_tokens=1000), [purse(tokens=600_000)], known)
    assert isinstance(paid, Funded) and paid.reserved.input_tokens == pytest.approx(200, abs=1)
    assert expected_billed_input(known, 1000) == pytest.approx(1200, abs=1)


def test_a_promise_is_as_tight_as_its_lengths_allow() -> None:
    assert promise(after([300] * FEW), 4096) < 400
    assert promise(after([300] * (FEW - 1)), 4096) == 4096
    chance = random.Random(5)
    lengths = [int(chance.lognormvariate(5.5, 0.8)) for _ in range(100)]
    tight = promise(after(lengths), 4096)
    cost = tight + 4096 * sum(length > tight for length in lengths) / len(lengths)
    assert tight < 4096 / 2
    assert all(
        cost <= c + 4096 * sum(length > c for length in lengths) / len(lengths)
        for c in range(tight, 4096, 50)
    )


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=150), st.integers(1, 8192))
def test_nothing_is_expected_or_promised_beyond_the_lanes_cap(lengths: list[int], most: int) -> None:
    known = after(lengths, most)
    assert 1 <= expected_output(known, 400, most) <= most
    assert 1 <= promise(known, most) <= most


WISH = Wish(
    "v/g", raw_input_tokens=100, declared_output_tokens=50, most_output_tokens=200, whole_promise=False
)


def test_the_account_with_the_most_left_pays() -> None:
    poor, rich = purse(requests=60), purse(requests=6000)
    paid = fund(WISH, [poor, rich], UNKNOWN)
    assert isinstance(paid, Funded)
    assert paid.purse.buckets[Dimension.REQUESTS].limit == 6000
    assert paid.reserved == Reserved(100, 50, 200)


def test_where_none_can_pay_the_soonest_is_named() -> None:
    late, soon = purse(closed=60, requests=60), purse(closed=5, requests=60)
    held = fund(WISH, [late, soon], UNKNOWN)
    assert isinstance(held, Held) and held.seconds == 5


def test_work_without_any_account_is_refused() -> None:
    held = fund(WISH, [], UNKNOWN)
    assert held == Held("no budget v/g is known; work without a budget is refused", float("inf"))


def test_a_promise_is_tight_only_where_it_is_charged_and_whole_after_it_was_cut() -> None:
    account = replace(purse(tokens=600_000), charging=OPENAI)
    known = after([20] * 30)
    tight = fund(WISH, [account], known)
    assert isinstance(tight, Funded) and tight.reserved.promised_tokens < 60
    whole = fund(replace(WISH, whole_promise=True), [account], known)
    assert isinstance(whole, Funded) and whole.reserved.promised_tokens == 200
    other = fund(WISH, [purse(tokens=600_000)], known)
    assert isinstance(other, Funded) and other.reserved.promised_tokens == 200
