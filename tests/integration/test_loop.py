"""Whole jobs, driven by the verbs of the loop and hands that work by a script."""

from pathlib import Path

import pytest
from sqlalchemy import func, select

from contracts.brief import Draft
from contracts.catalog import Catalog
from contracts.failures import Code
from contracts.reports import Summary, Usage
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from tests.integration.small_fleet import SmallFleet, age, break_report, delivers, fails, objects

HAIKU = "anthropic/default/haiku"


def test_a_brief_goes_through_an_objection_and_an_approval_to_its_end(fleet: SmallFleet) -> None:
    job_id = fleet.submit("brief", documents=2)
    fleet.hands.will("review", objects("the description is too short"))
    fleet.run()

    assert fleet.job(job_id).state == "awaiting_approval"
    assert fleet.states(job_id)["approval"] == "parked"
    assert fleet.states(job_id)["draft#2"] == "done"
    (revision,) = fleet.handed("draft#2")
    assert [tried.sentence.split(":")[0] for tried in revision.tried] == [
        "round 1",
        "review of round 1 objects with 1 finding(s)",
    ]
    assert revision.assignment.purpose == "rework"
    (asked,) = fleet.rows(tables.approval, job_id=job_id)
    approved = Summary.model_validate(fleet.subtask(job_id, "eligibility").summary).output
    assert asked.digest == approved.digest
    assert asked.packet["subject"]["artifact"]["digest"] == approved.digest
    assert "review (openai), security (google)" in asked.packet["recommendation"]
    assert Draft.model_validate_json(fleet.store.get(approved.digest)).title == "A page by draft#2"

    fleet.decide(job_id, "approve", by="bob")
    fleet.run()

    ended = fleet.job(job_id)
    assert (ended.state, set(fleet.states(job_id).values())) == ("done", {"done"})
    assert ended.result == fleet.subtask(job_id, "verify").summary
    (publish,) = fleet.handed("publish")
    assert publish.effect is not None
    assert (publish.effect.approved_digest, publish.effect.target) == (approved.digest, "site:acme/docs")
    (effect,) = fleet.rows(tables.effect)
    assert (effect.key, effect.result["slug"]) == (publish.effect.key, "a-page")
    told = [row.new for row in fleet.rows(tables.event, job_id=job_id, kind="job_moved")]
    assert told == ["accepted", "running", "awaiting_approval", "running", "done"]
    kept = {row.digest for row in fleet.rows(tables.artifact)}
    assert {approved.digest, ended.result["output"]["digest"]} <= kept


def test_sealed_verdicts_wait_for_each_other(fleet: SmallFleet) -> None:
    job_id = fleet.submit("brief")
    while fleet.states(job_id).get("review") != "dispatched":
        fleet.turn()
        bells = fleet.hands.doorbells()
        if fleet.states(job_id).get("review") != "dispatched":
            for bell in bells:
                fleet.hands.do(bell.attempt_id)
    review, security = sorted(bells, key=lambda bell: bell.lane)
    fleet.hands.will("review", objects())
    fleet.hands.do(review.attempt_id)
    fleet.turn()

    assert (fleet.states(job_id)["review"], "draft#2" in fleet.states(job_id)) == ("reported", False)
    assert fleet.subtask(job_id, "review").sealed_at is not None
    told = fleet.rows(tables.event, subtask_id=fleet.subtask(job_id, "review").id)
    assert not any("object" in row.sentence for row in told)

    fleet.hands.do(security.attempt_id)
    fleet.turn()

    states = fleet.states(job_id)
    assert (states["review"], states["security"], states["draft#2"]) == ("done", "done", "dispatched")
    assert fleet.subtask(job_id, "review").gate_seconds > 0


