"""What an operator declares: it holds as said, and no level rises by it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from contracts.limits import Dimension
from orchestrator.deciders.learning import Learned, burst_declared, is_whole, limit_declared
from orchestrator.deciders.pacing import DAILY, full

numbers = st.floats(0.01, 1e9)
dimensions = st.sampled_from(Dimension)


@st.composite
def kept(draw: st.DrawFn, dimension: Dimension) -> Learned:
    """A dimension as a ledger may hold it, in debt or up to full."""
    declared, burst_seconds = draw(numbers), draw(st.floats(1, 3600))
    empty = Learned(
        declared_limit=declared,
        limit=declared * draw(st.floats(0.5, 1)),
        declared_burst_seconds=burst_seconds,
        burst_seconds=burst_seconds * draw(st.floats(0.1, 1)),
        level=0.0,
        seen_limit=draw(st.none() | numbers),
    )
    most = full(dimension, empty.bucket)
    return replace(empty, level=draw(st.floats(-most, most)))


@given(st.data(), dimensions, numbers)
def test_a_declared_limit_holds_and_raises_no_level(
    data: st.DataObject, dimension: Dimension, limit: float
) -> None:
    before = data.draw(kept(dimension))
    after = limit_declared(dimension, before, limit)
    assert after.limit == after.declared_limit == limit
    assert after.seen_limit is None
    assert after.level <= min(before.level, full(dimension, after.bucket))


@given(st.data(), st.sampled_from(sorted(DAILY)), numbers)
def test_of_a_day_no_more_is_left_than_was_not_used(
    data: st.DataObject, dimension: Dimension, limit: float
) -> None:
    before = data.draw(kept(dimension))
    used = before.limit - before.level
    assert limit_declared(dimension, before, limit).level <= limit - used + 1e-6 * (limit + before.limit)


@given(st.data(), dimensions, st.floats(0.01, 86_400))
def test_a_declared_burst_holds_and_raises_no_level(
    data: st.DataObject, dimension: Dimension, burst_seconds: float
) -> None:
    before = data.draw(kept(dimension))
    after = burst_declared(dimension, before, burst_seconds)
    assert after.burst_seconds == after.declared_burst_seconds == burst_seconds
    assert after.level <= min(before.level, full(dimension, after.bucket))
    assert is_whole(replace(after, limit=after.declared_limit))
