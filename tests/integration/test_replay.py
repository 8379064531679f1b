"""Replays: ended work run again as new, linked jobs, with what was finished kept, paced, audited and once."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import ulid
from sqlalchemy import delete, insert, text, update
from sqlalchemy.exc import IntegrityError

from contracts.artifacts import digest_of
from contracts.brief import Claim as Claim_
from contracts.brief import Claims
from contracts.catalog import Catalog
from contracts.failures import Code
from contracts.jobs import JobRequest
from contracts.replays import ReplayRequest, Selection
from contracts.workflows import ReplayClass
from orchestrator.cancelling import request_cancel
from orchestrator.deciders.handing import JobFacts, effect_key
from orchestrator.deciders.switches import Scope
from orchestrator.door import Claim
from orchestrator.ledger import artifacts, tables
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.ids import new_id
from orchestrator.looking import Looker
from orchestrator.pausing import Wish, hold, release
from orchestrator.problems import Conflict, Forbidden, Malformed, NotFound, Problem
from orchestrator.reads.previews import ReplayPreview, preview
from orchestrator.replay import Replayer
from orchestrator.replaying import abort, open_replay
from orchestrator.selections import found
from orchestrator.tainting import find_wrong
from tests.integration.ledgers import Rows, rows_of
from tests.integration.small_fleet import (
    SmallFleet,
    assert_story_holds,
    delivers,
    fails,
    insert_rows,
    objects,
)

MANY = 15_000


def request(*ids: str, **fields: Any) -> ReplayRequest:
    selection = fields.pop("selection", {"ids": ids})
    given = {"requested_by": "carol", "reason": "the vendor is well again", "dry_run": False}
    return ReplayRequest.model_validate({"selection": selection} | given | fields)


def opened(fleet: SmallFleet, *ids: str, **fields: Any) -> str:
    return open_replay(fleet.ledger, fleet.catalog, request(*ids, **fields))


def failed(fleet: SmallFleet, step: str = "draft", workflow: str = "summary", **fields: Any) -> str:
    """A job that failed at this step."""
    fleet.hands.will(step, fails(Code.REFUSED, "the vendor refused it"))
    job_id = fleet.submit(workflow, **fields)
    fleet.run()
    assert fleet.job(job_id).state == "failed"
    return job_id


def replayed(fleet: SmallFleet, job_id: str) -> Any:
    """The one job that replays this one."""
    return fleet.row(tables.job, replay_of=job_id)


def publishing(fleet: SmallFleet) -> Claim:
    """The claim on the one attempt to publish, once everything before it is done."""
    while True:
        fleet.turn()
        for bell in fleet.hands.doorbells():
            if bell.lane == "publish":
                claim = fleet.hands.claim(bell.attempt_id)
                assert isinstance(claim, Claim)
                return claim
            fleet.hands.do(bell.attempt_id)


def finds_different_things(fleet: SmallFleet) -> None:
    """In either of two documents: what reads equal bytes under one name counts as built on both."""
    for number in (1, 2):
        claim = Claim_(claim=f"Thing {number} stands.", quote="something", confidence=0.9)
        fleet.hands.will(f"research[{number}]", delivers(Claims(claims=(claim,))))


def published(fleet: SmallFleet) -> str:
    """A brief over two documents, approved and published."""
    finds_different_things(fleet)
    job_id = fleet.submit("brief", documents=2)
    fleet.run()
    fleet.decide(job_id, "approve")
    fleet.run()
    assert fleet.job(job_id).state == "done"
    return job_id


def reviewed(fleet: SmallFleet, origin: str) -> str:
    """A job that is linked to this one and read what it had published."""
    wanted = {"tenant": "acme", "portfolio": "docs", "workflow": "re-review", "purpose": "maintenance"}
    inputs = {"tick": "re-review", "slot": "900.0", "subjects": [origin]}
    told = {"reason": "it is read again", "requested_by": "upkeep", "inputs": inputs}
    accepted = fleet.intake.accept(
        JobRequest.model_validate(wanted | told), None, origin=origin, actor="upkeep"
    )
    fleet.hands.announce(tuple(fleet.catalog.lanes))
    fleet.run()
    assert fleet.job(accepted.job_id).state == "done"
    return accepted.job_id


@contextmanager
def on_a_host_whose_clock_is_ahead() -> Iterator[None]:
    """By ten minutes, as the ids show that are made meanwhile."""
    kept = ulid.default_generator
    ulid.default_generator = ulid.ULIDGenerator(clock=lambda: time.time_ns() // 1_000_000 + 600_000)
    try:
        yield
    finally:
        ulid.default_generator = kept


def overdue(fleet: SmallFleet, job_id: str) -> None:
    """The deadline of this job passes."""
    with fleet.ledger.write() as connection:
        past = now(connection) - 1.0
        late = update(tables.job).where(tables.job.c.id == job_id)
        connection.execute(late.values(deadline=past, stop_at=past))
    fleet.run()
    assert fleet.row(tables.dead_letter, job_id=job_id).code == "too_late"


def item(fleet: SmallFleet, replay_id: str, job_id: str) -> Any:
    return fleet.row(tables.replay_item, replay_id=replay_id, job_id=job_id)


def test_a_replayed_dead_letter_keeps_what_was_finished(fleet: SmallFleet) -> None:
    job_id = failed(fleet, documents=2)
    dead = fleet.subtask(job_id, "draft")
    replay_id = opened(fleet, dead.id)
    fleet.run()
    new = replayed(fleet, job_id)
    assert (new.state, new.lineage, new.replay_id) == ("done", job_id, replay_id)
    assert (new.priority, new.purpose, new.requested_by) == (0, "rework", "carol")
    assert new.reason == f"replay of {job_id}: the vendor is well again"
    for name in ("research[1]", "research[2]", "check-quotes[1]", "check-quotes[2]"):
        kept, source = fleet.subtask(new.id, name), fleet.subtask(job_id, name)
        assert (kept.kept_from, kept.summary, kept.vendor) == (source.id, source.summary, source.vendor)
        assert kept.why == f"kept from {job_id}"
        assert not fleet.attempts(new.id, name)
    assert len(fleet.attempts(new.id, "draft")) == 1
    assert (item(fleet, replay_id, job_id).state, fleet.row(tables.replay, id=replay_id).state) == (
        "done",
    ) * 2
    assert fleet.job(job_id).state == "failed"  # what ended stays ended


def test_a_replay_of_a_replay_names_where_results_were_made(fleet: SmallFleet) -> None:
    job_id = failed(fleet)
    fleet.hands.will("draft", fails(Code.REFUSED))
    opened(fleet, job_id)
    fleet.run()
    second = replayed(fleet, job_id)
    opened(fleet, second.id)
    fleet.run()
    third = replayed(fleet, second.id)
    assert (second.state, third.state, third.lineage) == ("failed", "done", job_id)
    assert fleet.subtask(third.id, "research[1]").kept_from == fleet.subtask(job_id, "research[1]").id


def test_from_a_step_on_everything_is_made_anew(fleet: SmallFleet) -> None:
    job_id = fleet.submit(documents=2)
    fleet.run()
    opened(fleet, job_id, from_step="check-quotes", again=True)
    fleet.run()
    new = replayed(fleet, job_id)
    assert new.state == "done"
    kept = {row.name for row in fleet.rows(tables.subtask, job_id=new.id) if row.kept_from}
    assert kept == {"research[1]", "research[2]"}
    # What was built anew is another effect than the one that was applied, and never reported in its place.
    assert {row.target for row in fleet.rows(tables.effect)} == {f"scratch:{job_id}", f"scratch:{new.id}"}
    assert new.lineage is None


def test_a_finished_subtask_is_made_anew_with_what_is_behind_it_and_not_its_siblings(
    fleet: SmallFleet,
) -> None:
    job_id = fleet.submit(documents=2)
    fleet.run()
    opened(fleet, fleet.subtask(job_id, "research[2]").id, again=True)
    fleet.run()
    new = replayed(fleet, job_id)
    kept = {row.name for row in fleet.rows(tables.subtask, job_id=new.id) if row.kept_from}
    assert kept == {"research[1]", "check-quotes[1]"}
    # It is asked anew, although the same question has an answer that is remembered.
    assert len(fleet.attempts(new.id, "research[2]")) == 1


def test_what_the_kept_results_went_on_without_stays_left_out(fleet: SmallFleet) -> None:
    fleet.hands.will("research[2]", fails(Code.REFUSED, "it is too long"))
    job_id = failed(fleet, "publish", documents=2)
    assert fleet.subtask(job_id, "research[2]").state == "skipped"
    opened(fleet, fleet.subtask(job_id, "publish").id)
    fleet.run()
    new = replayed(fleet, job_id)
    assert new.state == "done"
    lost = fleet.subtask(new.id, "research[2]")
    assert lost.state == "skipped" and lost.why.startswith(
        f"left out as in {job_id}: refused: it is too long"
    )
    assert {row.subtask_id for row in fleet.rows(tables.attempt, job_id=new.id)} == {
        fleet.subtask(new.id, "publish").id
    }


def test_a_lost_branch_by_itself_brings_along_what_went_on_without_it(fleet: SmallFleet) -> None:
    fleet.hands.will("research[2]", fails(Code.REFUSED, "it is too long"))
    job_id = fleet.submit(documents=2)
    fleet.run()
    opened(fleet, fleet.subtask(job_id, "research[2]").id, again=True)
    fleet.run()
    new = replayed(fleet, job_id)
    kept = {row.name for row in fleet.rows(tables.subtask, job_id=new.id) if row.kept_from}
    assert kept == {"research[1]", "check-quotes[1]"}
    assert fleet.states(new.id)["research[2]"] == "done"


def test_standing_objections_call_for_another_round_of_what_was_kept(fleet: SmallFleet) -> None:
    fleet.hands.will("review", objects("too short"))
    for round_ in (2, 3):
        fleet.hands.will(f"review#{round_}", objects("too short"))
    job_id = fleet.submit("brief")
    fleet.run()
    assert fleet.job(job_id).state == "failed"
    opened(fleet, job_id)
    fleet.run()
    new = replayed(fleet, job_id)
    assert fleet.subtask(new.id, "draft").kept_from == fleet.subtask(job_id, "draft#3").id
    assert len(fleet.attempts(new.id, "draft#2")) == 1
    assert new.state == "awaiting_approval"
    with pytest.raises(Forbidden, match="carol asked for this job"):
        fleet.decide(new.id, "approve", by="carol")
    fleet.decide(new.id, "approve")
    fleet.run()
    assert fleet.job(new.id).state == "done"


def test_who_asked_for_any_job_of_a_chain_approves_no_page_of_it(fleet: SmallFleet) -> None:
    job_id = failed(fleet, workflow="brief")
    fleet.hands.will("draft", fails(Code.REFUSED))
    opened(fleet, job_id, requested_by="dave")
    fleet.run()
    second = replayed(fleet, job_id).id
    opened(fleet, second)
    fleet.run()
    third = replayed(fleet, second).id
    for name in ("alice", " Dave ", "carol"):
        with pytest.raises(Forbidden, match="cannot answer"):
            fleet.decide(third, "approve", by=name)
    refused = [(row.actor, row.job_id) for row in fleet.rows(tables.gate_event, result="refused")]
    assert refused == [(name, third) for name in ("alice", "Dave", "carol")]
    fleet.decide(third, "approve", by="bob")
    fleet.run()
    assert fleet.job(third).state == "done"


def test_a_chain_is_known_by_its_links_whichever_host_made_the_ids(fleet: SmallFleet) -> None:
    with on_a_host_whose_clock_is_ahead():
        first = failed(fleet, workflow="brief")
    fleet.hands.will("draft", fails(Code.REFUSED))
    opened(fleet, first)
    fleet.run()
    second = replayed(fleet, first).id
    assert second < first
    replay_id = opened(fleet, first, second)
    left = item(fleet, replay_id, first)
    assert (left.state, left.why.split(" of ")[0]) == ("refused", f"job {second}")
    fleet.run()
    third = replayed(fleet, second).id
    with pytest.raises(Forbidden, match="alice asked for a job of the same chain"):
        fleet.decide(third, "approve", by="alice")
    fleet.decide(third, "approve")
    fleet.run()
    for each in (first, second):
        with pytest.raises(Conflict, match=f"made job {third} of it, which is done"):
            opened(fleet, each)


def test_of_two_branches_of_a_chain_the_later_made_is_the_latest(fleet: SmallFleet) -> None:
    """Whichever host led when either was made, and made its id."""
    first = failed(fleet)
    fleet.hands.will("draft", fails(Code.REFUSED))
    opened(fleet, first)
    with on_a_host_whose_clock_is_ahead():
        fleet.run()
    earlier = replayed(fleet, first).id
    opened(fleet, first)
    fleet.run()
    (later,) = (row.id for row in fleet.rows(tables.job, replay_of=first) if row.id != earlier)
    assert later < earlier
    with pytest.raises(Conflict, match=f"made job {later} of it, which is done"):
        opened(fleet, earlier)
    opened(fleet, later, from_step="draft", again=True)
    fleet.run()


def test_an_approval_of_the_very_same_page_is_kept(fleet: SmallFleet) -> None:
    fleet.hands.will("publish", fails(Code.HANDLER_ERROR, "the disk is full"))
    job_id = fleet.submit("brief")
    fleet.run()
    fleet.decide(job_id, "approve")
    fleet.run()
    opened(fleet, job_id)
    fleet.run()
    new = replayed(fleet, job_id)
    assert (new.state, fleet.subtask(new.id, "approval").kept_from) == (
        "done",
        fleet.subtask(job_id, "approval").id,
    )
    assert not fleet.rows(tables.approval, job_id=new.id)


def test_an_effect_is_applied_once_across_a_replay(fleet: SmallFleet) -> None:
    job_id = fleet.submit()
    claim = publishing(fleet)
    assert claim.handoff.effect
    grant, first = claim.handoff.effect, {"slug": "a-page", "by": "the first"}
    assert fleet.door.begin_effect(claim, grant, {}).result is None
    fleet.door.finish_effect(claim, grant, first)
    fleet.hands.perform(claim, fails(Code.HANDLER_ERROR, "it fell over after it had published"))
    fleet.run()
    assert fleet.job(job_id).state == "failed"
    opened(fleet, job_id)
    fleet.run()
    new = replayed(fleet, job_id)
    again = fleet.handed("publish")[-1]
    assert (new.state, again.assignment.job, again.assignment.lineage) == ("done", new.id, job_id)
    assert again.effect and (again.effect.key, again.effect.target) == (grant.key, f"scratch:{job_id}")
    assert fleet.row(tables.effect).result == first
    assert len(fleet.rows(tables.event, kind="effect_applied")) == 1


def test_an_edit_makes_anew_what_read_it(fleet: SmallFleet) -> None:
    job_id = failed(fleet, documents=2)
    stored = fleet.store.put(b"something else", "text/plain", "other").model_dump(mode="json")
    with fleet.ledger.write() as connection:
        artifacts.note(connection, [stored], 1.0)
    document = {"name": "other", "artifact": stored}
    opened(fleet, job_id, edit=[{"op": "replace", "path": "/documents/1", "value": document}])
    fleet.run()
    new = replayed(fleet, job_id)
    assert (new.state, [d["name"] for d in new.inputs["documents"]]) == ("done", ["document-1", "other"])
    kept = {row.name for row in fleet.rows(tables.subtask, job_id=new.id) if row.kept_from}
    assert kept == {"research[1]", "check-quotes[1]"}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            [{"op": "remove", "path": "/question"}],
            "its inputs are no brief.Inputs@1: inputs.question: it is missing",
        ),
        ([{"op": "replace", "path": "/nothing/3", "value": 1}], "the edit does not fit its inputs"),
        (
            [{"op": "add", "path": "/documents/-", "value": {"name": "new", "text": "words"}}],
            "document “new” stands in the edit itself; upload it and name its artifact",
        ),
        (
            [
                {
                    "op": "replace",
                    "path": "/documents/0/artifact/digest",
                    "value": digest_of(b"nobody ever uploaded this"),
                }
            ],
            "was uploaded",
        ),
    ],
)
def test_an_edit_that_does_not_fit_is_refused_job_by_job(
    fleet: SmallFleet, edit: list[dict[str, Any]], said: str
) -> None:
    job_id = failed(fleet)
    replay_id = opened(fleet, job_id, edit=edit)
    fleet.run()
    refused = item(fleet, replay_id, job_id)
    assert (refused.state, refused.new_job_id) == ("refused", None)
    assert said in refused.why
    assert not fleet.rows(tables.job, replay_of=job_id)
    assert fleet.row(tables.replay, id=replay_id).why == "of 1 job(s), 1 refused"


def test_what_an_edit_says_of_an_artifact_counts_for_nothing(fleet: SmallFleet) -> None:
    """As little as what upstream says of it: the ledger knows how long it is, and of which type."""
    job_id = failed(fleet, documents=2)
    lie = {"op": "replace", "path": "/documents/0/artifact/size_bytes", "value": 1}
    told = {"op": "replace", "path": "/documents/0/artifact/media_type", "value": "text/html"}
    renamed = {"op": "replace", "path": "/documents/1/name", "value": "other"}
    made = {step.step: step.anew for step in shown(fleet, job_id, edit=[lie, told]).steps}
    assert made == {"research": 0, "check-quotes": 0, "draft": 1, "publish": 1}, "nothing of it has changed"
    opened(fleet, job_id, edit=[lie, told, renamed])
    fleet.run()
    new, before = replayed(fleet, job_id), fleet.job(job_id).inputs["documents"]
    assert new.state == "done"
    one, other = new.inputs["documents"]
    assert one == before[0]
    assert other == {**before[1], "name": "other", "artifact": {**before[1]["artifact"], "name": "other"}}


def test_what_fails_again_is_not_taken_up_again(fleet: SmallFleet) -> None:
    job_id = failed(fleet)
    fleet.hands.will("draft", fails(Code.REFUSED))
    lane = fleet.subtask(job_id, "draft").lane
    first = opened(fleet, selection={"lane": lane, "code": "refused"})
    fleet.run()
    new = replayed(fleet, job_id)
    assert (new.state, item(fleet, first, job_id).state) == ("failed", "failed")
    assert fleet.row(tables.replay, id=first).why == "of 1 job(s), 1 failed"
    assert len(fleet.rows(tables.job)) == 2
    # Another replay by the same filter takes up the latest of the chain, and no longer the first.
    second = opened(fleet, selection={"lane": lane, "code": "refused"})
    assert [row.job_id for row in fleet.rows(tables.replay_item, replay_id=second)] == [new.id]


def test_no_more_are_open_than_may_be(fleet: SmallFleet) -> None:
    jobs = [failed(fleet) for _ in range(4)]
    opened(fleet, *jobs, most_open=2)
    most = 0
    for _ in range(60):
        if fleet.turn() + fleet.hands.work() == 0:
            break
        most = max(most, sum(job.ended_at is None for job in fleet.rows(tables.job)))
    assert most == 2
    assert [replayed(fleet, job_id).state for job_id in jobs] == ["done"] * 4


def test_no_more_are_released_in_a_minute_than_may_be(fleet: SmallFleet) -> None:
    jobs = [failed(fleet) for _ in range(5)]
    replay_id = opened(fleet, *jobs, per_minute=2)

    def states() -> list[str]:
        return sorted(row.state for row in fleet.rows(tables.replay_item, replay_id=replay_id))

    fleet.run()
    assert states() == ["done"] * 2 + ["waiting"] * 3
    earlier = tables.replay_item.c.released_at - 61.0
    with fleet.ledger.write() as connection:
        connection.execute(update(tables.replay_item).values(released_at=earlier))
    fleet.run()
    assert states() == ["done"] * 4 + ["waiting"]


@pytest.mark.parametrize("cancel", [False, True])
def test_an_aborted_replay_releases_nothing_more(fleet: SmallFleet, cancel: bool) -> None:
    jobs = [failed(fleet) for _ in range(5)]
    replay_id = opened(fleet, *jobs, most_open=2)
    fleet.turn()
    assert abort(fleet.ledger, replay_id, "dave", "it makes things worse", cancel=cancel) == 3
    fleet.run()
    items = fleet.rows(tables.replay_item, replay_id=replay_id)
    assert [row.state for row in items] == ["failed" if cancel else "done"] * 2 + ["aborted"] * 3
    ends = {job.state for job in fleet.rows(tables.job, replay_id=replay_id)}
    assert ends == ({"cancelled"} if cancel else {"done"})
    ended = fleet.row(tables.replay, id=replay_id)
    assert ended.state == "aborted" and ended.ended_at is not None
    (told,) = fleet.rows(tables.event, kind="replay_ended")
    assert told.actor == "dave" and "3 job(s) were not released" in told.sentence
    with pytest.raises(Conflict, match="is aborted already"):
        abort(fleet.ledger, replay_id, "dave", "once more")


def test_what_an_aborted_replay_left_under_way_is_cancelled_by_a_second_abort(fleet: SmallFleet) -> None:
    jobs = [failed(fleet) for _ in range(3)]
    replay_id = opened(fleet, *jobs, most_open=2)
    fleet.turn()
    abort(fleet.ledger, replay_id, "dave", "it makes things worse")
    assert abort(fleet.ledger, replay_id, "erin", "what runs does harm, too", cancel=True) == 0
    assert abort(fleet.ledger, replay_id, "erin", "said twice", cancel=True) == 0
    fleet.run()
    ends = [(job.state, job.cancel_requested_by) for job in fleet.rows(tables.job, replay_id=replay_id)]
    assert ends == [("cancelled", "erin")] * 2
    assert [told.actor for told in fleet.rows(tables.event, kind="replay_ended")] == ["dave", "erin"]
    ended = fleet.row(tables.replay, id=replay_id)
    assert "2 open one(s) go on; then 2 open one(s) were cancelled by erin: what runs" in ended.why
    assert ended.state == "aborted" and ended.ended_at is not None
    with pytest.raises(Conflict, match="is aborted already"):
        abort(fleet.ledger, replay_id, "erin", "nothing is left", cancel=True)


def test_what_was_cancelled_with_its_replay_is_found_by_the_next_one(fleet: SmallFleet) -> None:
    """And what a person cancelled by itself is not: nobody wants it any more."""
    unwanted, other = failed(fleet), failed(fleet)
    opened(fleet, unwanted)
    fleet.turn()
    request_cancel(fleet.ledger, replayed(fleet, unwanted).id, "erin")
    fleet.run()
    aborted = opened(fleet, selection={"code": "refused"})
    fleet.turn()
    abort(fleet.ledger, aborted, "dave", "not now", cancel=True)
    fleet.run()
    assert [job.state for job in fleet.rows(tables.job, replay_id=aborted)] == ["cancelled"]
    again = opened(fleet, selection={"code": "refused"})
    assert [row.job_id for row in fleet.rows(tables.replay_item, replay_id=again)] == [other]
    fleet.run()
    assert [job.state for job in fleet.rows(tables.job, replay_id=again)] == ["done"]


def lost_a_branch(fleet: SmallFleet) -> str:
    """A brief that went on without one of its documents, whose letter lies there; it is published and done."""
    finds_different_things(fleet)
    fleet.hands.will("research[3]", fails(Code.REFUSED, "it is too long"))
    job_id = fleet.submit("brief", documents=3)
    fleet.run()
    fleet.decide(job_id, "approve")
    fleet.run()
    assert (fleet.job(job_id).state, fleet.states(job_id)["research[3]"]) == ("done", "dead")
    return job_id


def test_a_filter_leaves_alone_what_is_done_and_has_applied_its_effect(fleet: SmallFleet) -> None:
    """A second page would stand beside the good one, and nobody asked for that."""
    stands = lost_a_branch(fleet)
    told = (
        f"1 job(s), such as {stands}, are left out, since they are done and what they applied stands: discard their "
        "dead letters, or name one by its id to have it done again (again)"
    )
    with pytest.raises(Malformed) as refused:
        opened(fleet, selection={"code": "refused"})
    assert str(refused.value) == f"selection: it finds no ended job that waits for a replay; {told}"
    assert shown(fleet, selection={"code": "refused"}).sentence.endswith(f"nothing would happen. {told}.")
    other = failed(fleet, workflow="brief")
    read = shown(fleet, selection={"code": "refused"})
    assert (read.jobs, read.letters) == (1, 1) and read.sentence.endswith(f". {told}.")
    replay_id = opened(fleet, selection={"code": "refused"})
    assert [row.job_id for row in fleet.rows(tables.replay_item, replay_id=replay_id)] == [other]
    fleet.run()
    assert told not in shown(fleet, selection={"tenant": "nobody"}).sentence
    assert told not in shown(fleet, stands).sentence


def test_what_was_found_wrong_does_not_stand_and_a_filter_finds_its_job(fleet: SmallFleet) -> None:
    """What replaces it takes its place."""
    job_id = lost_a_branch(fleet)
    find_wrong(fleet.ledger, fleet.subtask(job_id, "research[1]").id, "bob", "it is made up")
    opened(fleet, selection={"code": "refused"})
    fleet.run()
    assert replayed(fleet, job_id).replaces == job_id


def test_what_is_done_and_stands_is_done_again_by_its_id_only_when_told(fleet: SmallFleet) -> None:
    job_id = lost_a_branch(fleet)
    target = fleet.row(tables.effect).target
    said = f"{job_id} is done, and what it applied to {target} stands"
    for each in (job_id, fleet.subtask(job_id, "research[3]").id):
        with pytest.raises(Conflict, match=re.escape(said)):
            opened(fleet, each)
    opened(fleet, job_id, again=True)
    fleet.run()
    assert fleet.states(replayed(fleet, job_id).id)["research[3]"] == "done"


def test_what_a_done_replay_took_over_from_its_chain_stands_as_well(fleet: SmallFleet) -> None:
    fleet.hands.will("verify", fails(Code.REFUSED, "the page cannot be read"))
    first = fleet.submit("brief")
    fleet.run()
    fleet.decide(first, "approve")
    fleet.run()
    assert fleet.job(first).state == "failed"
    opened(fleet, selection={"code": "refused"})
    fleet.run()
    second = replayed(fleet, first)
    assert (second.state, bool(fleet.subtask(second.id, "publish").kept_from)) == ("done", True)
    with pytest.raises(Conflict, match=f"{second.id} is done, and what job {first} applied to .* stands"):
        opened(fleet, second.id, from_step="draft")


@pytest.mark.parametrize("by_filter", [False, True])
def test_what_a_cancelled_replay_had_applied_is_not_applied_again_unasked(
    fleet: SmallFleet, by_filter: bool
) -> None:
    source = failed(fleet, workflow="brief") if by_filter else published(fleet)
    edit = [{"op": "replace", "path": "/question", "value": "What is the second question?"}]
    wanted: dict[str, Any] = {"selection": {"code": "refused"}} if by_filter else {"edit": edit}
    ids = () if by_filter else (source,)
    replay_id = opened(fleet, *ids, **wanted, again=not by_filter)
    fleet.run()
    new = replayed(fleet, source).id
    fleet.decide(new, "approve")
    claim = publishing(fleet)
    fleet.hands.perform(claim, delivers(fleet.hands.payload(claim.handoff)))
    abort(fleet.ledger, replay_id, "dave", "it was the wrong one", cancel=True)
    said = f"1 open one(s) are cancelled (what {new} applied before stands)"
    assert said in fleet.row(tables.replay, id=replay_id).why
    fleet.run()
    assert fleet.job(new).state == "cancelled"

    with pytest.raises(Conflict, match=f"made job {new} of it, which is cancelled and had applied"):
        opened(fleet, *ids, **wanted)
    opened(fleet, *ids, **wanted, again=True)
    fleet.run()


def test_the_loop_is_called_only_where_something_is_to_be_done(fleet: SmallFleet) -> None:
    look = Looker(fleet.ledger).look
    jobs = [failed(fleet) for _ in range(2)]
    assert not look().replay
    opened(fleet, *jobs, most_open=1)
    assert look().replay
    fleet.replay.run()
    assert not look().replay  # one is open, and no more may be
    fleet.run()
    assert not look().replay
    assert [replayed(fleet, job_id).state for job_id in jobs] == ["done"] * 2


def test_a_chain_of_replays_ends_where_the_workflow_says(fleet: SmallFleet, bench_catalog: Catalog) -> None:
    job_id = failed(fleet)
    summary = bench_catalog.workflows["summary"]
    short = summary.model_copy(update={"stops": summary.stops.model_copy(update={"depth": 1})})
    today = bench_catalog.model_copy(update={"workflows": {"summary": short}})
    replay_id = opened(fleet, job_id)
    Replayer(fleet.leadership, fleet.snapshots, today).run()
    refused = item(fleet, replay_id, job_id)
    assert refused.state == "refused" and "allows 1 in all (stops.depth)" in refused.why
    fleet.run()


def shown(fleet: SmallFleet, *ids: str, **fields: Any) -> ReplayPreview:
    with fleet.ledger.read() as connection:
        return preview(connection, fleet.catalog, request(*ids, dry_run=True, **fields))


@pytest.mark.parametrize("apart_seconds", [60, -60])
def test_a_preview_says_which_chains_are_too_long(fleet: SmallFleet, apart_seconds: int) -> None:
    """Of a job that was replayed as often as its workflow allows, and of one that was never; whatever the clocks
    showed that made the ids of a chain."""
    fresh, job_id = failed(fleet), failed(fleet)
    depth = fleet.catalog.workflows["summary"].stops.depth
    (given,) = fleet.rows(tables.job, id=job_id)
    moves = [row._asdict() for row in fleet.rows(tables.event, job_id=job_id, kind="job_moved")]
    for move in moves:
        del move["seq"]
    for number in range(1, depth - 1):
        id_ = str(ulid.ULID.from_timestamp(time.time() + number * apart_seconds))
        later = {"id": id_, "origin": job_id, "idempotency_key": None}
        insert_rows(fleet.ledger, tables.job, dict(given._mapping) | later)
        job_id = later["id"]
        insert_rows(fleet.ledger, tables.event, *(move | {"job_id": job_id} for move in moves))
    fleet.hands.will("draft", fails(Code.REFUSED))
    opened(fleet, job_id)
    fleet.run()
    job_id = replayed(fleet, job_id).id
    read = shown(fleet, fresh, job_id)
    (unfit,) = read.unfit
    assert (read.jobs, unfit.jobs, unfit.example_id) == (2, 1, job_id)
    assert f"allows {depth} in all (stops.depth)" in unfit.why

    replay_id = opened(fleet, fresh, job_id)
    fleet.run()
    assert item(fleet, replay_id, job_id).why == unfit.why
    assert item(fleet, replay_id, fresh).state == "done"


def test_a_preview_says_which_effects_would_need_two_names(fleet: SmallFleet) -> None:
    """Of two that begin anew, one would apply what it did, and the other something else."""
    summary = fleet.catalog.workflows["summary"]
    alone = summary.steps["publish"].model_copy(update={"needs": {}})
    two = summary.model_copy(update={"steps": summary.steps | {"notify": alone}, "result": "notify"})
    job_id = failed(fleet)
    fleet.catalog.workflows["summary"] = two
    try:
        before = shown(fleet, job_id)
        row, made = fleet.job(job_id), fleet.rows(tables.attempt)[0]
        facts = JobFacts(
            id=row.id, tenant=row.tenant, portfolio=row.portfolio, purpose=row.purpose, inputs={}
        )
        assert alone.effect
        for step in ("publish", "notify"):
            begun = {"subtask_id": made.subtask_id, "attempt_id": made.id, "target": "scratch", "intent": {}}
            key = effect_key(facts, step, alone.effect)
            insert_rows(fleet.ledger, tables.effect, begun | {"key": key, "intended_at": 1.0})
        after = shown(fleet, job_id)
        replay_id = opened(fleet, job_id)
        fleet.replay.run()
    finally:
        fleet.catalog.workflows["summary"] = summary
        with fleet.ledger.write() as connection:
            connection.execute(delete(tables.effect))
    assert before.unfit == ()
    (unfit,) = after.unfit
    assert "publish would apply something else than before and notify the same again" in unfit.why
    assert item(fleet, replay_id, job_id).why == unfit.why


@pytest.mark.parametrize("fields", [{}, {"from_step": "close"}, {"from_step": "branch"}])
def test_a_preview_counts_what_stands_in_as_the_replay_does(
    fleet: SmallFleet, fields: dict[str, Any]
) -> None:
    fleet.hands.will("branch[1]", fails(Code.REFUSED))
    fleet.hands.will("close", fails(Code.REFUSED))
    job_id = fleet.submit("joins", inputs={"items": ["a", "b", "c"]})
    fleet.run()
    assert fleet.job(job_id).state == "failed"
    told = {step.step: (step.anew, step.kept, step.left) for step in shown(fleet, job_id, **fields).steps}
    opened(fleet, job_id, **fields)
    fleet.replay.run()
    made: dict[str, Counter[str]] = {step: Counter() for step in told}
    for row in fleet.rows(tables.subtask, job_id=replayed(fleet, job_id).id):
        part = "kept" if row.kept_from else "left" if row.why.startswith("left out") else "anew"
        made[row.step][part] += 1
    assert told == {step: (each["anew"], each["kept"], each["left"]) for step, each in made.items()}
    fleet.run()


def test_a_result_found_wrong_is_never_kept(fleet: SmallFleet) -> None:
    finds_different_things(fleet)
    job_id = failed(fleet, documents=2)
    wrong = fleet.subtask(job_id, "research[1]").id
    with fleet.ledger.write() as connection:
        marked = {
            "subtask_id": wrong,
            "job_id": job_id,
            "cause": wrong,
            "by": "bob",
            "why": "made up",
            "at": 1.0,
        }
        connection.execute(insert(tables.taint).values(marked))
    opened(fleet, selection={"downstream_of": wrong})
    fleet.run()
    new = replayed(fleet, job_id)
    kept = {row.name for row in fleet.rows(tables.subtask, job_id=new.id) if row.kept_from}
    assert (new.state, kept) == ("done", {"research[2]", "check-quotes[2]"})


def test_what_was_built_on_a_result_is_selected_by_lineage_though_nobody_marked_it(fleet: SmallFleet) -> None:
    """In its own job, in one that is linked to that and in one that kept it; and nowhere else."""
    first = published(fleet)
    fleet.submit("summary")
    review = reviewed(fleet, first)
    opened(fleet, first, from_step="draft", again=True)
    fleet.run()
    kept = replayed(fleet, first)
    fleet.decide(kept.id, "approve")
    fleet.run()
    assert fleet.subtask(kept.id, "research[1]").kept_from == fleet.subtask(first, "research[1]").id
    cause = fleet.subtask(first, "research[1]").id
    wanted = request(selection={"downstream_of": cause}, dry_run=True)
    with fleet.ledger.read() as connection:
        told = preview(connection, fleet.catalog, wanted)
    assert (told.jobs, told.unfit) == (2, ())
    anew = {(step.workflow, step.step): step.anew for step in told.steps if step.anew}

    replay_id = opened(fleet, selection={"downstream_of": cause})

    # Of the first job and its replay only the latest is taken up; what is linked to the first is another job.
    frozen = {row.job_id: row.subtask_id for row in fleet.rows(tables.replay_item, replay_id=replay_id)}
    assert frozen == {kept.id: fleet.subtask(kept.id, "research[1]").id, review: None}
    assert not fleet.rows(tables.taint)
    fleet.hands.announce(
        tuple(fleet.catalog.lanes)
    )  # on a busy machine all this may have taken its beat's time
    fleet.run()
    made = [
        row for job in (kept.id, review) for row in fleet.rows(tables.subtask, job_id=replayed(fleet, job).id)
    ]
    assert {row.name for row in made if row.kept_from} == {"research[2]", "check-quotes[2]"}
    counted = Counter((fleet.job(row.job_id).workflow, row.step) for row in made if not row.kept_from)
    assert counted == anew, "what the preview counted is what was made"
    assert counted["re-review", "audit"] == counted["brief", "research"] == 1


def test_a_filter_takes_only_the_latest_of_a_chain(fleet: SmallFleet) -> None:
    """Two replays of one job may both have failed; done again side by side they would share an effect."""
    job_id = failed(fleet)
    fleet.hands.will("draft", *[fails(Code.REFUSED)] * 2)
    for _ in range(2):
        opened(fleet, job_id)
        fleet.run()
    earlier, latest = sorted(row.id for row in fleet.rows(tables.job, replay_of=job_id))
    replay_id = opened(fleet, selection={"code": "refused"})
    fleet.run()
    left = item(fleet, replay_id, earlier)
    assert (left.state, left.new_job_id) == ("refused", None)
    assert left.why == (
        f"job {latest} of the same chain of replays is selected, too, and only the latest of a chain is taken"
    )
    assert replayed(fleet, latest).state == "done"
    assert fleet.row(tables.replay, id=replay_id).why == "of 2 job(s), 1 done, 1 refused"


def test_a_job_whose_every_branch_may_fail_leaves_a_dead_letter_to_replay_by(fleet: SmallFleet) -> None:
    """Of the step that was left with nothing; its branches are made anew."""
    job_id = fleet.submit("summary", documents=2)
    for number in (1, 2):
        fleet.hands.will(f"research[{number}]", fails(Code.REFUSED, "the model will not"))
    fleet.run()
    states = fleet.states(job_id)
    assert (states["research[1]"], states["research[2]"], states["draft"]) == ("skipped", "skipped", "dead")
    letter = fleet.row(tables.dead_letter, job_id=job_id)
    assert (letter.lane, letter.code) == ("draft", "no_evidence")
    assert "check-quotes" in letter.sentence and "the model will not" in letter.sentence
    assert (fleet.job(job_id).state, fleet.job(job_id).why) == ("failed", f"draft: {letter.sentence}")
    opened(fleet, selection={"lane": "draft"})
    fleet.run()
    assert replayed(fleet, job_id).state == "done"
    assert_story_holds(fleet.ledger)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_one_chain_one_job_stands_in_an_open_replay(fleet: SmallFleet, order: tuple[int, int]) -> None:
    """Both would publish by one name, and the second be told the first one's result for its own page."""
    chain = [failed(fleet)]
    fleet.hands.will("draft", fails(Code.REFUSED, "again"))
    opened(fleet, chain[0])
    fleet.run()
    chain.append(replayed(fleet, chain[0]).id)
    first, second = (chain[number] for number in order)

    def edit(question: str) -> list[dict[str, Any]]:
        return [{"op": "replace", "path": "/question", "value": question}]

    one = opened(fleet, first, edit=edit("What is the first question?"))
    with pytest.raises(Conflict, match=f"by another job of their chain, such as {first} in {one}"):
        opened(fleet, second, edit=edit("What is the second question?"))
    with pytest.raises(IntegrityError), fleet.ledger.write() as connection:  # nor where both look at once
        same = {"replay_id": one, "job_id": second, "chain": chain[0], "state": "waiting"}
        connection.execute(insert(tables.replay_item).values(same))
    fleet.run()
    assert item(fleet, one, first).state == "done"
    opened(fleet, second, edit=edit("What is the second question?"), again=True)
    fleet.run()
    assert len(fleet.rows(tables.event, kind="effect_applied")) == len(fleet.rows(tables.effect)) == 2


