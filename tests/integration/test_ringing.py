"""Ringing again, on a real ledger: a broker that forgets costs seconds, and a quiet one no doorbell too many."""

from contracts.states import AttemptState
from orchestrator.door import Claim, Refusal
from orchestrator.ledger import tables
from tests.integration.ledgers import ledger, migrated_file, migrated_schema
from tests.integration.small_fleet import SILENCE, SmallFleet, age, bench_catalog, fleet

__all__ = ["bench_catalog", "fleet", "ledger", "migrated_file", "migrated_schema"]


def rings(fleet: SmallFleet) -> list[int]:
    return [row.rings for row in fleet.rows(tables.attempt)]


def wait(fleet: SmallFleet, attempt_id: str, seconds: float) -> None:
    """Lets time pass for a grant and for its last doorbell, as long as it is not claimed."""
    moments = {"granted_at": seconds}
    if fleet.row(tables.attempt, id=attempt_id).rung_at is not None:
        moments["rung_at"] = seconds
    age(fleet.ledger, tables.attempt, attempt_id, **moments)


def test_a_doorbell_that_the_broker_forgot_is_rung_again_and_the_work_is_done_once(fleet: SmallFleet) -> None:
    job_id, attempt_id = fleet.grant("fan")
    assert fleet.reconcile.run() == 0, "it was rung a moment ago"
    wait(fleet, attempt_id, 2.1)

    assert fleet.reconcile.run() == 1
    (bell,) = fleet.hands.doorbells()
    assert (bell.attempt_id, bell.lane) == (attempt_id, fleet.row(tables.attempt, id=attempt_id).lane)
    assert f"{job_id}, open, {attempt_id}" == bell.label
    assert fleet.reconcile.run() == 0, "it has just been rung again"

    assert isinstance(fleet.hands.do(attempt_id), Claim)
    assert isinstance(fleet.hands.do(attempt_id), Refusal), "the first doorbell was only late"
    fleet.run()
    assert fleet.job(job_id).state == "done"
    assert rings(fleet)[0] == 2
    assert set(rings(fleet)[1:]) == {1}


def test_a_doorbell_rings_more_and_more_rarely_and_never_for_what_is_given_up(fleet: SmallFleet) -> None:
    _, attempt_id = fleet.grant("fan")
    for patience in (1.6, 3.1, 6.1):
        wait(fleet, attempt_id, patience - 1.0)
        fleet.reconcile.run()
        assert fleet.hands.doorbells() == []
        wait(fleet, attempt_id, 1.1)
        fleet.reconcile.run()
        assert len(fleet.hands.doorbells()) == 1
    wait(fleet, attempt_id, 60)
    age(fleet.ledger, tables.attempt, attempt_id, start_by=60)
    fleet.reconcile.run()
    assert fleet.row(tables.attempt, id=attempt_id).state == AttemptState.RETURNED
    assert rings(fleet) == [4]
    fleet.run()


def test_what_the_broker_has_not_taken_yet_is_not_rung_beside_it(fleet: SmallFleet) -> None:
    fleet.submit("fan")
    fleet.turn()
    (bell,) = fleet.rows(tables.doorbell)
    wait(fleet, bell.attempt_id, 5)
    fleet.reconcile.run()
    assert [row.seq for row in fleet.rows(tables.doorbell)] == [bell.seq]

    age(fleet.ledger, tables.attempt, bell.attempt_id, start_by=60)
    fleet.reconcile.run()
    assert rings(fleet) == [0], "nobody has heard it"
    fleet.run()


def test_nothing_is_rung_for_a_worker_that_has_stopped_beating(fleet: SmallFleet) -> None:
    _, attempt_id = fleet.grant("fan")
    wait(fleet, attempt_id, 5)
    age(fleet.ledger, tables.worker, "hands", beat_at=12.0)
    fleet.reconcile.run()
    assert fleet.hands.doorbells() == []
    fleet.door.beat("hands")
    fleet.reconcile.run()
    assert [bell.attempt_id for bell in fleet.hands.doorbells()] == [attempt_id]
    fleet.hands.do(attempt_id)
    fleet.run()


def test_nothing_is_rung_again_while_every_slot_is_taken(fleet: SmallFleet) -> None:
    fleet.hands.announce(("noop",), slots=1)
    first, second = fleet.submit("fan"), fleet.submit("fan")
    fleet.hands.will("open", SILENCE)
    fleet.turn()
    bells = fleet.hands.doorbells()
    assert len(bells) == 2, "one for the slot, and one that waits in the queue"
    held = fleet.hands.do(bells[0].attempt_id)
    wait(fleet, bells[1].attempt_id, 5)
    fleet.reconcile.run()
    assert fleet.hands.doorbells() == []

    assert isinstance(held, Claim)
    age(fleet.ledger, tables.attempt, bells[0].attempt_id, lease_until=60)
    fleet.reconcile.run()
    rung = {bell.attempt_id for bell in fleet.hands.doorbells()}
    assert bells[1].attempt_id in rung, "the slot is free, and nobody comes"
    fleet.hands.do(bells[1].attempt_id)
    fleet.run()
    for attempt in fleet.rows(tables.attempt):
        if attempt.ended_at is None:
            age(fleet.ledger, tables.attempt, attempt.id, start_by=60)
    fleet.run()
    assert {fleet.job(first).state, fleet.job(second).state} == {"done"}
