"""What vendors' answers teach, kept in the ledger: limits, closings, ceilings, and people who are called."""

import json
from typing import Any

import pytest
from sqlalchemy import update

from contracts.failures import Code
from contracts.limits import Dimension, ResponseKind, Standing, VendorSignal
from contracts.reports import Report, Usage
from orchestrator import escalations, purses
from orchestrator.deciders.feedback import Memory
from orchestrator.deciders.overload import Ceiling, Phase
from orchestrator.door import Refusal
from orchestrator.ledger import tables
from orchestrator.ledger.clock import now
from tests.integration.small_fleet import SmallFleet, age, delivers, fails

HAIKU = "anthropic/default/haiku"


@pytest.fixture(autouse=True)
def levels_are_corrected(fleet: SmallFleet) -> None:
    """By answers, so that they do not follow from the attempts alone."""
    fleet.assert_budgets = False


def answered(fleet: SmallFleet, *standings: Standing) -> None:
    """A research attempt that goes well, whose answer carries these headers."""
    others = len(fleet.rows(tables.job))  # another tenant's question is answered anew
    claim = fleet.claimed("summary", tenant=f"tenant-{others}")
    report = fleet.hands.report(claim, delivers(fleet.hands.payload(claim.handoff)))
    assert report.call
    signal = VendorSignal(kind=ResponseKind.OK, standings=standings)
    told = Report.model_validate(
        report.model_dump() | {"call": report.call.model_copy(update={"signal": signal}).model_dump()}
    )
    assert fleet.door.report(claim, told, fleet.hands.name)
    fleet.run()


def level(fleet: SmallFleet, dimension: str) -> Any:
    return fleet.row(tables.budget_level, key=HAIKU, dimension=dimension)


def test_less_than_was_thought_to_be_left_is_taken_at_once(fleet: SmallFleet) -> None:
    said = Standing(dimension=Dimension.OUTPUT_TOKENS, limit=90_000, remaining=5_000)
    answered(fleet, said)
    output = level(fleet, "output_tokens")
    assert output.level <= 5_000
    assert (output.seen_limit, output.seen_remaining, output.limit) == (90_000, 5_000, 90_000)
    (event,) = fleet.rows(tables.event, kind="budget_learned")
    assert event.sentence.startswith(f"{HAIKU}: output tokens: ")


def test_a_lower_limit_is_taken_at_once_and_a_higher_one_never_above_what_was_declared(
    fleet: SmallFleet,
) -> None:
    answered(fleet, Standing(dimension=Dimension.REQUESTS, limit=600, remaining=599))
    assert level(fleet, "requests").limit == pytest.approx(600, rel=0.01)
    answered(fleet, Standing(dimension=Dimension.REQUESTS, limit=4000, remaining=3999))
    assert level(fleet, "requests").limit <= level(fleet, "requests").declared_limit == 1000


def test_a_dimension_that_the_account_is_not_paced_by_is_passed_over(fleet: SmallFleet) -> None:
    answered(fleet, Standing(dimension=Dimension.TOKENS, limit=1, remaining=0))
    assert {row.dimension for row in fleet.rows(tables.budget_level, key=HAIKU)} == {
        "requests",
        "input_tokens",
        "output_tokens",
    }