def test_what_time_ended_while_it_was_held_is_found_by_what_held_it(fleet: SmallFleet) -> None:
    model = fleet.catalog.lanes["draft"].model
    assert model is not None
    held = [Scope.LANE, Scope.FLEET, Scope.VENDOR, Scope.TENANT, Scope.WORKFLOW]
    names = dict(zip(held, ("draft", "", model.vendor, "acme", "summary"), strict=True))
    missed = fleet.submit("summary")
    for scope in held:
        hold(fleet.ledger, fleet.catalog, Wish(scope, names[scope], "bob", "the index is rebuilt"))
        fleet.run()
    assert fleet.states(missed)["draft"] == "ready"
    elsewhere = fleet.submit("summary", tenant="other")
    overdue(fleet, missed)
    for scope in held:
        release(fleet.ledger, scope, names[scope], "bob", "it is done")
    overdue(fleet, elsewhere)  # after all of them

    for scope in held:
        words = f"{scope} {names[scope]}".strip()
        with fleet.ledger.read() as connection:
            query = found(connection, Selection(paused=words))
            assert [row.job_id for row in connection.execute(query)] == [missed], words
    with pytest.raises(NotFound, match="lane research was never paused"):
        opened(fleet, selection={"paused": "lane research"})
    opened(fleet, selection={"paused": "lane draft", "tenant": "acme"})
    fleet.run()
    assert replayed(fleet, missed).state == "done"


