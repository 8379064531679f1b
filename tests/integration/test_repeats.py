"""The same question is asked once: by one, whose answer the others take over from the ledger."""

from typing import Any

import pytest

from contracts.brief import Claims
from contracts.failures import Code
from contracts.reports import Usage
from orchestrator.cancelling import request_cancel
from orchestrator.ledger import tables
from orchestrator.looking import Looker
from orchestrator.reads.explain import explain
from orchestrator.reads.figures.work import ended_work
from orchestrator.reads.outcomes import job_read
from orchestrator.reads.tax import tax
from tests.integration.small_fleet import SILENCE, SmallFleet, age, delivers, fails

QUESTION = "What stands in the documents?"
DAY_SECONDS = 24 * 3600.0
HAIKU = "anthropic/default/haiku"


def same(*names: str) -> dict[str, Any]:
    """Inputs with the same question about documents that differ by their names alone."""
    return {"question": QUESTION, "documents": [{"name": name, "text": f"about {name}"} for name in names]}


def ask(fleet: SmallFleet, *names: str, **fields: Any) -> str:
    return fleet.submit("summary", inputs=same(*names or ("a",)), **fields)


def answered_ago(fleet: SmallFleet, job_id: str, seconds: float) -> None:
    """Lets time pass since the job's question was answered."""
    answered = fleet.subtask(job_id, "research[1]")
    age(fleet.ledger, tables.subtask, answered.id, ended_at=seconds)
    for told in fleet.rows(tables.event, subtask_id=answered.id):
        age(fleet.ledger, tables.event, told.seq, at=seconds)


def researched(fleet: SmallFleet) -> list[Any]:
    return fleet.rows(tables.attempt, lane="research")


def test_a_question_asked_before_is_answered_without_a_request(fleet: SmallFleet) -> None:
    first = ask(fleet)
    fleet.run()
    answered_ago(fleet, first, 3 * 3600.0)
    again = ask(fleet)
    fleet.run()

    asked, answered = fleet.subtask(first, "research[1]"), fleet.subtask(again, "research[1]")
    assert len(researched(fleet)) == 1 and fleet.job(again).state == "done"
    assert (answered.state, answered.answered_by, answered.tries) == ("done", asked.id, 0)
    assert answered.summary == asked.summary
    assert answered.why == f"answered as {first}, research[1] was, 3 h ago"


def test_what_it_saved_is_on_the_books(fleet: SmallFleet) -> None:
    first = ask(fleet)
    fleet.run()
    again = ask(fleet)
    fleet.run()
    with fleet.ledger.read() as connection:
        paid, saved = job_read(connection, first), job_read(connection, again)
        told, books = explain(connection, again), tax(connection)
        figures = [sample for family in ended_work(connection) for sample in family.samples]
    line = next(line for line in saved.subtasks if line.name == "research[1]")
    assert (line.cost.usd, line.cost.attempts) == (0, 0)
    assert (line.cost.saved_usd, line.cost.saved_tokens) == (pytest.approx(1e-6), 350)
    assert saved.cost.saved_usd == pytest.approx(paid.cost.usd - saved.cost.usd) == pytest.approx(1e-6)
    assert line.cost.simulated and paid.cost.saved_usd == 0
    assert "0.0000 USD saved by an earlier answer" in told.sentence
    assert books.saved["research"].usd == pytest.approx(1e-6)
    assert (books.saved["research"].answers, books.saved["research"].tokens) == (1, 350)
    (figure,) = [sample for sample in figures if sample.name == "fleet_saved_usd_total"]
    assert (figure.labels, figure.value) == ({"lane": "research"}, pytest.approx(1e-6))


def test_another_tenant_asks_anew(fleet: SmallFleet) -> None:
    ask(fleet)
    fleet.run()
    other = ask(fleet, tenant="other")
    fleet.run()
    assert len(researched(fleet)) == 2
    assert fleet.subtask(other, "research[1]").answered_by is None


def test_another_question_or_another_document_asks_anew(fleet: SmallFleet) -> None:
    ask(fleet)
    fleet.run()
    fleet.submit("summary", inputs=same("a") | {"question": "And what does not?"})
    ask(fleet, "b")
    fleet.run()
    assert len(researched(fleet)) == 3