def test_work_outlives_a_vendor_that_is_away_and_only_a_probe_asks_for_it(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary")
    gone = fails(Code.VENDOR_ERROR, usage=Usage())
    fleet.hands.will("research[1]", *[gone] * 8)
    for _ in range(8):
        fleet.run()
        age(fleet.ledger, tables.subtask, fleet.subtask(job_id, "research[1]").id, not_before=61)
        age(fleet.ledger, tables.budget, HAIKU, closed_until=61)
    fleet.run()
    assert fleet.job(job_id).state == "done"
    assert len(fleet.attempts(job_id, "research[1]")) == 9
    assert fleet.subtask(job_id, "research[1]").tries == 4, "three, before it was known, and the good one"
    said = [row.sentence for row in fleet.rows(tables.event, kind="budget_learned")]
    assert f"{HAIKU}: 3 calls in a row were not answered; a pause of 1.0 s, then a single probe" in said
    assert f"{HAIKU}: the probe was answered; calls begin slowly" in said


def test_an_overload_lowers_what_may_be_under_way_and_closes_nothing(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary", documents=10)
    fleet.hands.will("research[1]", fails(Code.OVERLOADED, usage=Usage()))
    fleet.plan.run()
    assert fleet.dispatch.run() == 10
    fleet.hands.do(fleet.hands.doorbells()[0].attempt_id)
    fleet.advance.run()

    assert fleet.budget(HAIKU).closed_until is None
    age(fleet.ledger, tables.subtask, fleet.subtask(job_id, "research[1]").id, not_before=60.0)
    assert fleet.dispatch.run() == 0, "seven of the ten that were under way are allowed, and nine still are"
    assert "concurrent calls are taken" in fleet.subtask(job_id, "research[1]").held_by


def test_answers_that_come_together_let_twice_as_many_begin(fleet: SmallFleet) -> None:
    """Each of the two was given while both were under way, though both have ended when they are heard."""
    fleet.submit("summary", documents=20)
    fleet.plan.run()
    after_an_overload = Memory(ceiling=Ceiling(allowed=2, known_good=10, phase=Phase.STARTING))
    with fleet.ledger.write() as connection:
        starting = {"memory": after_an_overload.model_dump(mode="json")}
        connection.execute(update(tables.budget).where(tables.budget.c.key == HAIKU).values(**starting))
    for allowed in (2, 4, 8):
        fleet.dispatch.run()
        assert len(fleet.rows(tables.attempt, budget=HAIKU, state="dispatched")) == allowed
        for bell in fleet.hands.doorbells():
            fleet.hands.do(bell.attempt_id)
        fleet.advance.run()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (Code.SPEND_LIMIT, "money or credit has run out"),
        (Code.UNAUTHORISED, "the vendor does not accept the key"),
        (Code.DAY_LIMIT, "the quota of the day is used up"),
    ],
)
def test_what_a_person_must_decide_closes_the_account_calls_once_and_is_never_retried(
    fleet: SmallFleet, code: Code, why: str
) -> None:
    job_id = fleet.submit("summary", documents=3)
    for name in ("research[1]", "research[2]"):
        fleet.hands.will(name, fails(code, usage=Usage()))
    fleet.run()

    budget = fleet.budget(HAIKU)
    assert budget.closed_until > budget.refilled_at and budget.closed_why == why
    assert {row.code for row in fleet.rows(tables.dead_letter, job_id=job_id)} == {code}
    (called,) = fleet.rows(tables.escalation)
    assert called.sentence.startswith(f"{HAIKU}: {why}") and not called.drill

    other = fleet.submit("summary")
    fleet.turn()
    assert fleet.subtask(other, "research[1]").held_by == f"{HAIKU} is closed: {why}"


@pytest.mark.parametrize("code", [Code.SPEND_LIMIT, Code.UNAUTHORISED])
def test_money_and_keys_close_every_group_of_their_account_and_no_other_account(
    fleet: SmallFleet, code: Code
) -> None:
    twice = fleet.catalog.vendors["anthropic"].model_copy(update={"accounts": ("default", "second")})
    vendors = fleet.catalog.vendors | {"anthropic": twice}
    with fleet.ledger.write() as connection:
        at = now(connection)
        purses.seed(connection, fleet.catalog.model_copy(update={"vendors": vendors}), at)
    fleet.set_budget("anthropic/second/haiku", closed_until=at + 3600, closed_why="not chosen here")
    fleet.hands.will("research[1]", fails(code, usage=Usage()))
    fleet.submit("summary")
    fleet.run()

    closed = {row.key for row in fleet.rows(tables.budget) if row.closed_until and row.closed_why[0] in "mt"}
    assert closed == {f"anthropic/default/{group}" for group in twice.groups}
    assert len(closed) > 1
    (called,) = fleet.rows(tables.escalation)
    assert called.sentence.startswith(HAIKU)