def test_what_died_after_a_pause_ran_out_was_not_held_by_it(fleet: SmallFleet) -> None:
    """Whether its row still stands, or was renewed or removed since."""

    def selected() -> list[str]:
        with fleet.ledger.read() as connection:
            query = found(connection, Selection(paused="lane draft"))
            return [row.job_id for row in connection.execute(query)]

    wish = Wish(Scope.LANE, "draft", "eve", "the index is rebuilt", for_seconds=600.0)
    missed, later = fleet.submit("summary"), fleet.submit("summary")
    hold(fleet.ledger, fleet.catalog, wish)
    fleet.turn()
    overdue(fleet, missed)
    passed = -1200.0
    with fleet.ledger.write() as connection:
        for table in (tables.pause, tables.setting_change):
            moved = {"at": table.c.at + passed, "until": table.c.until + passed}
            connection.execute(update(table).values(moved))
        connection.execute(update(tables.dead_letter).values(at=tables.dead_letter.c.at + passed))
    overdue(fleet, later)
    assert selected() == [missed]
    hold(fleet.ledger, fleet.catalog, wish)
    assert selected() == [missed], "renewed"
    release(fleet.ledger, "lane", "draft", "eve", "it is done")
    assert selected() == [missed], "removed"
    with fleet.ledger.write() as connection:  # as code of before wrote it
        connection.execute(update(tables.setting_change).values(until=None))
    assert missed in selected()


