"""What a vendor's own list of limits makes of what is declared."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.account_limits import Allowed
from contracts.limits import Dimension
from orchestrator.deciders.declaring import declared, said_of, sharing
from orchestrator.deciders.learning import Learned
from orchestrator.deciders.pacing import full

GROUPS = {"haiku": ("haiku-5",), "sonnet": ("sonnet-5", "sonnet-5-5")}
LIMITS = st.floats(1, 1e9)


@st.composite
def learned(draw: st.DrawFn) -> Learned:
    limit = draw(LIMITS)
    return Learned(limit, limit * draw(st.floats(0.1, 1)), 60.0, 60.0, draw(st.floats(-1e9, 1e9)))


def listed(value: float, *models: str) -> Allowed:
    return Allowed(models=models, dimension=Dimension.REQUESTS, value=value)


@given(learned(), LIMITS, st.booleans())
def test_a_list_never_raises_what_is_paced_by_and_never_lets_it_exceed_the_list(
    before: Learned, said: float, by_hand: bool
) -> None:
    after = declared(Dimension.REQUESTS, before, said, by_hand)
    assert after.limit <= min(before.limit, said)
    assert after.level <= max(before.level, 0) and after.level <= full(Dimension.REQUESTS, after.bucket)
    assert after.declared_limit == (min(said, before.declared_limit) if by_hand else said)


def test_of_several_groups_of_the_vendors_in_one_of_ours_the_lowest_counts() -> None:
    allowed = (listed(50, "sonnet-5"), listed(20, "sonnet-5-5", "sonnet-latest"), listed(70, "opus-5"))
    assert said_of(GROUPS, allowed) == {"sonnet": {Dimension.REQUESTS: 20}}
    assert sharing(GROUPS, allowed) == []


def test_groups_of_ours_in_one_of_the_vendors_are_named() -> None:
    allowed = (listed(50, "sonnet-5", "haiku-5", "opus-5"), listed(9, "haiku-5"))
    assert said_of(GROUPS, allowed)["haiku"] == {Dimension.REQUESTS: 9}
    assert sharing(GROUPS, allowed) == [("haiku", "sonnet")]
