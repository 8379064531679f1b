"""A job ends at its deadline, its age, its spending or its size, by a sentence with the rule and its numbers."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import update

from contracts.catalog import Catalog
from contracts.failures import Code
from contracts.jobs import JobRequest
from contracts.reports import NANO
from orchestrator.catalog_files import load_catalog
from orchestrator.door import Claim
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from orchestrator.problems import Malformed
from orchestrator.reads.explain import explain
from tests.integration.small_fleet import CATALOG, SmallFleet, assert_story_holds, delivers, fails, objects
from tests.integration.test_blockers import lacks


def soon(seconds: float = 3600.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def pass_deadline(fleet: SmallFleet, job_id: str) -> None:
    """Its deadline was a second ago."""
    past = {"deadline": tables.job.c.deadline - 3601, "stop_at": tables.job.c.deadline - 3601}
    with fleet.ledger.write() as connection:
        connection.execute(update(tables.job).where(tables.job.c.id == job_id).values(past))


def letters(fleet: SmallFleet, job_id: str) -> list[tuple[str, str]]:
    return [(row.code, row.sentence) for row in fleet.rows(tables.dead_letter, job_id=job_id)]


def stopping_at(ledger: Ledger, tmp_path: Path, workflow: str, **stops: Any) -> SmallFleet:
    """A fleet whose workflow of this name has these stopping rules."""
    entry = CATALOG / "workflows" if workflow == "fan" else Path("contracts/shipped/workflows")
    declared = yaml.safe_load((entry / f"{workflow}.yaml").read_text()) | {"stops": stops}
    made: Catalog = load_catalog(CATALOG)
    changed = made.workflows[workflow].model_validate(declared)
    return SmallFleet(
        ledger, tmp_path, made.model_copy(update={"workflows": made.workflows | {workflow: changed}})
    )


def test_at_its_deadline_what_runs_is_stopped_and_the_job_ends_too_late(fleet: SmallFleet) -> None:
    claim = fleet.claimed("fan", deadline=soon(), documents=3)
    with fleet.ledger.read() as connection:
        assert re.search(r"; its deadline is in (59|60) min", explain(connection, claim.job).sentence)
    assert fleet.door.heartbeat([claim]) == frozenset()
    pass_deadline(fleet, claim.job)
    assert fleet.door.heartbeat([claim]) == {claim.attempt}
    fleet.run()

    job = fleet.job(claim.job)
    assert job.state == "failed"
    assert job.why.startswith("its deadline of 20") and job.why.endswith(" passed with open under way")
    assert letters(fleet, claim.job) == [("too_late", job.why)]
    (attempt,) = fleet.attempts(claim.job, "open")
    assert (attempt.state, attempt.code) == ("lost", "too_late")
    assert set(fleet.states(claim.job).values()) == {"dead", "cancelled"}
    assert not fleet.hands.perform(claim, delivers(fleet.hands.payload(claim.handoff)))


@pytest.mark.parametrize("until", ["accepted", "ready", "dispatched"])
def test_what_has_not_started_when_its_deadline_is_noticed_never_does(fleet: SmallFleet, until: str) -> None:
    job_id = fleet.submit("fan", deadline=soon())
    if until != "accepted":
        fleet.plan.run()
    if until == "dispatched":
        assert fleet.dispatch.run() == 1
    pass_deadline(fleet, job_id)
    fleet.reconcile.run()
    fleet.run()
    assert fleet.job(job_id).state == "failed"
    ((code, sentence),) = letters(fleet, job_id)
    assert code == "too_late" and " passed with open" in sentence
    assert not [row for row in fleet.attempts(job_id, "open") if row.state != "returned"]


def test_a_job_that_waits_for_a_person_ends_at_its_deadline_and_asks_nobody_any_more(
    fleet: SmallFleet,
) -> None:
    job_id = fleet.submit("brief", deadline=soon())
    fleet.run()
    assert fleet.job(job_id).state == "awaiting_approval"
    pass_deadline(fleet, job_id)
    fleet.run()
    job = fleet.job(job_id)
    assert (job.state, job.why.endswith("with approval under way")) == ("failed", True)
    assert [row.state for row in fleet.rows(tables.approval, job_id=job_id)] == ["lapsed"]


def test_a_result_in_time_is_not_spoilt_by_a_deadline_that_passes_later(fleet: SmallFleet) -> None:
    job_id = fleet.submit("fan", deadline=soon())
    fleet.run()
    pass_deadline(fleet, job_id)
    fleet.run()
    assert fleet.job(job_id).state == "done"


@pytest.mark.parametrize(
    ("seconds", "sentence"), [(-60.0, "is past, it is"), (2.0, "a job takes at least 5 s")]
)
def test_a_deadline_that_nothing_can_meet_is_refused(
    fleet: SmallFleet, seconds: float, sentence: str
) -> None:
    with pytest.raises(Malformed, match=f"deadline: .*{sentence}"):
        fleet.submit("fan", deadline=soon(seconds))
    assert not fleet.rows(tables.job)


def test_a_job_ends_at_the_age_that_its_workflow_allows(ledger: Ledger, tmp_path: Path) -> None:
    fleet = stopping_at(ledger, tmp_path, "fan", hours=2)
    job_id = fleet.submit("fan")
    fleet.turn()
    older = {"created_at": tables.job.c.created_at - 7201, "stop_at": tables.job.c.stop_at - 7201}
    with ledger.write() as connection:
        connection.execute(update(tables.job).values(older))
    fleet.reconcile.run()
    fleet.run()
    job = fleet.job(job_id)
    assert job.state == "failed"
    assert job.why == "it reached the age at which its workflow ends it, 2 h, with open under way"
    assert letters(fleet, job_id) == [("stopped", job.why)]
    assert_story_holds(ledger)


def test_a_job_that_spent_its_worth_starts_nothing_more(ledger: Ledger, tmp_path: Path) -> None:
    fleet = stopping_at(ledger, tmp_path, "summary", usd=0.5)
    fleet.hands.cost_nano_usd = NANO * 3 // 10
    job_id = fleet.submit("summary", documents=3)
    fleet.run()
    job = fleet.job(job_id)
    assert job.state == "failed"
    assert job.why.startswith("it spent 0.90 USD of the 0.50 at which its workflow ends it with ")
    assert len(fleet.rows(tables.attempt, job_id=job_id, lane="research")) == 3
    assert [code for code, _ in letters(fleet, job_id)] == ["stopped"]
    assert not fleet.rows(tables.attempt, job_id=job_id, lane="draft")
    assert_story_holds(ledger)


def test_what_is_spent_now_starts_nothing_in_the_same_transaction(ledger: Ledger, tmp_path: Path) -> None:
    fleet = stopping_at(ledger, tmp_path, "brief", usd=0.5)
    fleet.hands.cost_nano_usd = NANO // 5
    job_id = fleet.submit("brief", documents=2)
    fleet.run()
    job = fleet.job(job_id)
    assert (job.state, job.spent_nano_usd) == ("failed", NANO * 3 // 5)
    assert job.why.startswith("it spent 0.60 USD of the 0.50 at which its workflow ends it with ")
    assert not {row.lane for row in fleet.rows(tables.attempt, job_id=job_id)} & {"review", "security"}
    assert_story_holds(ledger)


def test_what_failed_is_not_tried_again_once_its_job_spent_its_worth(ledger: Ledger, tmp_path: Path) -> None:
    fleet = stopping_at(ledger, tmp_path, "summary", usd=0.5)
    fleet.hands.cost_nano_usd = NANO
    job_id = fleet.submit("summary")
    fleet.hands.will("research[1]", fails(Code.BREAKS_CONTRACT))
    fleet.run()
    assert fleet.job(job_id).spent_nano_usd == NANO
    assert len(fleet.attempts(job_id, "research[1]")) == 1
    assert [code for code, _ in letters(fleet, job_id)] == ["stopped"]
    assert_story_holds(ledger)


def test_a_job_of_too_many_subtasks_is_refused_with_the_numbers(ledger: Ledger, tmp_path: Path) -> None:
    fleet = stopping_at(ledger, tmp_path, "fan", subtasks=6)
    fleet.submit("fan", documents=4)
    with pytest.raises(Malformed, match=r"fan would begin with 7 subtasks, and allows 6 in all"):
        fleet.submit("fan", documents=5)
    assert len(fleet.rows(tables.job)) == 1


@pytest.mark.parametrize(
    ("stops", "rule"),
    [
        ({"rounds": 1}, "draft would go into round 2, and its workflow allows 1, with "),
        ({"subtasks": 11}, "it has 9 subtasks and would get 3 more, and its workflow allows 11, with "),
    ],
)
def test_revisions_end_where_the_workflow_says(
    ledger: Ledger, tmp_path: Path, stops: dict[str, Any], rule: str
) -> None:
    fleet = stopping_at(ledger, tmp_path, "brief", **stops)
    job_id = fleet.submit("brief")
    fleet.hands.will("review", objects())
    fleet.run()
    job = fleet.job(job_id)
    assert job.state == "failed"
    assert job.why == f"{rule}eligibility, approval, publish and 1 more not begun"
    assert [code for code, _ in letters(fleet, job_id)] == ["stopped"]
    assert_story_holds(ledger)


@pytest.mark.parametrize(
    ("stops", "rule"),
    [
        ({"rounds": 1}, "draft would go into round 2, and its workflow allows 1, with approval under way"),
        (
            {"subtasks": 10},
            "it has 9 subtasks and would get 5 more, and its workflow allows 10, with approval under way",
        ),
    ],
)
def test_a_person_s_wish_for_a_revision_ends_where_the_workflow_says(
    ledger: Ledger, tmp_path: Path, stops: dict[str, Any], rule: str
) -> None:
    fleet = stopping_at(ledger, tmp_path, "brief", **stops)
    job_id = fleet.submit("brief")
    fleet.run()
    fleet.decide(job_id, "revise", comment="say it shorter")
    fleet.run()
    assert letters(fleet, job_id) == [("stopped", f"bob asks for a revision: say it shorter; {rule}")]
    assert fleet.job(job_id).state == "failed"
    assert "draft#2" not in fleet.states(job_id)
    assert_story_holds(ledger)


def test_what_changed_meanwhile_is_planned_again_only_as_often_as_the_workflow_says(
    ledger: Ledger, tmp_path: Path
) -> None:
    fleet = stopping_at(ledger, tmp_path, "brief", rounds=1)
    job_id = fleet.submit("brief")
    fleet.hands.will("publish", fails(Code.STATE_CHANGED, "the slug was taken"))
    fleet.run()
    fleet.decide(job_id, "approve")
    fleet.run()
    ((code, sentence),) = letters(fleet, job_id)
    assert code == "stopped"
    assert sentence.startswith("the slug was taken; ")
    assert "would go into round 2, and its workflow allows 1," in sentence
    assert "publish#2" not in fleet.states(job_id)
    assert_story_holds(ledger)


def test_a_subtask_that_waited_for_too_long_ends(ledger: Ledger, tmp_path: Path) -> None:
    fleet = stopping_at(ledger, tmp_path, "fan", subtask_hours=1)
    job_id = fleet.submit("fan")
    fleet.plan.run()
    with ledger.write() as connection:
        connection.execute(update(tables.subtask).values(stop_at=tables.subtask.c.stop_at - 3601))
    fleet.reconcile.run()
    ((code, sentence),) = letters(fleet, job_id)
    assert (code, sentence) == (
        "stopped",
        "it was first ready 1 h ago, the age at which its workflow ends a subtask",
    )
    assert fleet.job(job_id).state == "failed"


def test_a_subtask_that_has_spent_too_much_is_not_tried_again(ledger: Ledger, tmp_path: Path) -> None:
    fleet = stopping_at(ledger, tmp_path, "summary", subtask_usd=0.5)
    fleet.hands.cost_nano_usd = NANO
    job_id = fleet.submit("summary")
    fleet.hands.will("research[1]", fails(Code.BREAKS_CONTRACT))
    fleet.run()
    ((code, sentence),) = letters(fleet, job_id)
    assert code == "stopped"
    assert sentence.startswith(
        "it spent 1.00 USD of the 0.50 at which its workflow tries a subtask no more: "
    )
    assert len(fleet.attempts(job_id, "research[1]")) == 1
    assert_story_holds(ledger)


def test_a_subtask_that_has_spent_too_much_waits_for_nothing_that_it_lacks(
    ledger: Ledger, tmp_path: Path
) -> None:
    fleet = stopping_at(ledger, tmp_path, "summary", subtask_usd=0.5)
    fleet.hands.cost_nano_usd = NANO
    job_id = fleet.submit("summary")
    fleet.hands.will("draft", lacks())
    fleet.run()
    ((code, sentence),) = letters(fleet, job_id)
    assert (code, sentence) == (
        "stopped",
        "it spent 1.00 USD of the 0.50 at which its workflow tries a subtask no more: prospects have no address",
    )
    assert fleet.rows(tables.blocker) == []
    assert_story_holds(ledger)


def test_a_chain_of_jobs_ends_at_its_depth(ledger: Ledger, tmp_path: Path) -> None:
    fleet = stopping_at(ledger, tmp_path, "fan", depth=3)
    last: str | None = None
    request = {
        "tenant": "acme",
        "portfolio": "docs",
        "workflow": "fan",
        "inputs": {"items": ["one"]},
        "purpose": "feature",
        "reason": "once more",
        "requested_by": "alice",
    }
    wanted = JobRequest.model_validate(request)
    for _ in range(3):
        last = fleet.intake.accept(wanted, None, origin=last, actor="upkeep").job_id
    with pytest.raises(Malformed, match="3 jobs stand before it in its chain, and fan allows 3 in all"):
        fleet.intake.accept(wanted, None, origin=last, actor="upkeep")


def test_a_running_sibling_finishes_when_the_money_is_gone(ledger: Ledger, tmp_path: Path) -> None:
    fleet = stopping_at(ledger, tmp_path, "summary", usd=0.5)
    fleet.hands.cost_nano_usd = NANO
    job_id = fleet.submit("summary", documents=2)
    fleet.turn()
    first, second = fleet.hands.doorbells()
    later = fleet.hands.claim(second.attempt_id)
    assert isinstance(later, Claim)
    fleet.hands.do(first.attempt_id)
    fleet.turn()
    fleet.turn()
    assert fleet.subtask(job_id, "research[2]").state == "running"
    assert fleet.hands.perform(later, delivers(fleet.hands.payload(later.handoff)))
    fleet.run()
    assert fleet.job(job_id).state == "failed"
    assert fleet.subtask(job_id, "research[2]").state == "done"
    assert_story_holds(ledger)


def test_that_the_money_is_gone_is_told_once_however_much_is_spent_later(
    ledger: Ledger, tmp_path: Path
) -> None:
    fleet = stopping_at(ledger, tmp_path, "summary", usd=0.5)
    fleet.hands.cost_nano_usd = NANO
    job_id = fleet.submit("summary", documents=3)
    fleet.turn()
    first, *others = fleet.hands.doorbells()
    later = [fleet.hands.claim(bell.attempt_id) for bell in others]
    fleet.hands.do(first.attempt_id)
    fleet.turn()
    fleet.turn()
    for claim in later:
        assert isinstance(claim, Claim) and fleet.hands.perform(claim, fails(Code.VENDOR_ERROR))
        fleet.turn()
    fleet.run()
    job = fleet.job(job_id)
    assert (job.state, job.spent_nano_usd) == ("failed", 3 * NANO)
    assert letters(fleet, job_id) == [("stopped", job.why)]
    assert job.why.startswith("it spent 1.00 USD of the 0.50 at which its workflow ends it with ")
    assert_story_holds(ledger)