def test_a_job_that_cannot_be_released_holds_up_no_other(fleet: SmallFleet) -> None:
    jobs = [failed(fleet) for _ in range(3)]
    with fleet.ledger.write() as connection:
        broken = update(tables.subtask).where(
            tables.subtask.c.job_id == jobs[1], tables.subtask.c.step == "research"
        )
        connection.execute(broken.values(summary={"nonsense": True}))
    replay_id = opened(fleet, *jobs)
    fleet.run()
    assert [item(fleet, replay_id, job_id).state for job_id in jobs] == ["done", "refused", "done"]
    assert "raised ValidationError" in item(fleet, replay_id, jobs[1]).why


def test_what_today_s_catalog_does_not_make_is_not_kept(fleet: SmallFleet, bench_catalog: Catalog) -> None:
    job_id = failed(fleet)
    gone = bench_catalog.model_copy(
        update={"workflows": {n: w for n, w in bench_catalog.workflows.items() if n != "summary"}}
    )
    research = bench_catalog.lanes["research"]
    operations = {
        name: each.model_copy(update={"output": "brief.Draft@1"})
        for name, each in research.operations.items()
    }
    lanes = bench_catalog.lanes | {"research": research.model_copy(update={"operations": operations})}
    changed = bench_catalog.model_copy(update={"lanes": lanes})
    for today, said in (
        (gone, "workflow summary is no longer in the catalog"),
        (changed, "research[1] delivered a brief.Claims@1, and research makes a brief.Draft@1 now"),
    ):
        replay_id = opened(fleet, job_id)
        Replayer(fleet.leadership, fleet.snapshots, today).run()
        refused = item(fleet, replay_id, job_id)
        assert refused.state == "refused" and said in refused.why
        fleet.run()


