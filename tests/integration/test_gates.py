"""Gates: what only a person, or only another vendor, may let through."""

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from contracts.failures import Code
from contracts.lanes import Lane
from contracts.reports import Summary
from contracts.workflows import Workflow
from orchestrator.door import Claim
from orchestrator.ledger import tables
from orchestrator.problems import Conflict, Forbidden
from tests.integration.small_fleet import SmallFleet, age, delivers, fails, objects


@pytest.fixture
def asked(fleet: SmallFleet) -> str:
    """A brief that waits for its approval."""
    job_id = fleet.submit("brief")
    fleet.run()
    assert fleet.job(job_id).state == "awaiting_approval"
    return job_id


def test_a_rejection_ends_the_job_and_is_kept(fleet: SmallFleet, asked: str) -> None:
    fleet.decide(asked, "reject", comment="it is not ours to say")
    fleet.run()

    (letter,) = fleet.rows(tables.dead_letter)
    assert (letter.code, letter.category, letter.lane) == ("rejected", "governance", None)
    assert letter.sentence == "rejected by bob: it is not ours to say"
    assert fleet.job(asked).why == "approval: rejected by bob: it is not ours to say"
    assert fleet.states(asked)["publish"] == "skipped"
    assert fleet.rows(tables.effect) == []


def test_silence_never_approves(fleet: SmallFleet, asked: str) -> None:
    (row,) = fleet.rows(tables.approval, job_id=asked)
    age(fleet.ledger, tables.approval, row.id, expires_at=73 * 3600.0)
    fleet.run()

    assert fleet.job(asked).state == "failed"
    assert "silence never approves" in fleet.job(asked).why
    assert fleet.row(tables.approval, job_id=asked).state == "lapsed"
    assert len(fleet.rows(tables.event, kind="approval_lapsed")) == 1


def test_a_revision_that_a_person_wants_comes_back_to_them(fleet: SmallFleet, asked: str) -> None:
    fleet.decide(asked, "revise", comment="say it shorter")
    fleet.run()

    states = fleet.states(asked)
    assert (fleet.job(asked).state, states["approval"], states["approval#2"]) == (
        "awaiting_approval",
        "skipped",
        "parked",
    )
    assert {states[f"{step}#2"] for step in ("draft", "review", "security", "eligibility")} == {"done"}
    (revision,) = fleet.handed("draft#2")
    assert any("say it shorter" in tried.sentence for tried in revision.tried), "the author is told the wish"
    first, second = sorted(fleet.rows(tables.approval, job_id=asked), key=lambda row: row.asked_at)
    assert (first.state, second.state, first.digest != second.digest) == ("revise", "waiting", True)

    fleet.decide(asked, "approve", by="carol")
    fleet.run()
    assert fleet.job(asked).state == "done"
    (publish,) = fleet.handed("publish")
    assert publish.effect is not None and publish.effect.approved_digest == second.digest


def test_wishes_and_objections_share_the_revisions_there_are(fleet: SmallFleet) -> None:
    job_id = fleet.submit("brief")
    fleet.hands.will("review", objects())
    fleet.run()
    fleet.decide(job_id, "revise", comment="once more")
    fleet.run()
    with pytest.raises(Conflict, match="no revision is left"):
        fleet.decide(job_id, "revise", comment="and again")
    fleet.run()

    first, second = sorted(fleet.rows(tables.approval, job_id=job_id), key=lambda row: row.asked_at)
    assert (first.packet["may_revise"], second.packet["may_revise"]) == (True, False)
    assert second.state == "waiting", "the question stays open"
    assert fleet.job(job_id).state == "awaiting_approval"


def test_a_wish_without_a_revision_left_ends_a_job_that_was_asked_before_packets_said_so(
    fleet: SmallFleet,
) -> None:
    job_id = fleet.submit("brief")
    fleet.hands.will("review", objects())
    fleet.run()
    fleet.decide(job_id, "revise", comment="once more")
    fleet.run()
    with fleet.ledger.write() as connection:
        connection.execute(update(tables.approval).values(packet={}))
    fleet.decide(job_id, "revise", comment="and again")
    fleet.run()

    assert fleet.job(job_id).state == "failed"
    (letter,) = fleet.rows(tables.dead_letter)
    assert letter.code == "objections_stand"
    assert letter.sentence.startswith("bob asks for a revision: and again; ")


def test_the_database_itself_refuses_who_asked(fleet: SmallFleet, asked: str) -> None:
    with pytest.raises(Forbidden):
        fleet.decide(asked, "approve", by="Alice")
    row = fleet.row(tables.approval, job_id=asked)
    this = update(tables.approval).where(tables.approval.c.id == row.id)
    approved = {"state": "approved", "answered_at": row.asked_at + 1}
    with pytest.raises(IntegrityError, match="not_the_requester"), fleet.ledger.write() as connection:
        connection.execute(this.values(**approved, answered_by="alice", answered_digest=row.digest))
    with pytest.raises(IntegrityError, match="of_this_digest"), fleet.ledger.write() as connection:
        connection.execute(this.values(**approved, answered_by="bob", answered_digest="sha256:other"))
    assert fleet.row(tables.approval, job_id=asked).state == "waiting"


