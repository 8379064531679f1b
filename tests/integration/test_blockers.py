"""Blockers: what many lack is one row and one job, and then all of them go on by themselves."""

from itertools import pairwise
from pathlib import Path

from contracts.catalog import Catalog
from contracts.failures import Code, Failure
from contracts.prerequisites import Prerequisite
from contracts.replays import ReplayRequest
from orchestrator.cancelling import request_cancel
from orchestrator.deciders.blocking import RESTS_SECONDS
from orchestrator.door import Claim
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from orchestrator.reads.explain import explain
from orchestrator.replaying import open_replay
from tests.integration.small_fleet import Deed, SmallFleet, age, fails


def lacks(subject: str = "prospects", prerequisite: str = "address") -> Deed:
    evidence = {"prerequisite": prerequisite, "subject": subject}
    sentence = f"{subject} have no {prerequisite}"
    failure = Failure(code=Code.MISSING_PREREQUISITE, sentence=sentence, evidence=evidence)
    return Deed(failure=failure)


LATER = fails(Code.VENDOR_ERROR, "not now", retry_after=60.0)


def mailing(fleet: SmallFleet, items: int, times: int = 1, subject: str = "prospects") -> str:
    """A job whose letters lack the address so often before they have it."""
    names = [f"prospect-{number}" for number in range(1, items + 1)]
    for number in range(1, items + 1):
        fleet.hands.will(f"letter[{number}]", *[lacks(subject)] * times)
    return fleet.submit("mailing", inputs={"items": names})


def supplier(fleet: SmallFleet) -> str:
    """The only job that supplies anything."""
    (row,) = fleet.rows(tables.job, workflow="enrich")
    return str(row.id)


def supply(fleet: SmallFleet) -> None:
    """What put the supplying job off is over."""
    age(fleet.ledger, tables.subtask, fleet.subtask(supplier(fleet), "find").id, not_before=90.0)
    fleet.run()


def test_68_prospects_without_an_address_are_one_blocker_and_one_job(fleet: SmallFleet) -> None:
    fleet.hands.will("find", LATER)
    job_id = mailing(fleet, 68)
    fleet.run()

    blocker = fleet.row(tables.blocker)
    assert (blocker.tenant, blocker.prerequisite, blocker.subject) == ("acme", "address", "prospects")
    assert (blocker.job_id, blocker.supply_job_id, blocker.resolved_at) == (job_id, supplier(fleet), None)
    letters = fleet.rows(tables.subtask, job_id=job_id, step="letter")
    assert {(row.state, row.blocked_by, row.tries) for row in letters} == {("parked", blocker.id, 0)}
    made = fleet.job(supplier(fleet))
    assert (made.purpose, made.requested_by, made.inputs) == ("feature", "alice", {"items": ["prospects"]})
    assert len(fleet.rows(tables.event, kind="blocked")) == 1
    with fleet.ledger.read() as connection:
        told = explain(connection, job_id)
    assert f"the address of prospects, which job {made.id} (enrich, running) supplies" in told.sentence

    supply(fleet)
    assert fleet.job(job_id).state == "done"
    assert {row.tries for row in fleet.rows(tables.subtask, job_id=job_id, step="letter")} == {1}
    assert len(fleet.rows(tables.job, workflow="enrich")) == 1
    again = fleet.handed("letter[68]")[1]
    assert [(item.name, item.source) for item in again.context if item.contract] == [
        ("address", f"job {made.id}")
    ]
    assert fleet.row(tables.blocker).resolution == f"job {made.id} supplied it"
    assert len(fleet.rows(tables.event, kind="unblocked")) == 1


def test_another_job_of_the_tenant_joins_and_one_of_another_tenant_does_not(fleet: SmallFleet) -> None:
    fleet.hands.will("find", LATER, LATER)
    first = mailing(fleet, 1)
    fleet.run()
    second = mailing(fleet, 1)
    fleet.run()
    fleet.hands.will("letter[1]", lacks())
    stranger = fleet.submit("mailing", inputs={"items": ["x"]}, tenant="rival")
    fleet.run()

    ours, theirs = sorted(fleet.rows(tables.blocker), key=lambda row: row.opened_at)
    assert (ours.tenant, theirs.tenant) == ("acme", "rival")
    waiting = {job_id: fleet.subtask(job_id, "letter[1]").blocked_by for job_id in (first, second, stranger)}
    assert waiting == {first: ours.id, second: ours.id, stranger: theirs.id}
    assert f"(job {ours.supply_job_id} supplies it)" in fleet.subtask(second, "letter[1]").why


