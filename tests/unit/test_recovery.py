"""What follows a failed attempt."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failures import CATEGORY_OF, Category, Code, Failure
from contracts.lanes import Attempts
from contracts.workflows import Ending, OnTrouble
from orchestrator.deciders.recovery import Climb, End, History, Retry, counted_with, is_try, recover
from orchestrator.deciders.suspecting import blame

POLICY = Attempts(most=4, repairs=1, crashes=3, backoff_seconds=2, backoff_cap_seconds=60)
TROUBLE = OnTrouble(loop=Ending.DEAD, cut="repair", fail=Ending.SKIP)


def failure(code: Code, retry_after: float | None = None) -> Failure:
    return Failure(code=code, sentence="it failed", retry_after_seconds=retry_after)


@pytest.mark.parametrize(
    ("tries", "chance", "delay"), [(1, 0.0, 1.0), (1, 1.0, 2.0), (2, 1.0, 4.0), (3, 1.0, 8.0)]
)
def test_transient_failures_back_off_exponentially_with_jitter(
    tries: int, chance: float, delay: float
) -> None:
    answer = recover(failure(Code.VENDOR_ERROR), POLICY, TROUBLE, History(tries, 0, 0), chance)
    assert isinstance(answer, Retry)
    assert answer.delay_seconds == pytest.approx(delay)


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_a_delay_asked_for_is_never_undercut(chance: float) -> None:
    answer = recover(failure(Code.OVERLOADED, 60), POLICY, TROUBLE, History(1, 0, 0), chance)
    assert isinstance(answer, Retry)
    assert answer.delay_seconds >= 60


def test_the_last_try_ends_as_the_step_declares_for_loops() -> None:
    answer = recover(failure(Code.TIMEOUT), POLICY, TROUBLE, History(4, 0, 0), 0.5)
    assert answer == End(Ending.DEAD, "timeout: it failed (the last of 4 tries)")


def test_waiting_on_a_limit_never_eats_a_try() -> None:
    assert not is_try(failure(Code.RATE_LIMITED), paced=True)
    assert not is_try(failure(Code.RATE_LIMITED), paced=False)


def test_an_overload_is_a_try_only_of_what_no_budget_paces() -> None:
    assert is_try(failure(Code.OVERLOADED), paced=False)
    assert not is_try(failure(Code.OVERLOADED), paced=True)
    last = recover(failure(Code.OVERLOADED), POLICY, TROUBLE, History(4, 0, 0), 0.5)
    assert last == End(Ending.DEAD, "overloaded: it failed (the last of 4 tries)")


@pytest.mark.parametrize(
    ("limited", "asked", "delay"), [(1, None, 2.0), (3, None, 8.0), (3, 1.0, 8.0), (1, 9.0, 9.0)]
)
def test_paced_work_is_turned_away_by_an_overload_more_and_more_rarely(
    limited: int, asked: float | None, delay: float
) -> None:
    """Else the oldest would be every probe of an account that is closed and opened again."""
    history = History(4, 0, 0, limited, paced=True)
    answer = recover(failure(Code.OVERLOADED, asked), POLICY, TROUBLE, history, 1.0)
    assert isinstance(answer, Retry) and not answer.is_repair
    assert delay <= answer.delay_seconds <= 1.1 * delay


@pytest.mark.parametrize("code", [Code.VENDOR_ERROR, Code.NOT_SENT])
def test_asking_whether_a_vendor_is_back_is_no_try_and_is_bounded(code: Code) -> None:
    assert is_try(failure(code), paced=True)
    assert not is_try(failure(code), paced=True, away=True)
    history = History(4, 0, 0, 3, paced=True, away=True)
    answer = recover(failure(code), POLICY, TROUBLE, history, 1.0)
    assert isinstance(answer, Retry) and answer.delay_seconds == pytest.approx(8.0)
    last = recover(failure(code), POLICY, TROUBLE, History(0, 0, 0, 50, paced=True, away=True), 0.5)
    assert last == End(Ending.DEAD, f"{code}: it failed (turned away 50 of 50 times)")


def test_a_call_that_timed_out_is_a_try_whoever_is_away() -> None:
    """It may be charged for."""
    assert is_try(failure(Code.TIMEOUT), paced=True, away=True)
    answer = recover(failure(Code.TIMEOUT), POLICY, TROUBLE, History(4, 0, 0, paced=True, away=True), 0.5)
    assert isinstance(answer, End)


def test_refusals_of_both_kinds_stand_under_one_bound() -> None:
    both = {Code.RATE_LIMITED, Code.OVERLOADED}
    assert counted_with(failure(Code.RATE_LIMITED), paced=True) == both
    assert counted_with(failure(Code.OVERLOADED), paced=True) == both
    answer = recover(failure(Code.OVERLOADED), POLICY, TROUBLE, History(0, 0, 0, 50, paced=True), 0.5)
    assert answer == End(Ending.DEAD, "overloaded: it failed (turned away 50 of 50 times)")


@pytest.mark.parametrize(("limited", "delay"), [(1, 2.0), (2, 4.0), (3, 8.0), (49, 60.0)])
def test_a_limit_that_refuses_again_is_given_more_time(limited: int, delay: float) -> None:
    answer = recover(failure(Code.RATE_LIMITED), POLICY, TROUBLE, History(0, 0, 0, limited), 1.0)
    assert isinstance(answer, Retry)
    assert answer.delay_seconds == pytest.approx(delay)


def test_a_limit_of_a_budget_adds_no_delay_of_its_own() -> None:
    history = History(0, 0, 0, limited=3, paced=True)
    answer = recover(failure(Code.RATE_LIMITED, 7), POLICY, TROUBLE, history, 0.0)
    assert isinstance(answer, Retry) and answer.delay_seconds == 0
    assert (
        recover(failure(Code.RATE_LIMITED), POLICY, TROUBLE, History(0, 0, 0, 50, paced=True), 0.0) != answer
    )


def test_an_answer_cut_at_a_tight_promise_is_given_all_the_room_once_more_and_no_repair_is_counted() -> None:
    answer = recover(failure(Code.CUT), POLICY, TROUBLE, History(1, 9, 0, promised_less=True), 0.0)
    assert isinstance(answer, Retry) and not answer.is_repair
    assert answer.why.endswith("(once more with all the room its lane may give)")


def test_a_limit_that_says_when_to_come_back_is_believed_however_often_it_refused() -> None:
    answer = recover(failure(Code.RATE_LIMITED, 7), POLICY, TROUBLE, History(0, 0, 0, 40), 0.0)
    assert isinstance(answer, Retry)
    assert answer.delay_seconds == 7


@pytest.mark.parametrize("retry_after", [None, 30.0])
def test_a_limit_refuses_so_often_and_no_more(retry_after: float | None) -> None:
    policy = POLICY.model_copy(update={"limited": 5})
    skip = TROUBLE.model_copy(update={"loop": Ending.SKIP})
    refused = failure(Code.RATE_LIMITED, retry_after)
    assert isinstance(recover(refused, policy, skip, History(3, 0, 0, 4), 0.5), Retry)
    answer = recover(refused, policy, skip, History(0, 0, 0, 5), 0.5)
    assert answer == End(Ending.SKIP, "rate_limited: it failed (refusal 5 of 5 by a limit)")


def test_a_broken_answer_gets_one_repair_and_then_ends() -> None:
    first = recover(failure(Code.CUT), POLICY, TROUBLE, History(1, 0, 0), 0.5)
    assert isinstance(first, Retry)
    assert first.is_repair
    second = recover(failure(Code.NOT_JSON), POLICY, TROUBLE, History(2, 1, 0), 0.5)
    assert isinstance(second, End)


def test_a_step_without_repair_ends_at_once() -> None:
    trouble = OnTrouble(loop=Ending.DEAD, cut="skip", fail=Ending.DEAD)
    answer = recover(failure(Code.BREAKS_CONTRACT), POLICY, trouble, History(1, 0, 0), 0.5)
    assert isinstance(answer, End)
    assert answer.ending is Ending.SKIP


@pytest.mark.parametrize(
    "code", [c for c in Code if CATEGORY_OF[c] in (Category.DETERMINISTIC, Category.JUDGEMENT)]
)
def test_what_would_fail_again_is_never_retried_unchanged(code: Code) -> None:
    answer = recover(failure(code), POLICY, TROUBLE, History(1, 0, 0), 0.5)
    assert isinstance(answer, End)
    assert answer.ending is Ending.SKIP


@pytest.mark.parametrize("code", [c for c in Code if CATEGORY_OF[c] is Category.GOVERNANCE])
def test_governance_stops_whatever_the_step_says(code: Code) -> None:
    answer = recover(failure(code), POLICY, TROUBLE, History(1, 0, 0), 0.5)
    assert isinstance(answer, End)
    assert answer.ending is Ending.DEAD


def test_crashes_are_counted_apart_and_bounded() -> None:
    assert isinstance(recover(failure(Code.CRASHED), POLICY, TROUBLE, History(9, 0, 2), 0.5), Retry)
    assert isinstance(recover(failure(Code.CRASHED), POLICY, TROUBLE, History(0, 0, 3), 0.5), End)


def test_every_code_has_a_category() -> None:
    assert set(CATEGORY_OF) == set(Code)


def test_a_look_that_came_too_early_is_no_try_and_comes_again_more_rarely() -> None:
    delays = []
    for looks in (1, 2, 3):
        answer = recover(failure(Code.UNFINISHED), POLICY, TROUBLE, History(0, 0, 0, limited=looks), 1.0)
        assert isinstance(answer, Retry)
        delays.append(answer.delay_seconds)
    assert delays == sorted(set(delays))
    assert not is_try(failure(Code.UNFINISHED), paced=False)


def test_looks_have_an_end() -> None:
    answer = recover(failure(Code.UNFINISHED), POLICY, TROUBLE, History(0, 0, 0, limited=POLICY.limited), 0.5)
    assert isinstance(answer, End)
    assert f"look {POLICY.limited} of {POLICY.limited}" in answer.why


POLICIES = st.builds(
    Attempts,
    most=st.integers(1, 6),
    repairs=st.integers(0, 3),
    crashes=st.integers(1, 4),
    limited=st.integers(1, 6),
)
STEPS = st.builds(OnTrouble, loop=st.sampled_from(Ending), cut=st.sampled_from(["repair", "dead", "skip"]),
                  fail=st.sampled_from(Ending))  # fmt: skip
FATES = st.lists(st.tuples(st.sampled_from(Code), st.booleans()), min_size=1, max_size=5)


@given(POLICIES, STEPS, FATES, st.integers(0, 3), st.booleans(), st.floats(0, 1))
def test_whatever_keeps_failing_ends_and_every_answer_says_why(
    policy: Attempts, on: OnTrouble, fates: list[tuple[Code, bool]], rungs: int, paced: bool, chance: float
) -> None:
    """The failures come over and over in this order, each lost alone or with others, counted as in a ledger."""
    tries = repairs = crashes = shared = climbed = 0
    waited: dict[frozenset[Code], int] = {}
    bound = (rungs + 1) * policy.most + policy.crashes + policy.limited * (len(Code) + 1)
    for number, (code, with_others) in enumerate(itertools.cycle(fates), 1):
        assert number <= bound, f"{number} attempts and no end of it"
        failed, lost_together = failure(code), code is Code.CRASHED and with_others
        counted, before = counted_with(failed, paced), tries
        tries += is_try(failed, paced)
        crashes += code is Code.CRASHED and not lost_together
        shared += lost_together
        waited[counted] = waited.get(counted, 0) + 1
        limited = shared if lost_together else waited[counted] if counted else 0
        history = History(
            tries, repairs, crashes, limited, paced, rungs_left=rungs - climbed, shared_loss=lost_together
        )
        answer = recover(failed, policy, on, history, chance)
        assert answer.why.startswith(f"{code}: it failed (")
        if code in (Code.RATE_LIMITED, Code.UNFINISHED, Code.UNKNOWN_CONTRACT, Code.MISSING_PREREQUISITE):
            assert tries == before, "waiting never eats a try"
        match answer:
            case Retry(delay_seconds=delay, is_repair=is_repair):
                assert delay >= 0 and CATEGORY_OF[code] not in (Category.GOVERNANCE, Category.DETERMINISTIC)
                repairs += is_repair
            case Climb():
                climbed, tries, repairs = climbed + 1, 0, 0
                assert climbed <= rungs and CATEGORY_OF[code] in (Category.JUDGEMENT, Category.OUTPUT)
            case End():
                return


@given(st.booleans(), st.lists(st.booleans(), max_size=4), st.booleans())
def test_among_what_is_lost_together_at_most_one_is_blamed(
    suspect: bool, others: list[bool], lost_before: bool
) -> None:
    process = [suspect, *others]
    blamed = [blame(each, process[:i] + process[i + 1 :], lost_before) for i, each in enumerate(process)]
    assert all(each.suspect for each, was in zip(blamed, process, strict=True) if was)
    assert sum(each.counts for each in blamed) == (1 if len(process) == 1 or process.count(True) == 1 else 0)
    assert all(each.why for each in blamed if len(process) > 1)