def test_whoever_is_called_is_told_once_in_the_log_route(fleet: SmallFleet) -> None:
    fleet.hands.will("research[1]", fails(Code.UNAUTHORISED, usage=Usage()))
    fleet.submit("summary")
    fleet.run()
    (called,) = fleet.rows(tables.escalation)

    assert escalations.tell(fleet.ledger, fleet.escalation_log) == 1
    assert escalations.tell(fleet.ledger, fleet.escalation_log) == 0
    (line,) = fleet.escalation_log.read_text().splitlines()
    assert json.loads(line) == {
        "escalation": called.id,
        "drill": False,
        "sentence": called.sentence,
        "job": None,
    }


def test_what_was_granted_before_its_account_closed_does_not_start_and_comes_back_unrun(
    fleet: SmallFleet,
) -> None:
    job_id = fleet.submit("summary", documents=2)
    fleet.plan.run()
    assert fleet.dispatch.run() == 2
    first, second = fleet.hands.doorbells()
    fleet.hands.will("research[1]", fails(Code.RATE_LIMITED, retry_after=60.0, usage=Usage()))
    fleet.hands.do(first.attempt_id)
    fleet.advance.run()

    assert isinstance(fleet.hands.claim(second.attempt_id), Refusal)
    late = fleet.row(tables.attempt, id=second.attempt_id)
    assert (late.state, late.claimed_at) == ("dispatched", None)
    age(fleet.ledger, tables.attempt, second.attempt_id, start_by=2.0)
    fleet.reconcile.run()
    assert fleet.row(tables.attempt, id=second.attempt_id).state == "returned"
    assert fleet.subtask(job_id, "research[2]").tries == 0

    age(fleet.ledger, tables.budget, HAIKU, closed_until=60.0, refilled_at=90.0)
    fleet.run()
    assert fleet.job(job_id).state == "done"


def test_an_account_without_a_key_draws_in_no_more_work(fleet: SmallFleet) -> None:
    fleet.submit("summary", documents=3)
    fleet.hands.will("research[1]", fails(Code.VENDOR_UNAVAILABLE, usage=None, sent=False))
    fleet.plan.run()
    fleet.dispatch.run()
    bell, *_ = fleet.hands.doorbells()
    fleet.hands.do(bell.attempt_id)
    fleet.advance.run()
    assert fleet.budget(HAIKU).closed_why == "the vendor does not accept the key"
    assert len(fleet.rows(tables.escalation)) == 1
    fleet.submit("summary")
    fleet.plan.run()
    assert fleet.dispatch.run() == 0


def test_a_budget_that_the_catalog_no_longer_names_pays_nothing_until_it_is_back(fleet: SmallFleet) -> None:
    haiku = fleet.catalog.vendors["anthropic"]
    renamed = haiku.model_copy(update={"accounts": ("second",)})
    with fleet.ledger.write() as connection:
        at = now(connection)
        purses.seed(connection, fleet.catalog.model_copy(update={"vendors": {"anthropic": renamed}}), at)
    fleet.submit("summary")
    fleet.plan.run()
    assert fleet.dispatch.run() == 1
    assert fleet.rows(tables.attempt)[0].budget == "anthropic/second/haiku"
    assert fleet.budget(HAIKU).closed_why == "its account is no longer in the catalog"

    with fleet.ledger.write() as connection:
        purses.seed(connection, fleet.catalog, at)
    assert fleet.budget(HAIKU).closed_until is None


def test_what_newer_code_remembers_stops_nobody(fleet: SmallFleet) -> None:
    for memory in ({"invented_later": 1, "corrected_at": 5.0}, {"trust": {"unheard of": {}}}):
        fleet.set_budget(HAIKU, memory=memory)
        fleet.submit("summary")
        fleet.plan.run()
        assert fleet.dispatch.run() == 1


def test_a_clock_that_was_set_back_freezes_no_budget(fleet: SmallFleet) -> None:
    """A day ahead it was emptied, and closed for longer than anything closes."""
    at = fleet.budget(HAIKU).refilled_at
    fleet.set_level(HAIKU, "output_tokens", level=0.0)
    fleet.set_budget(HAIKU, refilled_at=at + 86_400, closed_until=at + 400_000, closed_why="a wrong clock")
    fleet.submit("summary")
    fleet.plan.run()
    assert fleet.dispatch.run() == 0
    age(fleet.ledger, tables.budget, HAIKU, refilled_at=60.0, closed_until=100_000.0)
    assert fleet.dispatch.run() == 1