def test_refusals_change_nothing(fleet: SmallFleet) -> None:
    job_id, open_ = failed(fleet), fleet.submit()
    finished = fleet.submit()
    fleet.run()
    under_way = fleet.submit()
    done = [fleet.subtask(finished, name).id for name in ("research[1]", "draft")]

    def refused(kind: type[Problem], *ids: str, **fields: Any) -> str:
        before = len(rows_of(fleet.ledger, tables.replay)), len(rows_of(fleet.ledger, tables.replay_item))
        with pytest.raises(kind) as raised:
            opened(fleet, *ids, **fields)
        assert before == (
            len(rows_of(fleet.ledger, tables.replay)),
            len(rows_of(fleet.ledger, tables.replay_item)),
        )
        return str(raised.value)

    assert fleet.job(open_).state == "done"
    assert "dry_run" in refused(Malformed, job_id, dry_run=True)
    assert "reason: say why" in refused(Malformed, job_id, reason="  ")
    assert "no job or subtask NOBODY" in refused(NotFound, "NOBODY")
    assert f"{under_way} is still under way" in refused(Conflict, under_way)
    assert "edit: it is no JSON Patch" in refused(
        Malformed, job_id, edit=[{"op": "improve", "path": "/question"}]
    )
    assert "has no step “drafts”; it has research, check-quotes" in refused(
        Malformed, job_id, from_step="drafts"
    )
    assert "cannot approve it" in refused(Forbidden, job_id, approved_by=" Carol ")
    assert "finds no ended job" in refused(Malformed, selection={"tenant": "nobody"})
    assert "research[1] and draft are of one job" in refused(Malformed, *done)
    opened(fleet, job_id)
    assert "1 of the selected jobs are in an open replay already" in refused(Conflict, job_id)
    fleet.run()