def test_where_it_cannot_be_supplied_those_who_wait_end_and_name_it(fleet: SmallFleet) -> None:
    fleet.hands.will("find", fails(Code.REFUSED, "nobody knows them"))
    job_id = mailing(fleet, 2)
    fleet.run()

    letters = [row for row in fleet.rows(tables.dead_letter) if row.job_id == job_id]
    assert len(letters) == 2 and {row.category for row in letters} == {"prerequisite"}
    assert f"the address of prospects; job {supplier(fleet)} is failed: find: refused" in letters[0].sentence
    assert fleet.job(job_id).state == "failed"
    assert fleet.row(tables.blocker).resolved_at is not None


NOBODY = fails(Code.REFUSED, "nobody knows them")


def failed(fleet: SmallFleet) -> str:
    """The supplying job, which failed for a first asker."""
    fleet.hands.will("find", NOBODY)
    mailing(fleet, 1)
    fleet.run()
    return supplier(fleet)


def replay(fleet: SmallFleet, job_id: str) -> None:
    given = {"selection": {"ids": [job_id]}, "requested_by": "carol", "reason": "mended", "dry_run": False}
    open_replay(fleet.ledger, fleet.catalog, ReplayRequest.model_validate(given))
    fleet.turn()


def replay_of(fleet: SmallFleet, job_id: str) -> str:
    return str(fleet.row(tables.job, replay_of=job_id).id)


def test_what_failed_to_supply_is_not_made_anew_for_each_who_asks_later(fleet: SmallFleet) -> None:
    first = failed(fleet)
    later = [mailing(fleet, 1) for _ in range(3)]
    fleet.run()
    assert supplier(fleet) == first
    for job_id in later:
        (letter,) = fleet.rows(tables.dead_letter, job_id=job_id)
        assert letter.category == "prerequisite"
        assert f"job {first} was to supply it and did not" in letter.sentence
        assert f"`fleet replay {first}`" in letter.sentence
    assert len({row.signature for row in fleet.rows(tables.dead_letter) if row.job_id in later}) == 1

    age(fleet.ledger, tables.blocker, fleet.row(tables.blocker).id, resolved_at=RESTS_SECONDS)
    last = mailing(fleet, 1)
    fleet.run()
    assert fleet.job(last).state == "done", "after an hour it is worth another try"
    assert len(fleet.rows(tables.job, workflow="enrich")) == 2


def test_who_asks_while_the_supplier_is_replayed_waits_for_that(fleet: SmallFleet) -> None:
    first = failed(fleet)
    fleet.hands.will("find", LATER)
    replay(fleet, first)
    waiting = [mailing(fleet, 2), mailing(fleet, 1)]
    fleet.run()
    again = replay_of(fleet, first)
    (standing,) = [row for row in fleet.rows(tables.blocker) if row.resolved_at is None]
    assert standing.supply_job_id == again
    age(fleet.ledger, tables.subtask, fleet.subtask(again, "find").id, not_before=90.0)
    fleet.run()

    assert {fleet.job(job_id).state for job_id in waiting} == {"done"}
    assert len(fleet.rows(tables.job, workflow="enrich")) == 2
    assert [item.source for item in fleet.handed("letter[2]")[1].context if item.contract] == [f"job {again}"]


def test_a_blocker_that_stands_is_met_though_the_clock_was_set_back_since_another_was_opened(
    fleet: SmallFleet,
) -> None:
    first = failed(fleet)
    (resolved,) = fleet.rows(tables.blocker)
    age(fleet.ledger, tables.blocker, resolved.id, opened_at=-3600.0, resolved_at=-3600.0)
    fleet.hands.will("find", LATER)
    replay(fleet, first)
    waiting = mailing(fleet, 3)
    fleet.run()
    (standing,) = [row for row in fleet.rows(tables.blocker) if row.resolved_at is None]
    age(fleet.ledger, tables.subtask, fleet.subtask(standing.supply_job_id, "find").id, not_before=90.0)
    fleet.run()

    assert fleet.job(waiting).state == "done"