def test_the_same_answers_move_the_same_jobs_in_the_same_order_in_every_process(fleet: SmallFleet) -> None:
    ask(fleet)
    fleet.run()
    jobs = sorted(ask(fleet) for _ in range(7))
    fleet.plan.run()
    fleet.dispatch.run()
    assert fleet.recall.run() == len(jobs)
    moved = [row.job_id for row in fleet.rows(tables.event, actor="orchestrator.recall", new="ready")]
    assert list(dict.fromkeys(moved)) == jobs
    fleet.run()


def test_equal_questions_at_once_make_one_attempt(fleet: SmallFleet) -> None:
    jobs = [ask(fleet) for _ in range(8)]
    fleet.plan.run()
    assert fleet.dispatch.run() == 8, "one is granted and seven follow it"
    assert fleet.dispatch.run() == 0

    (granted,) = researched(fleet)
    leader = fleet.row(tables.subtask, id=granted.subtask_id)
    followers = fleet.rows(tables.subtask, state="ready")
    why = f"the same question is being answered by {leader.job_id}, research[1]"
    assert [(row.follows, row.held_by) for row in followers] == [(leader.id, why)] * 7
    assert not Looker(fleet.ledger).look().recall
    fleet.run()
    assert len(researched(fleet)) == 1
    assert {fleet.job(job_id).state for job_id in jobs} == {"done"}
    with fleet.ledger.read() as connection:
        assert "the same question" not in explain(connection, jobs[-1]).sentence


def test_followers_take_no_slot_and_no_budget(fleet: SmallFleet) -> None:
    fleet.hands.announce(("research", "noop"), slots=2)
    fleet.dispatch.learn("research", 100.0)
    for _ in range(8):
        ask(fleet)
    fleet.submit("fan")
    fleet.plan.run()
    while fleet.dispatch.run():
        pass
    assert {row.lane for row in fleet.rows(tables.attempt)} == {"research", "noop"}
    assert len(researched(fleet)) == 1
    fleet.hands.announce(tuple(fleet.catalog.lanes))
    fleet.run()


@pytest.mark.parametrize(
    "end",
    [fails(Code.BAD_REQUEST), fails(Code.TIMEOUT), fails(Code.NOT_JSON)],
    ids=lambda e: e.failure.code,
)
def test_where_the_first_one_fails_a_follower_takes_over(fleet: SmallFleet, end: Any) -> None:
    jobs = [ask(fleet) for _ in range(3)]
    fleet.hands.will("research[1]", end)
    fleet.run()
    for row in fleet.rows(tables.subtask, state="ready"):
        age(fleet.ledger, tables.subtask, row.id, not_before=60.0)
    fleet.run()
    assert len(researched(fleet)) == (2 if end.failure.code is Code.BAD_REQUEST else 3)
    answered = [fleet.subtask(job_id, "research[1]") for job_id in jobs]
    (leader,) = {row.answered_by for row in answered} - {None}
    assert fleet.row(tables.subtask, id=leader).tries == 1
    assert all(row.ended_at is not None for row in answered)


@pytest.mark.parametrize(
    "end",
    [
        fails(Code.RATE_LIMITED, usage=Usage()),
        fails(Code.OVERLOADED, usage=Usage()),
        fails(Code.NOT_SENT, usage=None, sent=False),
    ],
    ids=lambda e: e.failure.code,
)
def test_who_was_turned_away_asks_the_same_question_still(fleet: SmallFleet, end: Any) -> None:
    jobs = [ask(fleet) for _ in range(3)]
    fleet.hands.will("research[1]", end)
    fleet.assert_budgets = False  # a limit's refusal takes what was thought to be left
    for _ in range(2):
        fleet.run()
        fleet.set_budget(HAIKU, closed_until=None)
        age(fleet.ledger, tables.budget, HAIKU, refilled_at=60.0)
        for row in fleet.rows(tables.subtask, state="ready"):
            age(fleet.ledger, tables.subtask, row.id, not_before=60.0)
    fleet.run()

    assert len(researched(fleet)) == 2, "no model answered the first time, and one answer is enough"
    assert {fleet.job(job_id).state for job_id in jobs} == {"done"}, "nobody waits for ever"
    answered = [fleet.subtask(job_id, "research[1]") for job_id in jobs]
    assert sorted(row.saved_nano_usd for row in answered) == [0, 1000, 1000]


