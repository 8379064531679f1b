"""The verdict from measured figures: the rules, and the remedy for each shortage."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failures import Code
from contracts.lanes import Tier
from contracts.purposes import Purpose
from orchestrator.deciders.diagnosing import MEAN_WAITING, MOST_FINDINGS, diagnose
from orchestrator.deciders.findings import Finding
from orchestrator.deciders.losses import Allowance, Cause, LaneLoad, Measured, Questions, Spent, Wait
from orchestrator.deciders.remedies import Fix, for_failure

WINDOW = 900.0
KEY = "anthropic/main/sonnet"
SCOPE = "anthropic/sonnet"
ACCOUNT = Allowance(
    (KEY,),
    ("output tokens", "input tokens", "requests", "requests per day", "concurrency"),
    {"output tokens": 90_000.0, "concurrency": 8.0},
    declared_calls=8.0,
)
BUSY = LaneLoad(workers=2, slots=8, busy=8.0)
IDLE = replace(BUSY, busy=1.0)


def wait(cause: Cause = Cause.BUDGET, **values: Any) -> Wait:
    scope = SCOPE if cause is Cause.BUDGET else None
    given_: dict[str, Any] = {"lane": "draft", "purpose": Purpose.FEATURE, "scope": scope, "count": 10}
    times = {"seconds": 1800.0, "longest_seconds": 300.0}
    return Wait(cause=cause, **given_ | times | values)


def spent(attempts: int = 10, **values: Any) -> Spent:
    given_: dict[str, Any] = {"lane": "draft", "purpose": Purpose.FEATURE, "worker_seconds": 6.0 * attempts}
    return Spent(attempts=attempts, **given_ | {"scope": SCOPE, "vendor": "anthropic"} | values)


def measured(*waits: Wait, **values: Any) -> Measured:
    given_: dict[str, Any] = {"granted": 100, "lanes": {"draft": IDLE}, "allowances": {SCOPE: ACCOUNT}}
    return Measured(WINDOW, waits=waits, **given_ | values)


def only(figures: Measured) -> Finding:
    (finding,) = diagnose(figures).findings
    return finding


@pytest.mark.parametrize(
    ("held_by", "dimension"),
    [
        (f"{KEY}: output tokens", "output tokens"),
        (f"{KEY}: input tokens, behind 14 subtasks", "input tokens"),
        (f"{KEY}: requests", "requests"),
        (f"{KEY}: requests per day", "requests per day"),
        (f"{KEY}: all 8 concurrent calls are taken", "concurrency"),
    ],
)
def test_a_budget_is_named_with_the_dimension_that_is_short(held_by: str, dimension: str) -> None:
    finding = only(measured(wait(held_by=held_by, still=2), wait(seconds=9000.0)))
    assert finding.where == f"{KEY}: {dimension}"
    assert (finding.seconds_lost, finding.waiting) == (10_800.0, 2)


def test_of_waits_that_are_over_the_scarcest_dimension_is_to_blame() -> None:
    assert only(measured(wait())).where == f"{KEY}: output tokens"


def test_accounts_of_one_group_are_short_together() -> None:
    both = replace(ACCOUNT, keys=(KEY, "anthropic/second/sonnet"))
    waits = (
        wait(held_by=f"{KEY}: requests", still=1),
        wait(held_by="anthropic/second/sonnet: requests", still=1),
    )
    finding = only(measured(*waits, allowances={SCOPE: both}))
    assert finding.where == f"{KEY}, anthropic/second/sonnet: requests"


def test_a_closed_account_is_paced_and_says_why() -> None:
    closed = replace(ACCOUNT, closed="the vendor asked for a pause")
    finding = only(measured(wait(), allowances={SCOPE: closed}))
    assert finding.remedy.fix is Fix.PACE
    assert "the vendor asked for a pause" in finding.remedy.advice


def test_fewer_calls_for_an_overloaded_vendor_are_no_reason_to_raise_the_limit() -> None:
    held = wait(held_by=f"{KEY}: all 2 concurrent calls are taken", still=9)
    fewer = replace(ACCOUNT, limits={"concurrency": 2.0}, declared_calls=8.0)
    finding = only(measured(held, allowances={SCOPE: fewer}))
    assert finding.remedy.fix is Fix.PACE
    assert "2 of 8 calls" in finding.remedy.advice


def test_what_names_no_account_is_held_by_something_else() -> None:
    finding = only(measured(wait(held_by="tenant acme has spent its $5 of today", still=4)))
    assert (finding.cause, finding.where) == (Cause.HOLD, "tenant acme has spent its $5 of today")
    assert finding.remedy.fix is Fix.LIFT


def test_a_spending_cap_is_named_whatever_its_work_was_told() -> None:
    told = [wait(Cause.HOLD, seconds=60.0, cap="tenant/acme/day", scope=scope) for scope in (SCOPE, None)]
    finding = only(measured(*told))
    assert (finding.where, finding.seconds_lost) == ("spending cap tenant/acme/day", 120.0)
    assert "tenant/acme/day" in finding.remedy.advice


REMEDIES = {
    "maintenance asks for most of it": (
        Fix.PACE,
        {"waits": {"purpose": Purpose.MAINTENANCE, "count": 30}, "lane": {}},
    ),
    "a lane repeats itself and nothing is cached": (
        Fix.CACHE,
        {"waits": {"held_by": f"{KEY}: input tokens", "still": 5}, "lane": {"repeatable": True}},
    ),
    "a cache cannot save output": (
        Fix.CHEAPER_TIER,
        {"waits": {}, "lane": {"repeatable": True, "tier": Tier.FRONTIER}},
    ),
    "a lane of the middle tier": (Fix.CHEAPER_TIER, {"waits": {}, "lane": {"tier": Tier.MID}}),
    "the cheapest tier already": (Fix.ANOTHER_ACCOUNT, {"waits": {}, "lane": {"tier": Tier.CHEAP}}),
    "calls at once are ours to choose": (
        Fix.HIGHER_LIMIT,
        {"waits": {"held_by": f"{KEY}: all 8 concurrent calls are taken", "still": 9}, "lane": {}},
    ),
}


@pytest.mark.parametrize("why", REMEDIES)
def test_the_remedy_for_a_budget(why: str) -> None:
    fix, staged = REMEDIES[why]
    figures = measured(
        wait(**staged["waits"]),
        lanes={"draft": replace(IDLE, **staged["lane"])},
        spent=(spent(input_tokens=1000, cached_tokens=100),),
    )
    assert only(figures).remedy.fix is fix


def test_a_lane_whose_input_is_cached_needs_no_cache() -> None:
    figures = measured(
        wait(held_by=f"{KEY}: input tokens", still=5),
        lanes={"draft": replace(IDLE, repeatable=True)},
        spent=(spent(input_tokens=1000, cached_tokens=900),),
    )
    assert only(figures).remedy.fix is Fix.ANOTHER_ACCOUNT


def test_a_higher_limit_is_told_by_what_it_paid_for_and_what_was_left_over() -> None:
    finding = only(measured(wait(still=5), spent=(spent(10),)))
    assert finding.remedy.numbers == {"limit": 90_000.0, "times_the_limit": 1.5}
    assert "1.5 times" in finding.remedy.advice


@pytest.mark.parametrize(
    ("count", "seconds", "service_seconds", "slots", "processes"),
    [
        (100, 9000.0, 45.0, 5, 2),  # 100 of 45 s in 900 s keep five slots busy
        (100, 1800.0, 45.0, 2, 1),  # only two of them waited on average
        (10, 600.0, 1.0, 1, 1),
        (90, 90_000.0, 90.0, 9, 3),
    ],
)
def test_workers_are_counted_by_littles_law(
    count: int, seconds: float, service_seconds: float, slots: int, processes: int
) -> None:
    figures = measured(
        wait(Cause.WORKERS, count=count, seconds=seconds),
        lanes={"draft": BUSY},
        spent=(spent(20, worker_seconds=20 * service_seconds),),
    )
    finding = only(figures)
    assert (finding.cause, finding.remedy.fix) == (Cause.WORKERS, Fix.MORE_PROCESSES)
    numbers = finding.remedy.numbers
    assert (numbers["slots_missing"], numbers["processes_missing"]) == (slots, processes)


def test_what_stands_behind_held_work_is_not_short_of_workers() -> None:
    held = wait(held_by=f"{KEY}: output tokens", still=3)
    behind = wait(Cause.WORKERS, scope=SCOPE, still=40, seconds=20_000.0)

    finding = only(measured(held, behind))
    assert (finding.cause, finding.waiting) == (Cause.BUDGET, 43)

    crowded = diagnose(measured(held, behind, lanes={"draft": BUSY}))
    assert [each.cause for each in crowded.findings] == [Cause.WORKERS, Cause.BUDGET]


def test_free_slots_and_nothing_held_point_at_the_orchestrator() -> None:
    finding = only(measured(wait(Cause.WORKERS)))
    assert (finding.cause, finding.remedy.fix) == (Cause.DELIVERY, Fix.LOOK)
    assert "/readyz" in finding.remedy.advice


ASKED = Questions("brief/approval", waiting=2, seconds=1500.0, longest_seconds=5000.0)


def test_people_are_short_and_told_how_long_they_take() -> None:
    slow = replace(ASKED, answers=20, approved=12, median_seconds=3600.0)
    finding = only(measured(questions=(slow,)))
    assert (finding.cause, finding.remedy.fix) == (Cause.APPROVALS, Fix.MORE_APPROVERS)
    assert "60 min" in finding.remedy.advice

    never_refused = replace(slow, approved=20)
    assert only(measured(questions=(never_refused,))).remedy.fix is Fix.FEWER_GATES
    few = replace(ASKED, answers=3, approved=3, median_seconds=60.0)
    assert only(measured(questions=(few,))).remedy.fix is Fix.MORE_APPROVERS


def test_retries_starve_by_seconds_or_by_tokens() -> None:
    good = spent(30, worker_seconds=300.0, output_tokens=3000)
    slow = spent(6, code=Code.TIMEOUT, worker_seconds=200.0)
    costly = spent(6, code=Code.CUT, worker_seconds=1.0, output_tokens=2000)
    for bad, code in ((slow, "timeout"), (costly, "cut")):
        finding = only(measured(spent=(good, bad)))
        assert (finding.cause, finding.where) == (Cause.RETRIES, f"anthropic: {code}")
        assert (finding.remedy.numbers["failed"], finding.remedy.numbers["ended"]) == (6, 36)

    assert diagnose(measured(spent=(good, replace(slow, attempts=4)))).findings == (), (
        "a few failures are life"
    )
    cheap = replace(slow, worker_seconds=20.0)
    assert diagnose(measured(spent=(good, cheap))).findings == ()
    assert only(measured(spent=(good, cheap), backoff_seconds=100.0)).seconds_lost == 120.0


def test_a_judgement_is_an_answer_and_not_work_in_vain() -> None:
    for code in (Code.NO_EVIDENCE, Code.MISSING_PREREQUISITE):
        told = spent(50, code=code, worker_seconds=500.0, output_tokens=500)
        assert diagnose(measured(spent=(told,))).findings == ()


@pytest.mark.parametrize("code", Code)
def test_every_failure_has_a_remedy(code: Code) -> None:
    assert for_failure(code).advice


def test_nothing_is_short_and_the_numbers_say_so() -> None:
    told = diagnose(measured(wait(seconds=89.0), spent=(spent(97), spent(3, code=Code.TIMEOUT))))
    assert told.findings == ()
    assert told.verdict == (
        "nothing is short: 100 attempts were granted in 15 min, 3 failed, and 107 s were lost, "
        "which is 0.12 waiting subtasks on average"
    )


def test_from_a_handful_of_attempts_nobody_can_tell() -> None:
    assert diagnose(measured(granted=9)).verdict.startswith("too little happened to tell: 9 attempts")
    assert diagnose(measured(granted=1)).verdict.startswith("too little happened to tell: 1 attempt granted")
    assert diagnose(measured(wait(), granted=0)).findings, "what waits shows, whatever was granted"


CAUSES = st.sampled_from([Cause.BUDGET, Cause.WORKERS, Cause.HOLD])
WAITS = st.lists(
    st.builds(
        wait,
        CAUSES,
        lane=st.sampled_from(["draft", "review", "unknown"]),
        scope=st.sampled_from([SCOPE, "gone/group", None]),
        purpose=st.sampled_from(Purpose),
        count=st.integers(1, 1000),
        seconds=st.floats(0, 1e6),
        still=st.integers(0, 1000),
        held_by=st.sampled_from(["", f"{KEY}: requests", "a cap", f"{KEY} is closed: why"]),
    ),
    max_size=12,
)


@given(WAITS, st.floats(0, 10), st.booleans())
def test_any_figures_are_weighed_and_never_more_than_three_told(
    waits: list[Wait], busy: float, closed: bool
) -> None:
    account = replace(ACCOUNT, closed="why" if closed else "")
    lanes = {"draft": replace(BUSY, busy=busy), "review": LaneLoad()}

    told = diagnose(measured(*waits, lanes=lanes, allowances={SCOPE: account}))

    lost = [finding.seconds_lost for finding in told.findings]
    assert lost == sorted(lost, reverse=True)
    assert len(lost) <= MOST_FINDINGS
    assert all(seconds >= MEAN_WAITING * WINDOW for seconds in lost)
    assert sum(lost) <= told.seconds_lost * (1 + 1e-9) == pytest.approx(sum(w.seconds for w in waits))
