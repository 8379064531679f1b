"""Taint: a result is found wrong later, and all that was built on it is marked, in whatever job it stands."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, update
from sqlalchemy.exc import TimeoutError as PoolTimeout

from contracts.brief import Claim, Claims
from contracts.replays import ReplayRequest
from orchestrator import taints
from orchestrator.cli.app import app
from orchestrator.cli.ending import run as run_here
from orchestrator.door import Claim as Held
from orchestrator.door import EffectRefused
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger, LedgerUnreachable
from orchestrator.ledger.ids import new_id
from orchestrator.problems import Conflict, Malformed, NotFound
from orchestrator.reads.explain import explain
from orchestrator.replaying import open_replay
from orchestrator.tainting import find_wrong
from tests.integration.small_fleet import SmallFleet, age, delivers, objects
from tests.integration.test_blockers import LATER, lacks, mailing, supplier, supply

WHY = "the source was withdrawn"


def tainted(fleet: SmallFleet, job_id: str) -> set[str]:
    """The names of a job's subtasks that are marked."""
    names = {row.id: row.name for row in fleet.rows(tables.subtask, job_id=job_id)}
    return {names[row.subtask_id] for row in fleet.rows(tables.taint, job_id=job_id)}


def found(text: str) -> Claims:
    return Claims(claims=(Claim(claim=text, quote="something", confidence=0.9),))


def asked(fleet: SmallFleet) -> str:
    """A brief over two documents, with different claims, that waits for its approval."""
    fleet.hands.will("research[1]", delivers(found("One thing stands.")))
    fleet.hands.will("research[2]", delivers(found("Another thing stands.")))
    job_id = fleet.submit("brief", documents=2)
    fleet.run()
    assert fleet.job(job_id).state == "awaiting_approval"
    return job_id


def published(fleet: SmallFleet) -> str:
    job_id = asked(fleet)
    fleet.decide(job_id, "approve")
    fleet.run()
    assert fleet.job(job_id).state == "done"
    return job_id


def test_all_that_was_built_on_a_wrong_result_is_marked_and_nothing_else(fleet: SmallFleet) -> None:
    job_id, other = published(fleet), published(fleet)
    wrong = fleet.subtask(job_id, "research[2]")
    marked = find_wrong(fleet.ledger, wrong.id, "bob", WHY)

    behind = {"draft", "review", "security", "eligibility", "approval", "publish", "verify"}
    assert tainted(fleet, job_id) == {"research[2]", "check-quotes[2]"} | behind
    assert tainted(fleet, other) == set()
    assert (marked.cause, marked.results, marked.jobs, marked.effects) == (wrong.id, 9, 1, 1)
    assert len(fleet.rows(tables.event, kind="tainted")) == 9
    assert len({row.at for row in fleet.rows(tables.taint)}) == 1, (
        "in one transaction, or who ends in it leaves some"
    )
    (called,) = fleet.rows(tables.escalation)
    assert called.sentence == (
        f"1 applied effect(s) are built on research[2] of job {job_id}, which bob found wrong: {WHY}; changed were "
        f"site:acme/docs by job {job_id}; `fleet replay --downstream-of {wrong.id}` makes it anew"
    )


def test_explain_says_what_cannot_be_trusted_and_since_when(fleet: SmallFleet) -> None:
    job_id = published(fleet)
    find_wrong(fleet.ledger, fleet.subtask(job_id, "research[2]").id, "bob", WHY)
    with fleet.ledger.read() as connection:
        told = explain(connection, fleet.subtask(job_id, "draft").id)
        whole = explain(connection, job_id)
    (taint,) = told.taint
    assert taint.sentence == (
        f"draft was built on research[2], which bob found wrong at {taint.at:%Y-%m-%d %H:%M} UTC: {WHY}"
    )
    assert len(whole.taint) == 9
    assert any(each.sentence.startswith("research[2] was found wrong by bob at") for each in whole.taint)


def test_a_wrong_draft_taints_its_revision_and_not_what_it_was_made_of(fleet: SmallFleet) -> None:
    fleet.hands.will("review", objects())
    job_id = asked(fleet)
    find_wrong(fleet.ledger, fleet.subtask(job_id, "draft").id, "bob", WHY)
    marked = tainted(fleet, job_id)
    assert {"draft", "review", "draft#2", "eligibility", "approval"} <= marked
    assert not any(name.startswith(("research", "check-quotes")) for name in marked)


