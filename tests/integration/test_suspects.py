"""Suspects: what was twice lost together with others is rerun beside no other suspect before a crash counts
against it."""

import threading
from concurrent.futures import ThreadPoolExecutor

from contracts.bench import Nothing
from orchestrator.door import Claim, Door, Refusal, WorkerCard
from orchestrator.ledger import tables
from orchestrator.ledger.ids import new_id
from tests.integration.small_fleet import SmallFleet, age, delivers, overheard

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


def announce(fleet: SmallFleet, *names: str) -> None:
    """More worker processes beside the hands' own."""
    for name in names:
        fleet.door.announce(WorkerCard(name, ("noop",), (), 50, "1"))


def claim(fleet: SmallFleet, attempt_id: str, worker: str) -> Claim | Refusal:
    return fleet.door.claim(attempt_id, worker, new_id())


def doorbells(fleet: SmallFleet) -> list[str]:
    """The attempts that are granted now, in the order in which they are rung for."""
    fleet.turn()
    return [bell.attempt_id for bell in fleet.hands.doorbells()]


def give_back(fleet: SmallFleet, attempt_id: str) -> None:
    """Lets a moment pass, after which the reconciler takes back what nobody is to claim any more."""
    age(fleet.ledger, tables.attempt, attempt_id, start_by=1.5)
    fleet.reconcile.run()


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
        assert fleet.dispatch.run() == 0, "there is no process without a suspect"
        name = alone.handoff.assignment.name
        fleet.hands.perform(alone, DONE)
        fleet.advance.run()
        assert marks(fleet, job_id)[name] == ("done", False, 0)
    fleet.run()
    assert fleet.job(job_id).state == "done"


def test_every_process_takes_one_suspect_at_once(fleet: SmallFleet) -> None:
    job_id = spread(fleet)
    lose_twice(fleet)
    announce(fleet, "another")
    ours, theirs = doorbells(fleet)
    assert fleet.dispatch.run() == 0, "each process will take one of those that are rung for"
    first, second = claim(fleet, ours, "hands"), claim(fleet, theirs, "another")
    assert isinstance(first, Claim) and isinstance(second, Claim)
    assert doorbells(fleet) == [], "both processes hold one"

    fleet.hands.perform(second, DONE)
    (third,) = doorbells(fleet)
    assert isinstance(claim(fleet, third, "hands"), Refusal), "that is the process which holds one"
    assert isinstance(claim(fleet, third, "another"), Refusal), "and it went back already"
    give_back(fleet, third)
    (again,) = doorbells(fleet)
    last = claim(fleet, again, "another")
    assert isinstance(last, Claim)
    for each in (first, last):
        fleet.hands.perform(each, DONE)
    fleet.run()
    assert fleet.job(job_id).state == "done"


def test_what_a_process_refuses_goes_back_to_the_head_and_waits_for_one_without_a_suspect(
    fleet: SmallFleet,
) -> None:
    job_id = spread(fleet)
    lose_twice(fleet)
    announce(fleet, "another")
    first, second = doorbells(fleet)
    held = claim(fleet, first, "hands")
    refused = claim(fleet, second, "hands")
    assert isinstance(held, Claim)
    assert isinstance(refused, Refusal) and "another suspect runs in this process" in refused.why

    give_back(fleet, second)
    row = fleet.row(tables.subtask, id=fleet.row(tables.attempt, id=second).subtask_id)
    assert (row.state, row.suspect, row.tries, row.crashes) == ("ready", True, 0, 0)
    assert fleet.row(tables.attempt, id=second).state == "returned"
    (again,) = doorbells(fleet)
    assert fleet.row(tables.attempt, id=again).subtask_id == row.id, "it is still before the third"

    claim(fleet, again, "hands")
    fleet.door.leave("another")
    give_back(fleet, again)
    for _ in range(3):
        assert doorbells(fleet) == [], "with one process left they wait without being rung for"
    fleet.hands.perform(held, DONE)
    for _ in range(2):
        (alone,) = doorbells(fleet)
        running = claim(fleet, alone, "hands")
        assert isinstance(running, Claim)
        fleet.hands.perform(running, DONE)
    fleet.run()
    assert marks(fleet, job_id) == {f"spread[{number}]": ("done", False, 0) for number in (1, 2, 3)}