def test_objections_that_stand_after_two_revisions_end_as_a_dead_letter(fleet: SmallFleet) -> None:
    job_id = fleet.submit("brief")
    for name in ("review", "security#2", "review#3"):
        fleet.hands.will(name, objects(f"{name} is not content"))
    fleet.run()

    job = fleet.job(job_id)
    assert job.state == "failed"
    assert "eligibility" in job.why and "after 2 revision(s)" in job.why and "review#3 is not" in job.why
    (letter,) = fleet.rows(tables.dead_letter, job_id=job_id)
    assert (letter.code, letter.category) == (Code.OBJECTIONS_STAND, "judgement")
    states = fleet.states(job_id)
    assert {states[name] for name in ("approval", "publish", "verify")} == {"skipped"}
    assert {states[name] for name in ("draft#3", "review#3", "security#3")} == {"done"}
    (third,) = fleet.handed("draft#3")
    assert [tried.sentence for tried in third.tried][1:] == [
        "security of round 2 objects with 1 finding(s): security#2 is not content"
    ]


def test_a_best_effort_join_names_what_is_missing(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary", documents=3)
    fleet.hands.will("check-quotes[2]", fails(Code.NO_EVIDENCE, "no quote stands"))
    fleet.hands.will("research[3]", fails(Code.REFUSED, "it will not"))
    fleet.run()

    states = fleet.states(job_id)
    assert (states["check-quotes[2]"], states["research[3]"], states["check-quotes[3]"]) == ("skipped",) * 3
    (draft,) = fleet.handed("draft")
    assert "Missing, and to be named as such: check-quotes[2], check-quotes[3]." in draft.subproblem
    assert [item.source for item in draft.context if item.name == "claims"] == ["check-quotes"]
    assert fleet.job(job_id).state == "done"


def test_a_repair_is_shown_the_fault_and_the_answer_that_had_it(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary")
    fleet.hands.will("draft", fails(Code.CUT, "the answer was cut at 6000 tokens"))
    fleet.run()

    first, second = fleet.attempts(job_id, "draft")
    repair = fleet.handed("draft")[1]
    (tried,) = repair.tried
    assert (tried.attempt, tried.code, tried.sentence) == (
        first.id,
        "cut",
        "the answer was cut at 6000 tokens",
    )
    assert tried.artifact is not None
    assert fleet.store.get(tried.artifact.digest) == b"what claude-sonnet-5-5 said"
    assert (first.code, first.category, second.code) == ("cut", "output", None)
    draft = fleet.subtask(job_id, "draft")
    assert (draft.tries, draft.repairs, draft.state) == (2, 1, "done")


def test_a_second_answer_that_is_cut_is_a_dead_letter(fleet: SmallFleet) -> None:
    job_id = fleet.submit("brief")
    fleet.hands.will("research[1]", fails(Code.CUT), fails(Code.NOT_JSON, "no JSON at all"))
    fleet.run()

    (letter,) = fleet.rows(tables.dead_letter)
    assert (letter.code, letter.sentence) == ("not_json", "not_json: no JSON at all (after 1 repair(s))")
    assert fleet.job(job_id).why == f"research[1]: {letter.sentence}"


def test_what_is_delivered_must_be_what_is_wanted(fleet: SmallFleet) -> None:
    job_id = fleet.submit("fan")
    wrong = delivers(Draft(title="", slug="", description="", body="", citations=(), confidence=0))
    fleet.hands.will("open", wrong)
    fleet.run()

    (letter,) = fleet.rows(tables.dead_letter)
    assert letter.code == "breaks_contract"
    assert "delivered brief.Draft@1 where bench.Nothing@1 is wanted" in letter.sentence
    assert fleet.job(job_id).state == "failed"


def test_a_transient_failure_waits_for_its_time_and_no_shorter(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary")
    fleet.hands.will("research[1]", fails(Code.OVERLOADED, retry_after=60.0), fails(Code.TIMEOUT, usage=None))
    fleet.run()

    research = fleet.subtask(job_id, "research[1]")
    assert (research.state, research.tries) == ("ready", 0), "being turned away is no try"
    assert 59.0 < research.not_before - research.ready_at <= 60.0
    assert len(fleet.attempts(job_id, "research[1]")) == 1

    age(fleet.ledger, tables.subtask, research.id, not_before=61.0)
    fleet.run()

    research = fleet.subtask(job_id, "research[1]")
    assert (research.state, research.tries) == ("ready", 1)
    age(fleet.ledger, tables.subtask, research.id, not_before=61.0)
    fleet.run()

    assert fleet.job(job_id).state == "done"
    assert [row.number for row in fleet.attempts(job_id, "research[1]")] == [1, 1, 2]
    assert [tried.code for tried in fleet.handed("research[1]")[2].tried] == ["overloaded", "timeout"]


def test_an_overload_eats_no_try_and_ends_with_a_limits_refusals(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    lane = bench_catalog.lanes["research"]
    few = lane.model_copy(update={"attempts": lane.attempts.model_copy(update={"most": 1, "limited": 6})})
    lanes = bench_catalog.lanes | {"research": few}
    fleet = SmallFleet(ledger, tmp_path, bench_catalog.model_copy(update={"lanes": lanes}))
    job_id = fleet.submit("summary")
    refusals = [fails(Code.OVERLOADED, usage=Usage()), fails(Code.RATE_LIMITED, usage=Usage())] * 3
    fleet.hands.will("research[1]", *refusals)
    for turned_away in range(1, 7):
        fleet.run()
        research = fleet.subtask(job_id, "research[1]")
        assert (len(fleet.attempts(job_id, "research[1]")), research.tries) == (turned_away, 0)
        if turned_away < 6:
            assert research.state == "ready"
            age(fleet.ledger, tables.subtask, research.id, not_before=60.0)
            fleet.set_budget(HAIKU, closed_until=None)
            age(fleet.ledger, tables.budget, HAIKU, refilled_at=120.0)
    assert research.ended_at is not None
    assert "refusal 6 of 6 by a limit" in research.why


def test_tries_are_counted_to_the_last(fleet: SmallFleet) -> None:
    job_id = fleet.submit("fan")
    fleet.hands.will("open", *[fails(Code.VENDOR_ERROR, f"try {n}") for n in range(1, 5)])
    for _ in range(4):
        fleet.run()
        (opening,) = [row for row in fleet.rows(tables.subtask, job_id=job_id) if row.name == "open"]
        if opening.not_before and opening.ended_at is None:
            age(fleet.ledger, tables.subtask, opening.id, not_before=60.0)

    (letter,) = fleet.rows(tables.dead_letter)
    assert letter.sentence == "vendor_error: try 4 (the last of 4 tries)"
    assert (fleet.subtask(job_id, "open").tries, fleet.job(job_id).state) == (4, "failed")


def test_a_rate_limit_counts_no_try_and_closes_its_budget_for_everybody(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary")
    limited = fails(Code.RATE_LIMITED, "slow down", retry_after=30.0, usage=Usage())
    fleet.hands.will("research[1]", limited)
    fleet.assert_budgets = False  # the refusal takes what was thought to be left
    fleet.run()

    research = fleet.subtask(job_id, "research[1]")
    assert (research.state, research.tries) == ("ready", 0)
    budget = fleet.budget(HAIKU)
    assert 29.0 < budget.closed_until - research.ready_at <= 30.0
    assert budget.closed_why == "requests ran out at the vendor"

    other = fleet.submit("summary")
    fleet.run()
    assert fleet.subtask(other, "research[1]").state == "ready"
    held = fleet.subtask(job_id, "research[1]").held_by
    assert held == f"{HAIKU} is closed: requests ran out at the vendor", "it is still the first in line"

    age(fleet.ledger, tables.budget, HAIKU, closed_until=40.0, refilled_at=40.0)
    fleet.run()
    assert (fleet.job(job_id).state, fleet.job(other).state) == ("done", "done")
    assert fleet.subtask(job_id, "research[1]").tries == 1


@pytest.mark.parametrize("code", [Code.BAD_REQUEST, Code.HANDLER_ERROR, Code.UNAUTHORISED])
def test_what_would_fail_again_is_a_dead_letter_at_once(fleet: SmallFleet, code: Code) -> None:
    job_id = fleet.submit("brief")
    fleet.hands.will("draft", fails(code, "it cannot be done"))
    fleet.run()

    (letter,) = fleet.rows(tables.dead_letter)
    assert (letter.code, letter.lane, len(fleet.attempts(job_id, "draft"))) == (code, "draft", 1)
    assert letter.sentence.startswith(f"{code}: it cannot be done")
    assert fleet.job(job_id).why == f"draft: {letter.sentence}"


def test_a_report_that_nobody_can_read_is_parked_and_stops_no_other(fleet: SmallFleet) -> None:
    broken, fine = fleet.submit("summary", documents=2), fleet.submit("summary")
    fleet.turn()
    for bell in fleet.hands.doorbells():
        fleet.hands.do(bell.attempt_id)
    (attempt,), (other,) = (fleet.attempts(broken, f"research[{item}]") for item in (1, 2))
    for each in (attempt, other):
        break_report(fleet.ledger, each.id)
    fleet.run()

    parked = fleet.subtask(broken, "research[1]")
    assert (parked.state, "its handling raised ValidationError" in parked.why) == ("parked", True)
    (flawed,) = fleet.rows(tables.event, kind="flawed", attempt_id=attempt.id)
    assert (flawed.job_id, flawed.subtask_id, flawed.attempt_id) == (broken, parked.id, attempt.id)
    (kept,) = fleet.attempts(broken, "research[1]")
    assert (kept.state, kept.ambiguous, kept.input_tokens) == ("settled", True, kept.reserved_input_tokens)
    assert fleet.job(fine).state == "done"
    (called,) = fleet.rows(tables.escalation)
    assert (called.job_id, "is parked, and nothing takes it up: its handling raised" in called.sentence) == (
        broken,
        True,
    )


def test_what_no_database_keeps_in_a_text_parks_nothing_that_was_paid_for(fleet: SmallFleet) -> None:
    """A model's answer may escape such characters, and an error may quote them."""
    job_id = fleet.submit("summary")
    draft = Draft(
        title="A\x00page",
        slug="a-page",
        description="It says what the documents say, and no more.",
        body="Something stands [a-1].",
        citations=("a-1",),
        confidence=0.8,
    )
    fleet.hands.will("draft", fails(Code.BREAKS_CONTRACT, "no\x00way\ud800"), delivers(draft))
    fleet.run()
    assert fleet.job(job_id).state == "done"
    assert fleet.handed("draft")[1].tried[0].sentence == "no\ufffdway\ufffd"
    assert fleet.subtask(job_id, "draft").why.startswith("“A\ufffdpage”")


def test_a_job_that_cannot_be_planned_fails_alone_and_says_so(fleet: SmallFleet) -> None:
    broken = fleet.submit("fan", callback_url="http://127.0.0.1/hook")
    fine = fleet.submit("summary")
    with fleet.ledger.write() as connection:
        at = select(tables.job.c.snapshot).where(tables.job.c.id == broken).scalar_subquery()
        connection.execute(
            tables.snapshot.update().where(tables.snapshot.c.digest == at).values(body={"lanes": 1})
        )
    fleet.run()

    assert fleet.job(broken).state == "failed"
    assert fleet.job(broken).why.startswith("could not be planned: ValidationError")
    assert fleet.job(fine).state == "done"


def test_purposes_are_inherited_and_what_is_done_again_is_rework(fleet: SmallFleet) -> None:
    job_id = fleet.submit("brief")
    fleet.hands.will("security", objects())
    fleet.run()

    purposes = {row.name: row.purpose for row in fleet.rows(tables.subtask, job_id=job_id)}
    assert (purposes["draft"], purposes["review"]) == ("feature", "review")
    assert {purposes[name] for name in ("draft#2", "review#2", "security#2")} == {"rework"}
    with fleet.ledger.read() as connection:
        attempts = select(tables.attempt.c.purpose, func.count()).group_by(tables.attempt.c.purpose)
        assert dict(connection.execute(attempts).all()) == {"feature": 2, "review": 4, "rework": 3}