def with_unsafe_publishing(catalog: Catalog) -> Catalog:
    summary = catalog.workflows["summary"]
    publish = summary.steps["publish"]
    assert publish.effect
    unsafe = publish.model_copy(
        update={"effect": publish.effect.model_copy(update={"replay_class": ReplayClass.UNSAFE})}
    )
    steps = summary.steps | {"publish": unsafe}
    return catalog.model_copy(update={"workflows": {"summary": summary.model_copy(update={"steps": steps})}})


def test_a_step_that_is_unsafe_to_repeat_needs_another_person(
    fleet: SmallFleet, bench_catalog: Catalog
) -> None:
    job_id, today = failed(fleet), with_unsafe_publishing(bench_catalog)
    with pytest.raises(Forbidden, match="does publish, which is unsafe to do twice"):
        open_replay(fleet.ledger, today, request(job_id))
    open_replay(fleet.ledger, today, request(job_id, approved_by="dave"))
    (told,) = fleet.rows(tables.event, kind="replay_opened")
    assert told.actor == "carol" and "approved by dave" in told.sentence


def test_a_step_that_became_unsafe_since_is_not_done_again_without_approval(
    fleet: SmallFleet, bench_catalog: Catalog
) -> None:
    first, second = failed(fleet), failed(fleet)
    today = with_unsafe_publishing(bench_catalog)
    unapproved, approved = opened(fleet, first), opened(fleet, second, approved_by="dave")
    Replayer(fleet.leadership, fleet.snapshots, today).run()
    refused = item(fleet, unapproved, first)
    assert refused.state == "refused" and "nobody approved this replay" in refused.why
    assert item(fleet, approved, second).state == "released"
    fleet.run()


