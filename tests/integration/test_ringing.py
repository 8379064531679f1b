"""Ringing again, on a real ledger: a broker that forgets costs seconds, and a quiet one no doorbell too many."""

from sqlalchemy import case, update

from contracts.states import AttemptState
from orchestrator.door import Claim, Refusal
from orchestrator.ledger import tables
from orchestrator.ledger.clock import wall_clock
from tests.integration.small_fleet import SILENCE, SmallFleet, age


def rings(fleet: SmallFleet) -> list[int]:
    return [row.rings for row in fleet.rows(tables.attempt)]


def granted_ago(fleet: SmallFleet, attempt_id: str, seconds: float) -> None:
    """Its grant and its last doorbell, if there was any, are so long ago, however long the test took."""
    attempt, moment = tables.attempt, wall_clock() - seconds
    rung = case((attempt.c.rung_at.is_not(None), moment))
    with fleet.ledger.write() as connection:
        told = update(attempt).where(attempt.c.id == attempt_id).values(granted_at=moment, rung_at=rung)
        assert connection.execute(told).rowcount == 1


def test_a_doorbell_that_the_broker_forgot_is_rung_again_and_the_work_is_done_once(fleet: SmallFleet) -> None:
    job_id, attempt_id = fleet.grant("fan")
    assert fleet.reconcile.run() == 0, "it was rung a moment ago"
    granted_ago(fleet, attempt_id, 2.1)

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
    for too_soon, patience in ((0.2, 1.6), (1.7, 3.1), (3.2, 6.1)):
        granted_ago(fleet, attempt_id, too_soon)
        fleet.reconcile.run()
        assert fleet.hands.doorbells() == []
        granted_ago(fleet, attempt_id, patience)
        fleet.reconcile.run()
        assert len(fleet.hands.doorbells()) == 1
    granted_ago(fleet, attempt_id, 60)
    age(fleet.ledger, tables.attempt, attempt_id, start_by=60)
    fleet.reconcile.run()
    assert fleet.row(tables.attempt, id=attempt_id).state == AttemptState.RETURNED
    assert rings(fleet) == [4]
    fleet.run()


def test_what_the_broker_has_not_taken_yet_is_not_rung_beside_it(fleet: SmallFleet) -> None:
    fleet.submit("fan")
    fleet.turn()
    (bell,) = fleet.rows(tables.doorbell)
    granted_ago(fleet, bell.attempt_id, 5)
    fleet.reconcile.run()
    assert [row.seq for row in fleet.rows(tables.doorbell)] == [bell.seq]

    age(fleet.ledger, tables.attempt, bell.attempt_id, start_by=60)
    fleet.reconcile.run()
    assert rings(fleet) == [0], "nobody has heard it"
    fleet.run()


def test_nothing_is_rung_for_a_worker_that_has_stopped_beating(fleet: SmallFleet) -> None:
    _, attempt_id = fleet.grant("fan")
    granted_ago(fleet, attempt_id, 5)
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
    granted_ago(fleet, bells[1].attempt_id, 5)
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
