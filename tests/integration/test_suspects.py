"""Suspects: what was twice lost together with others is rerun beside no other suspect before a crash counts
against it."""

from contracts.bench import Nothing
from orchestrator.door import Claim
from orchestrator.ledger import tables
from tests.integration.ledgers import ledger, migrated_file, migrated_schema
from tests.integration.small_fleet import SmallFleet, age, bench_catalog, delivers, fleet

__all__ = ["bench_catalog", "fleet", "ledger", "migrated_file", "migrated_schema"]

DONE = delivers(Nothing())


def claimed(fleet: SmallFleet) -> dict[str, Claim]:
    """Everything that is granted now, claimed by one process and at work, by the subtask's name."""
    fleet.turn()
    claims = [fleet.hands.claim(bell.attempt_id) for bell in fleet.hands.doorbells()]
    return {each.handoff.assignment.name: each for each in claims if isinstance(each, Claim)}


def spread(fleet: SmallFleet, items: int = 3) -> str:
    """A job whose mapped step is about to be granted."""
    job_id = fleet.submit("fan", items)
    fleet.turn()
    fleet.hands.work()
    return job_id


def fall_silent(fleet: SmallFleet, *claims: Claim) -> None:
    for claim in claims:
        age(fleet.ledger, tables.attempt, claim.attempt, lease_until=60.0)
    fleet.reconcile.run()


def lose_twice(fleet: SmallFleet) -> None:
    """Everything that can be claimed now is lost together, and so it is when it runs again."""
    for _ in range(2):
        fall_silent(fleet, *claimed(fleet).values())


def marks(fleet: SmallFleet, job_id: str) -> dict[str, tuple[str, bool, int]]:
    """State, suspicion and crashes of the mapped subtasks, by name."""
    rows = fleet.rows(tables.subtask, job_id=job_id, step="spread")
    return {row.name: (row.state, row.suspect, row.crashes) for row in rows}


def test_what_was_lost_together_counts_no_crash_and_runs_one_by_one(fleet: SmallFleet) -> None:
    job_id = spread(fleet)
    lost = claimed(fleet)
    assert sorted(lost) == ["spread[1]", "spread[2]", "spread[3]"]
    fall_silent(fleet, *lost.values())

    assert set(marks(fleet, job_id).values()) == {("ready", False, 0)}
    assert fleet.subtask(job_id, "spread[2]").why == (
        "crashed: its worker hands fell silent; lost together with 2 others for the first time, so it runs again "
        "at once (no crash of its own; loss 1 of 50 with others)"
    )
    again = claimed(fleet)
    assert sorted(again) == sorted(lost), "most processes are killed from outside"
    fall_silent(fleet, *again.values())

    assert set(marks(fleet, job_id).values()) == {("ready", True, 0)}
    assert fleet.subtask(job_id, "spread[2]").why == (
        "crashed: its worker hands fell silent; lost together with 2 others, so it is a suspect and runs again "
        "beside no other one (no crash of its own; loss 2 of 50 with others)"
    )
    for _ in range(3):
        (alone,) = claimed(fleet).values()
        assert fleet.dispatch.run() == 0, "two suspects of one lane never run at once"
        name = alone.handoff.assignment.name
        fleet.hands.perform(alone, DONE)
        fleet.advance.run()
        assert marks(fleet, job_id)[name] == ("done", False, 0)
    fleet.run()
    assert fleet.job(job_id).state == "done"


def test_leases_that_run_out_one_after_the_other_are_of_one_process_all_the_same(fleet: SmallFleet) -> None:
    job_id = spread(fleet, items=2)
    fall_silent(fleet, *claimed(fleet).values())
    lost = claimed(fleet)
    fall_silent(fleet, lost["spread[1]"])
    assert marks(fleet, job_id)["spread[1]"] == ("ready", True, 0)
    fall_silent(fleet, lost["spread[2]"])
    assert marks(fleet, job_id)["spread[2]"] == ("ready", True, 0)
    fleet.run()


def test_the_killer_alone_is_blamed_in_the_end_and_its_neighbours_go_free(fleet: SmallFleet) -> None:
    job_id = spread(fleet)
    lose_twice(fleet)
    for _ in range(30):
        running = claimed(fleet)
        killer = running.pop("spread[3]", None)
        for neighbour in running.values():
            fleet.hands.perform(neighbour, DONE)
        if killer:
            fall_silent(fleet, killer)

    assert marks(fleet, job_id) == {
        "spread[1]": ("done", False, 0),
        "spread[2]": ("done", False, 0),
        "spread[3]": ("dead", True, 3),
    }
    assert len(fleet.attempts(job_id, "spread[3]")) == 5, "twice with the others, and three times alone"
    assert "crash 3 of 3; it may be the killer" in fleet.row(tables.dead_letter).sentence


def test_the_only_suspect_of_a_process_is_blamed_and_those_beside_it_are_not(fleet: SmallFleet) -> None:
    suspected = spread(fleet, items=2)
    lose_twice(fleet)
    other = fleet.submit("fan")
    running = claimed(fleet)
    fleet.hands.perform(running.pop("open"), DONE)
    (suspect,), (beside,) = running.values(), claimed(fleet).values()
    assert (suspect.job, beside.job) == (suspected, other), "other work of the lane goes on beside a suspect"
    fall_silent(fleet, suspect, beside)

    assert sorted(marks(fleet, suspected).values()) == [("ready", True, 0), ("ready", True, 1)]
    assert marks(fleet, other) == {"spread[1]": ("ready", False, 0)}
    assert (
        "it was the only suspect beside 1 other (crash 1 of 3)"
        in fleet.row(tables.subtask, id=suspect.subtask).why
    )
    fleet.run()


def test_what_ran_past_its_deadline_makes_nobody_a_suspect(fleet: SmallFleet) -> None:
    job_id = spread(fleet, items=2)
    lost = claimed(fleet)
    age(fleet.ledger, tables.attempt, lost["spread[1]"].attempt, deadline_at=301.0)
    fleet.reconcile.run()

    assert marks(fleet, job_id)["spread[1]"] == ("ready", False, 1)
    assert marks(fleet, job_id)["spread[2]"] == ("running", False, 0)
    fleet.hands.perform(lost["spread[2]"], DONE)
    fleet.run()
    assert fleet.job(job_id).state == "done"


def test_the_next_one_is_told_what_a_lost_attempt_changed_or_may_have(fleet: SmallFleet) -> None:
    told = []
    for finished in (False, True):
        job_id = fleet.submit("summary")
        publish: Claim | None = None
        while publish is None:
            fleet.turn()
            for bell in fleet.hands.doorbells():
                if bell.lane == "publish":
                    claim = fleet.hands.claim(bell.attempt_id)
                    assert isinstance(claim, Claim)
                    publish = claim
                else:
                    fleet.hands.do(bell.attempt_id)
        grant = publish.handoff.effect
        assert grant is not None
        fleet.door.begin_effect(publish, grant, {})
        if finished:
            fleet.door.finish_effect(publish, grant, {})
        fall_silent(fleet, publish)
        fleet.run()
        (tried,) = fleet.handed("publish")[-1].tried
        told.append(tried.kept.replace(job_id, "JOB"))
        assert fleet.job(job_id).state == "done"

    assert told == ["scratch:JOB may have been changed: look first", "scratch:JOB was changed"]