def test_an_approval_without_an_answer_of_anybody_is_refused_by_the_database(
    fleet: SmallFleet, asked: str
) -> None:
    row = fleet.row(tables.approval, job_id=asked)
    this = update(tables.approval).where(tables.approval.c.id == row.id)
    with pytest.raises(IntegrityError), fleet.ledger.write() as connection:
        connection.execute(this.values(state="approved", answered_at=row.asked_at + 1))


def test_what_is_published_is_what_was_approved_even_if_the_draft_changed_meanwhile(
    fleet: SmallFleet, asked: str
) -> None:
    eligible = fleet.subtask(asked, "eligibility")
    other = fleet.store.put(b"another page", "application/json", "brief.Draft@1")
    changed = Summary.model_validate(eligible.summary).model_copy(update={"output": other})
    fleet.decide(asked, "approve")
    fleet.answer.run()
    with fleet.ledger.write() as connection:
        this = update(tables.subtask).where(tables.subtask.c.id == eligible.id)
        connection.execute(this.values(summary=changed.model_dump(mode="json")))
        ready = update(tables.subtask).where(tables.subtask.c.name == "publish")
        connection.execute(ready.values(state="waiting"))
        told = tables.event.delete().where(tables.event.c.new == "ready")
        connection.execute(told.where(tables.event.c.subtask_id == fleet.subtask(asked, "publish").id))
    fleet.run()

    (letter,) = fleet.rows(tables.dead_letter)
    assert (letter.code, letter.lane) == ("gate_refused", "publish")
    (gate,) = [row for row in fleet.rows(tables.gate_event) if row.result == "blocked"]
    assert (gate.gate, gate.attempted) == ("approval", "start publish")
    assert fleet.rows(tables.effect) == []
    assert fleet.job(asked).state == "failed"


def test_a_reviewer_of_the_authors_vendor_is_refused_when_the_work_starts(fleet: SmallFleet) -> None:
    job_id = fleet.submit("brief")
    while fleet.states(job_id).get("draft") != "running":
        fleet.turn()
        for bell in fleet.hands.doorbells():
            if bell.lane == "draft":
                claim = fleet.hands.claim(bell.attempt_id)
            else:
                fleet.hands.do(bell.attempt_id)
    assert isinstance(claim, Claim)
    draft = fleet.subtask(job_id, "draft")
    with fleet.ledger.write() as connection:
        really = update(tables.subtask).where(tables.subtask.c.id == draft.id)
        connection.execute(really.values(vendor="openai"))
    assert fleet.hands.perform(claim, delivers(fleet.hands.payload(claim.handoff)))
    fleet.run()

    (letter,) = fleet.rows(tables.dead_letter)
    assert (letter.code, letter.lane) == ("gate_refused", "review")
    assert "must be of another vendor than draft, and both are of openai" in letter.sentence
    assert {row.gate for row in fleet.rows(tables.gate_event)} == {"independence"}
    assert fleet.job(job_id).state == "failed"


def test_a_workflow_may_end_with_a_person(fleet: SmallFleet) -> None:
    """Its answer ends the job at once, without anything running in between."""
    fan = fleet.catalog.workflows["fan"].model_dump()
    fan["workflow"], fan["result"] = "asking", "ask"
    fan["steps"] = {
        "open": fan["steps"]["open"],
        "ask": {"needs": {"open": "all"}, "approval": {"of": "open", "question": "Is it good?"}},
    }
    fleet.catalog.workflows["asking"] = Workflow.model_validate(fan)
    assert isinstance(fleet.catalog.lanes["noop"], Lane)
    try:
        job_id = fleet.submit("asking", inputs={"items": ["one"]})
        fleet.run()
        fleet.decide(job_id, "approve")
        fleet.run()
    finally:
        del fleet.catalog.workflows["asking"]

    assert fleet.job(job_id).state == "done"
    assert fleet.job(job_id).result["text"] == "approved by bob"


def test_a_limit_that_never_lets_it_through_is_a_loop(fleet: SmallFleet) -> None:
    research = fleet.catalog.lanes["research"]
    bounded = research.attempts.model_copy(update={"limited": 3})
    fleet.catalog.lanes["research"] = research.model_copy(update={"attempts": bounded})
    refused = fails(Code.RATE_LIMITED, "slow down", usage=None, sent=False)
    try:
        job_id = fleet.submit("summary")
        fleet.hands.will("research[1]", refused, refused, refused)
        fleet.assert_budgets = False  # a refusal takes what was thought to be left
        for _ in range(3):
            fleet.run()
            age(fleet.ledger, tables.budget, "anthropic/default/haiku", closed_until=60.0, refilled_at=60.0)
        fleet.run()
    finally:
        fleet.catalog.lanes["research"] = research

    ended = fleet.subtask(job_id, "research[1]")
    assert (ended.state, ended.tries) == ("skipped", 0)
    assert "refusal 3 of 3 by a limit" in ended.why
    assert len(fleet.attempts(job_id, "research[1]")) == 3