def test_all_who_ask_the_same_may_be_turned_away_and_nobody_waits_for_ever(fleet: SmallFleet) -> None:
    jobs = [ask(fleet) for _ in range(3)]
    fleet.hands.will("research[1]", *[fails(Code.OVERLOADED, usage=Usage())] * 5)
    for _ in range(8):
        fleet.run()
        fleet.set_budget(HAIKU, closed_until=None)
        for row in fleet.rows(tables.subtask, state="ready"):
            age(fleet.ledger, tables.subtask, row.id, not_before=60.0)
    assert {fleet.job(job_id).state for job_id in jobs} == {"done"}
    assert len(researched(fleet)) == 6


def test_where_the_first_one_is_cancelled_or_dies_a_follower_takes_over(fleet: SmallFleet) -> None:
    jobs = [ask(fleet) for _ in range(3)]
    fleet.hands.will("research[1]", SILENCE)
    fleet.turn()
    fleet.hands.work()
    (first,) = researched(fleet)
    age(fleet.ledger, tables.attempt, first.id, lease_until=60.0)
    fleet.turn()
    fleet.turn()
    leads = [row for row in researched(fleet) if row.state == "dispatched" and row.job_id != first.job_id]
    assert len(leads) == 1
    assert Looker(fleet.ledger).look().recall is False

    request_cancel(fleet.ledger, leads[0].job_id, "alice")
    fleet.turn()
    fleet.turn()
    assert fleet.job(leads[0].job_id).state == "cancelled"
    fleet.run()
    assert sorted(fleet.job(job_id).state for job_id in jobs) == ["cancelled", "done", "done"]


def test_a_grant_that_came_back_unrun_leads_nobody(fleet: SmallFleet) -> None:
    ask(fleet)
    fleet.turn()
    (unrun,) = researched(fleet)
    age(fleet.ledger, tables.attempt, unrun.id, start_by=60.0)
    ask(fleet, priority=3)
    fleet.plan.run()
    fleet.dispatch.run()
    fleet.reconcile.run()
    fleet.run()
    assert [row.state for row in researched(fleet)] == ["returned", "settled"]


def test_an_old_answer_is_asked_for_again(fleet: SmallFleet) -> None:
    first = ask(fleet)
    fleet.run()
    answered_ago(fleet, first, DAY_SECONDS + 1)
    ask(fleet)
    fleet.run()
    assert len(researched(fleet)) == 2
    third = ask(fleet)
    fleet.run()
    assert len(researched(fleet)) == 2, "the later answer is the one that is given again"
    assert fleet.subtask(third, "research[1]").answered_by == researched(fleet)[1].subtask_id


def test_an_answer_that_was_struck_is_asked_for_again(fleet: SmallFleet) -> None:
    ask(fleet)
    fleet.hands.will("check-quotes[1]", fails(Code.NO_EVIDENCE))
    fleet.run()
    second = ask(fleet)
    fleet.run()
    assert len(researched(fleet)) == 2
    assert fleet.job(second).state == "done"


def test_a_pretended_answer_is_not_given_where_a_real_model_would_be_asked(fleet: SmallFleet) -> None:
    ask(fleet)
    fleet.run()
    fleet.hands.simulates = ("openai",)
    fleet.hands.announce(tuple(fleet.catalog.lanes))
    ask(fleet)
    fleet.run()
    assert len(researched(fleet)) == 2


def test_a_repair_is_neither_answered_by_another_nor_an_answer_for_others(fleet: SmallFleet) -> None:
    first = ask(fleet)
    fleet.hands.will("research[1]", fails(Code.NOT_JSON), delivers(Claims(claims=())))
    fleet.run()
    assert fleet.subtask(first, "research[1]").repeat_key is None
    ask(fleet)
    fleet.run()
    assert len(researched(fleet)) == 3


def test_a_job_that_cannot_take_an_answer_over_asks_itself(fleet: SmallFleet) -> None:
    ask(fleet)
    fleet.run()
    with fleet.ledger.write() as connection:
        connection.execute(
            tables.subtask.update()
            .where(tables.subtask.c.lane == "research")
            .values(summary={"broken": True})
        )
    second = ask(fleet)
    fleet.run()
    assert len(researched(fleet)) == 2
    assert fleet.job(second).state == "done"