def test_of_two_claims_at_once_in_one_process_one_takes_its_suspect(fleet: SmallFleet) -> None:
    spread(fleet, items=8)
    lose_twice(fleet)
    announce(fleet, *(f"worker-{number}" for number in range(7)))
    bells = doorbells(fleet)
    assert len(bells) == 8
    start = threading.Barrier(8)

    def deliver(attempt_id: str) -> Claim | Refusal:
        # Of a door of its own, as after an answer that was lost: one door asks for all its threads at once.
        door = Door(fleet.ledger, fleet.store, 30.0)
        start.wait()
        return door.claim(attempt_id, "hands", new_id())

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(deliver, bells))

    (taken,) = [answer for answer in answers if isinstance(answer, Claim)]
    together = [claim(fleet, each, "worker-1") for each in bells if each != taken.attempt]
    assert not [answer for answer in together if isinstance(answer, Claim)], "they went back"
    fleet.hands.perform(taken, DONE)


def test_a_process_that_died_with_a_suspect_keeps_no_other_from_its_own(fleet: SmallFleet) -> None:
    job_id = spread(fleet, items=2)
    lose_twice(fleet)
    announce(fleet, "another")
    ours, theirs = doorbells(fleet)
    killed, spared = claim(fleet, ours, "hands"), claim(fleet, theirs, "another")
    assert isinstance(killed, Claim) and isinstance(spared, Claim)
    fall_silent(fleet, killed)
    assert fleet.row(tables.subtask, id=killed.subtask).crashes == 1, "it was alone in its process"
    assert fleet.row(tables.subtask, id=spared.subtask).crashes == 0
    fleet.hands.perform(spared, DONE)
    fleet.run()
    assert fleet.job(job_id).state == "done"


def test_where_no_suspect_is_nothing_more_is_asked(fleet: SmallFleet) -> None:
    fleet.submit("fan")
    fleet.turn()
    (bell,) = fleet.hands.doorbells()
    with overheard(fleet) as asked:
        fleet.hands.claim(bell.attempt_id)
    assert " ".join(statement.split()[0] for statement in asked) == "UPDATE SELECT UPDATE INSERT"
    fleet.submit("fan")
    fleet.plan.run()
    with overheard(fleet) as plain:
        assert fleet.dispatch.run() == 1

    spread(fleet, items=2)
    lose_twice(fleet)
    (alone,) = doorbells(fleet)
    with overheard(fleet) as asked:
        fleet.hands.claim(alone)
    verbs = " ".join(statement.split()[0] for statement in asked)
    assert verbs == "UPDATE SELECT SELECT UPDATE SELECT UPDATE INSERT", "its worker's row, and whom it holds"
    fleet.submit("fan")
    fleet.plan.run()
    with overheard(fleet) as asked:
        assert fleet.dispatch.run() == 1
    assert len(asked) == len(plain) + 1, "who holds a suspect"
    fleet.run()


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


def test_what_a_container_claimed_since_it_was_started_again_was_not_lost_with_it(fleet: SmallFleet) -> None:
    """Its worker has the same name as before."""
    killer, later = fleet.submit("fan"), fleet.submit("fan")
    (first, second) = doorbells(fleet)
    alone = fleet.hands.claim(first)
    assert isinstance(alone, Claim)
    age(fleet.ledger, tables.attempt, alone.attempt, claimed_at=30.0)
    announce(fleet, "hands")
    assert isinstance(fleet.hands.claim(second), Claim)
    fall_silent(fleet, alone)

    lost = fleet.subtask(alone.job, "open")
    assert alone.job in (killer, later)
    assert (lost.crashes, "lost together" in lost.why) == (1, False)
