"""Overload: one decrease per round trip, a breaker with one probe, and back to full use within half a minute."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.deciders.overload import (
    LONGEST_PAUSE_SECONDS,
    OPENS_AFTER,
    Ceiling,
    Moved,
    Phase,
    Traffic,
    most_in_flight,
    overloaded,
    succeeded,
    suspended,
)

FULL = Traffic(declared=64, in_flight=64)


def steady(allowed: float, decreased_at: float = 0.0, clean_rounds: float = 0.0) -> Ceiling:
    return Ceiling(allowed=allowed, known_good=allowed, decreased_at=decreased_at, clean_rounds=clean_rounds)


def known(moved: Moved) -> Ceiling:
    assert moved.ceiling is not None
    return moved.ceiling


def opened(traffic: Traffic = FULL) -> Moved:
    """After rounds of nothing but overload, one a second."""
    moved = Moved(None)
    for second in range(1, OPENS_AFTER + 1):
        moved = overloaded(moved.ceiling, traffic, granted_at=second - 0.5, at=second)
    return moved


def test_without_an_overload_the_declared_concurrency_stands() -> None:
    assert most_in_flight(None, 64) == 64
    assert succeeded(None, FULL, granted_at=1, at=2).ceiling is None


@pytest.mark.parametrize(
    ("ceiling", "declared", "most"),
    [
        (steady(44.8), 64, 44),
        (steady(44.8), 10, 10),
        (steady(1.0), 64, 1),
        (suspended(steady(44.8), 5.0), 64, 1),
    ],
)
def test_the_ceiling_bounds_the_calls_at_once(ceiling: Ceiling, declared: int, most: int) -> None:
    assert most_in_flight(ceiling, declared) == most


def test_the_first_overload_takes_three_tenths_of_what_was_under_way() -> None:
    moved = overloaded(None, Traffic(declared=400, in_flight=64), granted_at=1, at=2)
    assert known(moved).allowed == pytest.approx(44.8)
    assert moved.said == "the vendor is overloaded with 64 calls at once; at most 44 from here"


def test_the_other_answers_of_one_round_trip_count_no_more() -> None:
    first = overloaded(None, FULL, granted_at=1, at=2)
    assert overloaded(first.ceiling, FULL, granted_at=1.9, at=2.1) == Moved(first.ceiling)
    assert succeeded(first.ceiling, FULL, granted_at=1.9, at=2.1) == Moved(first.ceiling)
    assert known(overloaded(first.ceiling, FULL, granted_at=2.0, at=3)).allowed == pytest.approx(44.8 * 0.7)


def test_a_clock_that_was_set_back_does_not_freeze_the_ceiling() -> None:
    assert known(succeeded(steady(10, decreased_at=1000), FULL, granted_at=1, at=2)).allowed > 10


@pytest.mark.parametrize(
    ("allowed", "in_flight", "clean_rounds", "gained"),
    [
        (10, 10, 0, 1),
        (10, 4, 0, 0),
        (10, 10, 3, 2),
        (10, 10, 6, 4),
        (64, 64, 0, 0),
    ],
)
def test_a_round_trip_of_successes_adds_one_while_the_ceiling_binds_and_more_after_a_clean_while(
    allowed: int, in_flight: int, clean_rounds: float, gained: int
) -> None:
    ceiling = steady(allowed, clean_rounds=clean_rounds)
    for _ in range(allowed):
        ceiling = known(succeeded(ceiling, Traffic(64, in_flight), granted_at=1, at=2))
    assert ceiling.allowed == pytest.approx(allowed + gained, rel=0.05)


def test_the_breaker_opens_after_rounds_of_nothing_but_overload() -> None:
    moved = opened()
    assert known(moved).phase is Phase.PROBING
    assert known(moved).known_good == 64
    assert moved.pause_seconds == 1.0
    assert moved.said == "5 rounds brought nothing but overload; a pause of 1.0 s, then a single probe"


def test_a_success_between_keeps_the_breaker_shut() -> None:
    ceiling: Ceiling | None = None
    for second in range(1, 50):
        moved = overloaded(ceiling, FULL, granted_at=second - 0.5, at=second)
        assert moved.pause_seconds == 0
        ceiling = succeeded(moved.ceiling, FULL, granted_at=second, at=second + 0.2).ceiling
    assert known(Moved(ceiling)).allowed >= 1


def test_a_failed_probe_opens_it_again_for_longer_up_to_a_bound() -> None:
    moved, at = opened(), 5.0
    pauses = []
    for _ in range(40):
        at += moved.pause_seconds + 0.5
        moved = overloaded(moved.ceiling, Traffic(64, 1), granted_at=at - 0.5, at=at)
        assert most_in_flight(moved.ceiling, 64) == 1
        pauses.append(moved.pause_seconds)
    assert pauses == sorted(pauses)
    assert pauses[0] == 1.25
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_an_answer_from_before_the_pause_is_no_probe() -> None:
    moved = opened()
    assert succeeded(moved.ceiling, FULL, granted_at=4.9, at=5.5).ceiling == moved.ceiling
    assert overloaded(moved.ceiling, FULL, granted_at=4.9, at=5.5) == Moved(moved.ceiling)


@pytest.mark.parametrize("under_way_then", [64, 4])
def test_a_good_probe_starts_slowly_until_a_call_is_refused(under_way_then: int) -> None:
    """However little was under way when nothing was let through any more."""
    before = opened(Traffic(64, under_way_then)).ceiling
    ceiling = known(succeeded(before, Traffic(64, 1), granted_at=6, at=7))
    assert (ceiling.phase, ceiling.allowed) == (Phase.STARTING, 2)
    rounds = []
    while ceiling.phase is Phase.STARTING:
        under_way = most_in_flight(ceiling, 64)
        for _ in range(under_way):
            ceiling = known(succeeded(ceiling, Traffic(64, under_way), granted_at=8, at=9))
        rounds.append(most_in_flight(ceiling, 64))
    assert rounds == [4, 8, 16, 32, 64]
    refused = known(overloaded(ceiling, FULL, granted_at=9.5, at=10))
    assert (refused.phase, most_in_flight(refused, 64)) == (Phase.STEADY, 44)


def test_the_ceiling_survives_its_row() -> None:
    ceiling = known(opened())
    assert Ceiling.model_validate(ceiling.model_dump(mode="json")) == ceiling


ANSWERS = st.lists(
    st.tuples(st.booleans(), st.floats(0, 100), st.floats(0, 10), st.integers(1, 100)), max_size=60
)


@given(ANSWERS, st.integers(1, 64))
def test_no_interleaving_of_answers_decreases_twice_in_a_round_trip(
    answers: list[tuple[bool, float, float, int]], declared: int
) -> None:
    """Answers are heard in the order of time; their calls were granted at any moment before."""
    ceiling: Ceiling | None = None
    last_decrease = 0.0
    for good, at, took, in_flight in sorted(answers, key=lambda answer: answer[1]):
        granted_at = at - took
        decide = succeeded if good else overloaded
        before = ceiling
        ceiling = decide(ceiling, Traffic(declared, in_flight), granted_at, at).ceiling
        if ceiling is None:
            continue
        assert 1 <= ceiling.allowed <= declared
        assert 1 <= most_in_flight(ceiling, declared) <= declared
        lowered = not good and ceiling != before
        if lowered:
            assert before is None or granted_at >= last_decrease
            last_decrease = at


@given(st.floats(1, 1e6), st.integers(1, 64), st.booleans(), st.sampled_from(Phase))
def test_a_lowered_declaration_binds_at_once(allowed: float, declared: int, good: bool, phase: Phase) -> None:
    ceiling = Ceiling(allowed=allowed, known_good=allowed, phase=phase)
    assert most_in_flight(ceiling, declared) <= declared
    decide = succeeded if good else overloaded
    assert most_in_flight(decide(ceiling, Traffic(declared, 1), 1, 2).ceiling, declared) <= declared


@dataclass
class Vendor:
    """Saturated work against a vendor, by a clock of its own: a call takes 1.5 s, a refusal 0.2 s."""

    capacity: Callable[[float], int]
    declared: int
    demand: int
    seed: int = 1
    ceiling: Ceiling | None = None
    closed_until: float = 0.0
    served_at: list[float] = field(default_factory=list)
    refused: int = 0
    decreased_at: list[float] = field(default_factory=list)

    def run(self, until: float) -> None:
        chance = random.Random(self.seed)
        ends: list[tuple[float, float, bool]] = []
        at_work, now = 0, 0.0
        while now < until:
            while now >= self.closed_until and len(ends) < min(
                most_in_flight(self.ceiling, self.declared), self.demand
            ):
                good = at_work < self.capacity(now)
                at_work += good
                took = (1.5 if good else 0.2) * chance.uniform(0.8, 1.2)
                heapq.heappush(ends, (now + took, now, good))
            if not ends:
                now = self.closed_until
                continue
            now, granted_at, good = heapq.heappop(ends)
            at_work -= good
            traffic = Traffic(self.declared, len(ends) + 1)
            moved = (succeeded if good else overloaded)(self.ceiling, traffic, granted_at, now)
            if good:
                self.served_at.append(now)
            else:
                self.refused += 1
                if moved.said:
                    self.decreased_at.append(now)
            self.ceiling = moved.ceiling
            if moved.pause_seconds:
                self.closed_until = now + moved.pause_seconds

    def served(self, start: float, end: float) -> float:
        """Calls a second."""
        return sum(start <= at < end for at in self.served_at) / (end - start)


@pytest.mark.parametrize("during", [0, 1, 8, 20, 40])
@pytest.mark.parametrize("lasts", [55.0, 60.0, 66.0])
@pytest.mark.parametrize("declared", [64, 400])
def test_after_an_overload_of_a_minute_use_is_back_within_thirty_seconds(
    during: int, lasts: float, declared: int
) -> None:
    vendor = Vendor(
        capacity=lambda now: during if 30 <= now < 30 + lasts else 1000, declared=declared, demand=64
    )
    vendor.run(30 + lasts + 60)
    before, over = vendor.served(10, 30), 30 + lasts
    assert vendor.served(over + 30, over + 60) >= 0.95 * before
    assert most_in_flight(vendor.ceiling, declared) >= 0.95 * 64


@pytest.mark.parametrize(("strength", "refused_share"), [(8, 0.15), (20, 0.05), (40, 0.02)])
def test_what_an_overloaded_vendor_can_bear_is_used_with_few_refusals(
    strength: int, refused_share: float
) -> None:
    vendor = Vendor(capacity=lambda now: strength, declared=64, demand=64)
    vendor.run(300)
    assert vendor.served(100, 300) >= 0.8 * strength / 1.5
    assert vendor.refused <= refused_share * len(vendor.served_at)
