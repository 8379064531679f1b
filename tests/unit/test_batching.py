"""Whether work goes by batch is decided from what waits, what already waits in batches, and the catalog's rule."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.vendors import Batching
from orchestrator.deciders.batching import Gather, GoLive, Pool, Waiting, decide

RULE = Batching(workflow="w", fewest=3, patience_seconds=60, requests=10, input_tokens=1000)


def waits(number: int, seconds: float = 1.0, tokens: int = 10) -> list[Waiting]:
    return [Waiting(f"s{n}", tokens, seconds) for n in range(number)]


def test_enough_that_wait_go_together() -> None:
    decision = decide(waits(4), [Pool("a")], RULE)
    assert decision == Gather("a", ("s0", "s1", "s2", "s3"), "4 can wait, and by batch they cost less")


def test_a_few_go_live() -> None:
    decision = decide(waits(2), [Pool("a")], RULE)
    assert decision == GoLive("only 2 wait, and a batch is worth its while from 3")


def test_one_that_waited_for_long_goes_by_batch_alone() -> None:
    decision = decide(waits(1, seconds=61), [Pool("a")], RULE)
    assert decision == Gather("a", ("s0",), "it has waited 61 s for a live call, and a batch has room")


def test_those_that_waited_longest_go_first() -> None:
    late = [Waiting("late", 10, 5.0), *waits(10)]
    decision = decide(late, [Pool("a", requests=7)], RULE)
    assert isinstance(decision, Gather)
    assert decision.subtasks == ("late", "s0", "s1")


def test_the_emptiest_account_takes_them() -> None:
    decision = decide(waits(3), [Pool("a", requests=5), Pool("b", requests=1)], RULE)
    assert isinstance(decision, Gather)
    assert decision.account == "b"


def test_an_account_whose_vendor_refused_is_passed_over() -> None:
    pools = [Pool("a", refused=True), Pool("b", requests=3)]
    decision = decide(waits(3), pools, RULE)
    assert isinstance(decision, Gather)
    assert decision.account == "b"
    assert decide(waits(3), pools[:1], RULE) == GoLive("the vendor refused a batch of late")


def test_what_is_left_of_a_full_pool_is_too_little_for_a_batch() -> None:
    assert decide(waits(3), [Pool("a", requests=8)], RULE) == GoLive("the batches of account a are full")
    assert decide(waits(3), [Pool("a", input_tokens=990)], RULE) == GoLive(
        "the batches of account a are full"
    )


@given(
    st.lists(st.tuples(st.integers(0, 400), st.floats(0, 200)), max_size=30),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1200), st.booleans()), max_size=4),
)
def test_no_pool_is_ever_overfilled_and_nobody_goes_twice(
    work: list[tuple[int, float]], pools: list[tuple[int, int, bool]]
) -> None:
    waiting = [Waiting(f"s{n}", tokens, seconds) for n, (tokens, seconds) in enumerate(work)]
    accounts = {f"a{n}": Pool(f"a{n}", *pool) for n, pool in enumerate(pools)}
    decision = decide(waiting, list(accounts.values()), RULE)
    if isinstance(decision, GoLive):
        assert decision.why
        return
    pool, taken = accounts[decision.account], set(decision.subtasks)
    assert not pool.refused
    assert 0 < len(taken) == len(decision.subtasks)
    assert pool.requests + len(taken) <= RULE.requests
    tokens = sum(each.input_tokens for each in waiting if each.subtask in taken)
    assert pool.input_tokens + tokens <= (RULE.input_tokens or 0)
    patient = max(each.waited_seconds for each in waiting) >= RULE.patience_seconds
    assert patient or len(taken) >= RULE.fewest