def test_what_a_replay_has_supplied_is_handed_to_all_who_ask_after_it(fleet: SmallFleet) -> None:
    """One after the other; each of them would else have it made anew, by inputs that failed before."""
    first = failed(fleet)
    replay(fleet, first)
    fleet.run()
    for _ in range(2):
        job_id = mailing(fleet, 1)
        fleet.run()
        assert fleet.job(job_id).state == "done"
    again = replay_of(fleet, first)
    assert len(fleet.rows(tables.job, workflow="enrich")) == 2
    supplied = [item.source for each in fleet.handed("letter[1]") for item in each.context if item.contract]
    assert supplied == [f"job {again}"] * 2

    fleet.hands.will("letter[1]", lacks(), lacks())
    still = fleet.submit("mailing", inputs={"items": ["x"]})
    fleet.run()
    assert f"(job {again} was to supply it, and it is still missing)" in fleet.job(still).why


def test_a_replay_that_fails_as_well_is_the_one_to_mend(fleet: SmallFleet) -> None:
    first = failed(fleet)
    fleet.hands.will("find", NOBODY)
    replay(fleet, first)
    fleet.run()
    job_id = mailing(fleet, 1)
    fleet.run()
    assert f"`fleet replay {replay_of(fleet, first)}`" in fleet.job(job_id).why
    assert len(fleet.rows(tables.job, workflow="enrich")) == 2


def test_a_replay_of_the_supplier_never_waits_for_itself(fleet: SmallFleet) -> None:
    first = failed(fleet)
    fleet.hands.will("find", lacks())
    replay(fleet, first)
    fleet.run()
    again = fleet.job(replay_of(fleet, first))
    assert again.state == "failed" and "and would wait for itself" in again.why


def test_what_did_not_help_once_is_not_tried_for_ever(fleet: SmallFleet) -> None:
    job_id = mailing(fleet, 1, times=5)
    fleet.run()

    assert len(fleet.rows(tables.job, workflow="enrich")) == 1
    assert len(fleet.attempts(job_id, "letter[1]")) == 2
    letter = fleet.row(tables.dead_letter)
    assert letter.sentence.endswith(f"(job {supplier(fleet)} was to supply it, and it is still missing)")


def test_who_looked_before_it_was_there_looks_again_and_makes_no_second_job(fleet: SmallFleet) -> None:
    fleet.hands.will("find", LATER)
    first = mailing(fleet, 1)
    fleet.run()
    second = fleet.submit("mailing", inputs={"items": ["late"]})
    fleet.turn()
    (bell,) = fleet.hands.doorbells()
    late = fleet.hands.claim(bell.attempt_id)
    supply(fleet)
    assert fleet.job(first).state == "done"

    assert isinstance(late, Claim) and fleet.hands.perform(late, lacks())
    fleet.run()
    assert (fleet.job(second).state, fleet.subtask(second, "letter[1]").tries) == ("done", 1)
    assert len(fleet.rows(tables.blocker)) == 1


def test_what_nothing_supplies_ends_and_says_so(fleet: SmallFleet) -> None:
    fleet.hands.will("letter[1]", lacks(prerequisite="telephone"))
    fleet.hands.will("letter[2]", fails(Code.MISSING_PREREQUISITE, "something is missing"))
    fleet.submit("mailing", inputs={"items": ["a", "b"]})
    fleet.run()

    said = sorted(row.sentence for row in fleet.rows(tables.dead_letter))
    assert said == [
        "missing_prerequisite: prospects have no telephone (nothing is declared to supply telephone)",
        "missing_prerequisite: something is missing (it names no prerequisite and subject in its evidence)",
    ]
    assert fleet.rows(tables.blocker) == []


def test_what_supplies_never_waits_for_itself(fleet: SmallFleet) -> None:
    fleet.hands.will("find", lacks())
    job_id = mailing(fleet, 1)
    fleet.run()

    assert fleet.job(supplier(fleet)).state == fleet.job(job_id).state == "failed"
    assert "and would wait for itself" in fleet.job(job_id).why


