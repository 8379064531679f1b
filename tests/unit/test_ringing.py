"""Which doorbells are rung again: those that nothing explains, more and more rarely."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.deciders.ringing import (
    FIRST_PATIENCE_SECONDS,
    OVERTAKEN_SECONDS,
    Progress,
    Unclaimed,
    in_vain,
    patience,
)

AT = 1000.0
LOST = Unclaimed("a", "draft", AT - 3, AT - 3, 1)
FREE = {"draft": 2}


def again(each: Unclaimed, progress: Progress | None = None, free: dict[str, int] = FREE) -> bool:
    return in_vain([each], free, {"draft": progress} if progress else {}, AT) == [each.attempt]


def test_what_nobody_claims_although_slots_are_free_is_rung_again() -> None:
    assert again(LOST)
    assert not again(replace(LOST, rung_at=AT - FIRST_PATIENCE_SECONDS + 0.1))


def test_a_backlog_explains_any_wait() -> None:
    assert not again(LOST, free={})
    moving = Progress(reached=LOST.granted_at - 1, claimed_at=AT - 0.1)
    assert not again(LOST, moving), "its turn is still to come"


def test_a_lane_that_has_come_further_has_lost_it() -> None:
    assert again(LOST, Progress(reached=LOST.granted_at + OVERTAKEN_SECONDS, claimed_at=AT))
    assert not again(LOST, Progress(reached=LOST.granted_at + OVERTAKEN_SECONDS / 2, claimed_at=AT))


def test_a_lane_that_claims_nothing_any_more_has_lost_everything() -> None:
    assert again(LOST, Progress(reached=LOST.granted_at - 60, claimed_at=AT - FIRST_PATIENCE_SECONDS))


@given(st.integers(min_value=1, max_value=100))
def test_each_ring_is_waited_for_at_least_as_long_as_the_one_before(rings: int) -> None:
    assert FIRST_PATIENCE_SECONDS <= patience(rings) <= patience(rings + 1)


def test_a_grant_of_a_quarter_of_a_minute_is_rung_four_times_at_most() -> None:
    """Its start-by ends it: no broker is flooded, however long it forgets."""
    rung, at = [0.0], 0.0
    while at < 15.0:
        at += 1.0
        if at - rung[-1] >= patience(len(rung)):
            rung.append(at)
    assert rung == [0.0, 2.0, 5.0, 11.0]