def test_many_thousand_are_selected_and_taken_back_in_seconds(ledger: Ledger, rows: Rows) -> None:
    pattern = rows.job("summary", state="failed", ended_at=rows.at)
    (given,) = rows_of(ledger, tables.job)
    jobs, subtasks, letters = [], [], []
    for number in range(MANY):
        job_id, subtask_id = new_id(), new_id()
        jobs.append(dict(given._mapping) | {"id": job_id})
        subtasks.append(
            {"id": subtask_id, "job_id": job_id, "tenant": "acme", "step": "draft", "item": 0, "round": 1}
            | {"name": "draft", "lane": "draft", "purpose": "feature", "priority": 1, "state": "dead"}
            | {"created_at": rows.at - 9, "ended_at": rows.at}
        )
        letters.append(
            {"subtask_id": subtask_id, "job_id": job_id, "tenant": "acme", "lane": "draft", "at": rows.at}
            | {"category": "deterministic", "code": "refused", "sentence": f"refused {number}"}
        )
    with ledger.write() as connection:
        for table, made in ((tables.job, jobs), (tables.subtask, subtasks), (tables.dead_letter, letters)):
            connection.execute(insert(table), made)
    begun = time.monotonic()
    replay_id = open_replay(ledger, rows.catalog, request(selection={"lane": "draft"}))
    selected = time.monotonic() - begun
    items = rows_of(ledger, tables.replay_item)
    assert len(items) == MANY and pattern not in {row.job_id for row in items}
    assert rows_of(ledger, tables.replay)[0].total == MANY
    begun = time.monotonic()
    assert abort(ledger, replay_id, "dave", "it was a try") == MANY
    taken_back = time.monotonic() - begun
    said = f"{ledger.url.get_backend_name()}: {MANY} selected in {selected:.2f} s, taken back in {taken_back:.2f} s"
    print(said)  # noqa: T201
    # A plan that joins row by row takes minutes, and a busy machine some seconds; the benchmark says how many.
    assert selected < 60 and taken_back < 60
    if not ledger.is_sqlite:  # row by row, as other tests are cleared away, it would take a minute
        with ledger.write() as connection:
            connection.execute(text("TRUNCATE job CASCADE"))