def test_two_that_supply_each_other_and_say_so_at_once_do_not_wait_for_each_other(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    """Both reports are applied in one batch, where neither is parked yet when the other is judged."""
    enrich = bench_catalog.workflows["enrich"]
    firm = enrich.model_copy(
        update={"workflow": "firm", "steps": {"look": enrich.steps["find"]}, "result": "look"}
    )
    company = Prerequisite(prerequisite="company", supplied_by="firm", inputs={"items": ["{subject}"]})
    changed = {
        "prerequisites": {**bench_catalog.prerequisites, "company": company},
        "workflows": {**bench_catalog.workflows, "firm": firm},
    }
    fleet = SmallFleet(ledger, tmp_path, bench_catalog.model_copy(update=changed))
    fleet.hands.will("letter[1]", lacks("x", "address"))
    fleet.hands.will("letter[2]", lacks("x", "company"))
    fleet.hands.will("find", lacks("x", "company"))
    fleet.hands.will("look", lacks("x", "address"))
    fleet.submit("mailing", inputs={"items": ["a", "b"]})
    fleet.run()

    assert {row.state for row in fleet.rows(tables.job)} == {"failed"}
    assert None not in {row.resolved_at for row in fleet.rows(tables.blocker)}
    said = {row.sentence for row in fleet.rows(tables.dead_letter)}
    assert said and all(each.endswith("and would wait for itself)") for each in said)


def test_jobs_that_wait_for_each_other_have_an_end(fleet: SmallFleet) -> None:
    """Every supplier lacks the address of somebody else, and so on without end."""
    fleet.hands.will("find", *[lacks(f"cousin {number}") for number in range(50)])
    job_id = mailing(fleet, 1)
    fleet.run()

    assert fleet.job(job_id).state == "failed"
    assert len(fleet.rows(tables.blocker)) == 8
    assert any("already 8 blockers wait behind it" in row.sentence for row in fleet.rows(tables.dead_letter))


def test_a_job_that_cannot_be_made_is_no_blocker(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    wrong = Prerequisite(prerequisite="address", supplied_by="enrich", inputs={"items": []})
    fleet = SmallFleet(
        ledger, tmp_path, bench_catalog.model_copy(update={"prerequisites": {"address": wrong}})
    )
    mailing(fleet, 1)
    fleet.run()

    assert "(no job can be made to supply it: inputs.items" in fleet.row(tables.dead_letter).sentence
    assert fleet.rows(tables.blocker) == []


def test_no_more_jobs_supply_at_once_and_none_costs_more_than_its_prerequisite_allows(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    capped = bench_catalog.prerequisites["address"].model_copy(update={"most_open": 1, "max_cost_usd": 0.5})
    noop = bench_catalog.lanes["noop"]
    patient = noop.model_copy(update={"attempts": noop.attempts.model_copy(update={"backoff_seconds": 60.0})})
    changed = {"prerequisites": {"address": capped}, "lanes": {**bench_catalog.lanes, "noop": patient}}
    fleet = SmallFleet(ledger, tmp_path, bench_catalog.model_copy(update=changed))
    fleet.hands.will("find", LATER)
    for number in (1, 2, 3):
        fleet.hands.will(f"letter[{number}]", *[lacks(f"prospect-{number}")] * (1 if number == 1 else 2))
    job_id = fleet.submit("mailing", inputs={"items": ["a", "b", "c"]})
    fleet.run()

    made = fleet.job(supplier(fleet))
    assert made.max_cost_nano_usd == 500_000_000
    letters = [row for row in fleet.rows(tables.subtask, job_id=job_id) if row.step == "letter"]
    assert sorted(row.state for row in letters) == ["parked", "ready", "ready"]
    waits = [row for row in letters if row.state == "ready"]
    assert all("(1 job(s) supply address already; again in 60.0 s)" in row.why for row in waits)
    assert {row.tries for row in letters} == {0}

    supply(fleet)
    for row in waits:
        age(fleet.ledger, tables.subtask, row.id, not_before=90.0)
        fleet.run()
    assert fleet.job(job_id).state == "done"
    supplies = fleet.rows(tables.blocker)
    assert [row.resolution.endswith("supplied it") for row in supplies] == [True] * 3
    assert all(later.opened_at >= sooner.resolved_at for sooner, later in pairwise(supplies))


def test_who_is_cancelled_while_it_waits_is_left_alone(fleet: SmallFleet) -> None:
    fleet.hands.will("find", LATER)
    job_id = mailing(fleet, 1)
    fleet.run()
    request_cancel(fleet.ledger, job_id, "bob")
    fleet.run()
    supply(fleet)

    assert (fleet.job(job_id).state, fleet.job(supplier(fleet)).state) == ("cancelled", "done")
    assert fleet.row(tables.blocker).resolved_at is not None