def test_no_effect_is_applied_on_what_was_found_wrong_meanwhile(fleet: SmallFleet) -> None:
    job_id = asked(fleet)
    find_wrong(fleet.ledger, fleet.subtask(job_id, "research[1]").id, "bob", WHY)
    assert fleet.rows(tables.escalation) == []
    assert "approval" in tainted(fleet, job_id), "the open question as well"
    fleet.decide(job_id, "approve")
    fleet.run()

    (letter,) = fleet.rows(tables.dead_letter)
    assert (letter.code, letter.lane) == ("gate_refused", "publish")
    assert f"built on research[1] of job {job_id}, which bob found wrong: {WHY}" in letter.sentence
    assert fleet.rows(tables.effect) == []


def test_a_person_is_called_of_an_effect_that_is_being_applied_when_its_ground_is_found_wrong(
    fleet: SmallFleet,
) -> None:
    job_id = asked(fleet)
    fleet.decide(job_id, "approve")
    while not (bells := [bell for bell in fleet.hands.doorbells() if bell.lane == "publish"]):
        fleet.turn()
    claim = fleet.hands.claim(bells[0].attempt_id)
    assert isinstance(claim, Held) and claim.handoff.effect
    fleet.door.begin_effect(claim, claim.handoff.effect, {})
    find_wrong(fleet.ledger, fleet.subtask(job_id, "research[1]").id, "bob", WHY)

    (called,) = fleet.rows(tables.escalation)
    assert f"changed were site:acme/docs by job {job_id} (is being applied)" in called.sentence


def test_what_is_built_later_on_a_wrong_result_is_marked_when_it_is_accepted(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary", documents=2)
    while fleet.states(job_id).get("research[1]") != "done":
        assert fleet.turn() + fleet.hands.work()
    wrong = fleet.subtask(job_id, "research[1]")
    find_wrong(fleet.ledger, wrong.id, "bob", WHY)
    assert "draft" not in tainted(fleet, job_id)
    fleet.run()
    assert fleet.states(job_id)["draft"] == "done"
    assert {"check-quotes[1]", "draft"} <= tainted(fleet, job_id)


def test_what_a_person_lets_go_on_upon_a_wrong_result_is_marked_at_once(fleet: SmallFleet) -> None:
    """It may end before anything of its job is accepted again."""
    job_id = asked(fleet)
    find_wrong(fleet.ledger, fleet.subtask(job_id, "research[1]").id, "bob", WHY)
    fleet.decide(job_id, "approve")
    assert fleet.answer.run() == 1
    assert fleet.states(job_id)["publish"] == "ready"
    assert "publish" in tainted(fleet, job_id)


class Interrupted(Ledger):
    """The ledger of somebody who commits once, after others have acted, and ends."""

    def __init__(self, ledger: Ledger, act: Callable[[], object]) -> None:
        super().__init__(ledger.url.render_as_string(hide_password=False))
        self._act = act
        self._has_committed = False

    @contextmanager
    def write(self) -> Iterator[Connection]:
        if self._has_committed:
            raise LedgerUnreachable(PoolTimeout())
        self._act()
        with super().write() as connection:
            yield connection
        self._has_committed = True


def test_what_was_accepted_beside_a_mark_is_marked_although_whoever_marked_has_ended(
    fleet: SmallFleet,
) -> None:
    job_id = fleet.submit("summary", documents=2)
    while fleet.states(job_id).get("research[1]") != "done":
        assert fleet.turn() + fleet.hands.work()
    wrong = fleet.subtask(job_id, "research[1]")
    interrupted = Interrupted(fleet.ledger, fleet.run)
    with pytest.raises(LedgerUnreachable):
        find_wrong(interrupted, wrong.id, "bob", WHY)
    interrupted.close()
    assert fleet.job(job_id).state == "done"
    assert "draft" not in tainted(fleet, job_id)
    assert fleet.reconcile.run() == 0, "whoever marks has a moment for looking again"

    with fleet.ledger.write() as connection:
        earlier = tables.taint.c.spreading_since - taints.SPREADING_SECONDS
        connection.execute(update(tables.taint).values(spreading_since=earlier))
    assert fleet.reconcile.run() > 0
    assert {"check-quotes[1]", "draft", "publish"} <= tainted(fleet, job_id)
    (called,) = fleet.rows(tables.escalation)
    assert called.sentence.startswith(f"1 applied effect(s) are built on research[1] of job {job_id}")
    assert fleet.reconcile.run() == 0
    assert {row.spreading_since for row in fleet.rows(tables.taint)} == {None}


def test_a_wrong_answer_is_not_given_again_and_those_it_was_given_to_are_marked(fleet: SmallFleet) -> None:
    same: dict[str, Any] = {
        "question": "What stands there?", "documents": [{"name": "a", "text": "something"}]
    }  # fmt: skip
    first = fleet.submit("summary", inputs=same)
    fleet.run()
    second = fleet.submit("summary", inputs=same)
    fleet.run()
    answered = fleet.subtask(second, "research[1]")
    assert answered.answered_by == fleet.subtask(first, "research[1]").id

    marked = find_wrong(fleet.ledger, answered.id, "bob", WHY)
    assert marked.cause == answered.answered_by, "who gave the answer first"
    assert {"research[1]", "draft", "publish"} <= tainted(fleet, first) & tainted(fleet, second)
    (called,) = fleet.rows(tables.escalation)
    assert "2 applied effect(s)" in called.sentence

    third = fleet.submit("summary", inputs=same)
    fleet.run()
    assert fleet.subtask(third, "research[1]").answered_by is None
    assert len(fleet.attempts(third, "research[1]")) == 1
    assert tainted(fleet, third) == set()


def test_what_replays_kept_of_a_wrong_result_is_marked_and_a_replay_makes_all_of_it_anew(
    fleet: SmallFleet,
) -> None:
    job_id = published(fleet)
    given = {"selection": {"ids": [job_id]}, "requested_by": "carol", "reason": "once more", "dry_run": False}
    again = given | {"from_step": "draft", "again": True}
    open_replay(fleet.ledger, fleet.catalog, ReplayRequest.model_validate(again))
    fleet.run()
    (replayed,) = fleet.rows(tables.job, replay_of=job_id)
    assert replayed.state == "awaiting_approval", replayed.why
    kept = fleet.subtask(replayed.id, "research[1]")
    wrong = fleet.subtask(job_id, "research[1]")
    assert kept.kept_from == wrong.id

    find_wrong(fleet.ledger, kept.id, "bob", WHY)
    assert {"research[1]", "draft", "approval"} <= tainted(fleet, job_id) & tainted(fleet, replayed.id)
    assert "research[2]" not in tainted(fleet, replayed.id)

    fleet.decide(replayed.id, "reject")
    fleet.run()
    anew = given | {"selection": {"downstream_of": wrong.id}}
    open_replay(fleet.ledger, fleet.catalog, ReplayRequest.model_validate(anew))
    fleet.run()
    (last,) = fleet.rows(tables.job, replay_of=replayed.id)
    kept_there = {row.name for row in fleet.rows(tables.subtask, job_id=last.id) if row.kept_from}
    assert kept_there == {"research[2]", "check-quotes[2]"}
    assert (last.lineage, last.replaces) == (replayed.id, job_id), (
        "what the first one published is wrong and stands"
    )
    (waiting,) = fleet.rows(tables.approval, job_id=last.id)
    assert f"what job {job_id} published is marked as wrong" in waiting.packet["takes down"]
    fleet.decide(last.id, "approve")
    fleet.run()
    handed = [each.assignment for each in fleet.hands.handoffs if each.assignment.job == last.id]
    assert {each.replaces for each in handed} == {job_id}

    # It is in order, and so is what another replay of it publishes beside it.
    open_replay(
        fleet.ledger, fleet.catalog, ReplayRequest.model_validate(again | {"selection": {"ids": [last.id]}})
    )
    fleet.run()
    (beside,) = fleet.rows(tables.job, replay_of=last.id)
    assert (beside.lineage, beside.replaces) == (None, None)


def test_what_was_handed_a_wrong_supply_is_marked_in_whatever_job_it_waited_for_it(
    fleet: SmallFleet,
) -> None:
    fleet.hands.will("find", LATER)
    fleet.hands.will("draft", lacks())
    first = fleet.submit("summary")
    fleet.run()
    second = mailing(fleet, 2)
    fleet.run()
    supply(fleet)
    other = mailing(fleet, 1, times=0)
    fleet.run()
    assert {fleet.job(each).state for each in (first, second, other)} == {"done"}
    found = fleet.subtask(supplier(fleet), "find")

    assert find_wrong(fleet.ledger, found.id, "bob", WHY).jobs == 3
    assert tainted(fleet, first) == {"draft", "publish"}
    assert tainted(fleet, second) == {"letter[1]", "letter[2]"}
    assert tainted(fleet, other) == set()
    with fleet.ledger.read() as connection:
        (told,) = explain(connection, fleet.subtask(first, "draft").id).taint
    assert told.sentence.startswith(f"draft was built on find of job {found.job_id}, which bob found wrong")

    selection = {"downstream_of": found.id}
    given = {"selection": selection, "requested_by": "carol", "reason": "once more", "dry_run": False}
    open_replay(fleet.ledger, fleet.catalog, ReplayRequest.model_validate(given))
    fleet.run()
    anew = {row.replay_of: row for row in fleet.rows(tables.job) if row.replay_of}
    assert set(anew) == {first, second, found.job_id}
    assert {row.state for row in anew.values()} == {"done"}
    kept = {row.name for row in fleet.rows(tables.subtask) if row.kept_from}
    assert not kept & {"find", "draft", "publish", "letter[1]", "letter[2]"}


def test_what_is_handed_a_supply_that_was_found_wrong_before_is_marked_at_once(fleet: SmallFleet) -> None:
    """It was found wrong between the end of the supplying job and the next look of the reconciler."""
    fleet.hands.will("find", LATER)
    fleet.hands.will("draft", lacks())
    job_id = fleet.submit("summary")
    fleet.run()
    found = fleet.subtask(supplier(fleet), "find").id
    age(fleet.ledger, tables.subtask, found, not_before=90.0)
    while fleet.job(supplier(fleet)).state != "done":
        assert fleet.dispatch.run() + fleet.hands.work() + fleet.advance.run()
    find_wrong(fleet.ledger, found, "bob", WHY)
    assert tainted(fleet, job_id) == set()
    fleet.reconcile.run()
    assert tainted(fleet, job_id) == {"draft"}
    fleet.run()
    assert tainted(fleet, job_id) == {"draft", "publish"}


def test_no_effect_is_applied_on_a_supply_that_was_found_wrong(fleet: SmallFleet) -> None:
    fleet.hands.will("publish", lacks())
    job_id = fleet.submit("summary")
    claim = None
    while claim is None:
        assert fleet.turn()
        for bell in fleet.hands.doorbells():
            if bell.lane == "publish" and fleet.rows(tables.blocker):
                claim = fleet.hands.claim(bell.attempt_id)
            else:
                fleet.hands.do(bell.attempt_id)
    assert isinstance(claim, Held) and claim.handoff.effect
    find_wrong(fleet.ledger, fleet.subtask(supplier(fleet), "find").id, "bob", WHY)
    with pytest.raises(EffectRefused, match=f"find of job {supplier(fleet)}, which bob found wrong: {WHY}"):
        fleet.door.begin_effect(claim, claim.handoff.effect, {})
    assert tainted(fleet, job_id) == {"publish"}


def test_what_cannot_be_found_wrong_is_refused_and_changes_nothing(fleet: SmallFleet) -> None:
    job_id = asked(fleet)
    done, open_ = fleet.subtask(job_id, "draft").id, fleet.subtask(job_id, "publish").id
    with pytest.raises(NotFound):
        find_wrong(fleet.ledger, new_id(), "bob", WHY)
    with pytest.raises(Conflict, match="is waiting and has no result"):
        find_wrong(fleet.ledger, open_, "bob", WHY)
    with pytest.raises(Malformed, match="say what is wrong"):
        find_wrong(fleet.ledger, done, "bob", " ")
    assert fleet.rows(tables.taint) == []
    find_wrong(fleet.ledger, done, "bob", WHY)
    with pytest.raises(Conflict, match=f"already found wrong by bob: {WHY}"):
        find_wrong(fleet.ledger, done, "carol", "it is")


def test_the_command_marks_and_says_what_to_do_next(
    api: str, fleet: SmallFleet, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    job_id = published(fleet)
    wrong = fleet.subtask(job_id, "research[2]").id
    monkeypatch.setenv("FLEET_API_URL", api)
    assert run_here(app, ("taint", wrong, "--why", WHY, "--as", "bob")) == 0
    said = capfd.readouterr().out
    assert f"{wrong} is marked as wrong" in said and "9 result(s) in 1 job(s), 1 applied effect(s)" in said
    assert f"`fleet replay --downstream-of {wrong}`" in said
    assert run_here(app, ("explain", job_id)) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "research[2]: found wrong by bob at" in said
    assert "publish, verify: built on research[2], which bob found wrong at" in said
    assert run_here(app, ("explain", "--json", job_id)) == 0
    assert len(json.loads(capfd.readouterr().out)["taint"]) == 9
    assert run_here(app, ("taint", wrong, "--why", WHY)) != 0
    assert "was already found wrong by bob" in capfd.readouterr().err
