"""Liveness by consumption, on a real ledger: who beats and takes nothing is reported once, and granted nothing."""

import re
from typing import Any

from prometheus_client import CollectorRegistry

from orchestrator import liveness
from orchestrator.door import Door
from orchestrator.ledger import tables
from orchestrator.ledger.clock import now
from orchestrator.reads.figures.collector import LedgerFigures
from orchestrator.reads.workers import live_workers
from tests.integration.small_fleet import SmallFleet, age


def unheard(fleet: SmallFleet) -> list[str]:
    with fleet.ledger.read() as connection:
        return liveness.unheard(connection, now(connection), 5.0, 90.0)


def sing(fleet: SmallFleet) -> None:
    with fleet.ledger.write() as connection:
        liveness.rang(connection, unheard(fleet))


def hands(fleet: SmallFleet) -> Any:
    return fleet.row(tables.worker, id="hands")


def deaf(fleet: SmallFleet) -> None:
    """Nothing has reached the hands for 100 s, and canaries were rung for them in vain."""
    age(fleet.ledger, tables.worker, "hands", heard_at=80.0)
    sing(fleet)
    age(fleet.ledger, tables.worker, "hands", heard_at=20.0, canary_at=20.0)


def test_a_canary_is_rung_for_who_was_not_heard_and_once_at_a_time(fleet: SmallFleet) -> None:
    assert unheard(fleet) == [], "it has just begun"
    age(fleet.ledger, tables.worker, "hands", heard_at=31.0)
    assert unheard(fleet) == ["hands"]
    sing(fleet)
    assert unheard(fleet) == []
    age(fleet.ledger, tables.worker, "hands", canary_at=31.0)
    assert unheard(fleet) == ["hands"]
    fleet.door.beat("hands", busy=0, heard=True)
    assert unheard(fleet) == []


def test_who_takes_nothing_is_reported_once_granted_nothing_and_told_to_leave(fleet: SmallFleet) -> None:
    door: Door = fleet.door
    job_id = fleet.submit("fan")
    fleet.turn()
    deaf(fleet)
    assert not door.beat("hands", busy=0)
    fleet.reconcile.run()
    fleet.reconcile.run()

    (told,) = fleet.rows(tables.event, kind="worker_silent")
    assert re.search(
        r"hands beats and has taken nothing for 1\d\d s, with 50 of 50 slots free", told.sentence
    )
    (called,) = fleet.rows(tables.escalation)
    assert called.sentence == told.sentence
    assert door.beat("hands", busy=0), "it hears that it has to leave"
    with fleet.ledger.read() as connection:
        assert [worker.silent for worker in live_workers(connection, 30.0)] == [True]

    other = fleet.submit("fan")
    fleet.turn()
    assert fleet.attempts(other, "open") == [], "nobody is there to take it"

    fleet.hands.announce(tuple(fleet.catalog.lanes))
    assert not door.beat("hands", busy=0), "started again, it begins anew"
    fleet.run()
    age(fleet.ledger, tables.attempt, fleet.attempts(job_id, "open")[0].id, granted_at=3.0)
    fleet.run()
    assert fleet.job(other).state == "done"


def test_who_fell_silent_is_shown_for_ten_minutes_though_it_left_and_was_started_again(
    fleet: SmallFleet,
) -> None:
    figures = CollectorRegistry()
    figures.register(LedgerFigures(fleet.ledger, fleet.catalog))
    fleet.submit("fan")
    fleet.turn()
    deaf(fleet)
    assert figures.get_sample_value("fleet_workers_silent") == 0
    fleet.reconcile.run()
    assert figures.get_sample_value("fleet_workers_silent") == 1

    fleet.door.leave("hands")
    age(fleet.ledger, tables.worker, "hands", beat_at=120.0, silent_at=120.0)
    assert figures.get_sample_value("fleet_workers_silent") == 1
    fleet.hands.announce(tuple(fleet.catalog.lanes))
    assert figures.get_sample_value("fleet_workers_silent") == 1, (
        "in a container it has the same process id again"
    )
    assert not fleet.door.beat("hands", busy=0)
    fleet.run()

    age(fleet.ledger, tables.worker, "hands", silent_at=500.0)
    assert figures.get_sample_value("fleet_workers_silent") == 0


def test_who_is_heard_again_is_no_longer_silent(fleet: SmallFleet) -> None:
    fleet.submit("fan")
    fleet.turn()
    deaf(fleet)
    fleet.reconcile.run()
    assert hands(fleet).silent_at is not None
    assert not fleet.door.beat("hands", busy=0, heard=True)
    fleet.run()
    assert fleet.rows(tables.job)[0].state == "done"


def test_a_slow_worker_that_beats_is_left_alone(fleet: SmallFleet) -> None:
    fleet.submit("fan")
    fleet.turn()
    deaf(fleet)
    fleet.door.beat("hands", busy=50)
    fleet.reconcile.run()
    assert fleet.rows(tables.event, kind="worker_silent") == []
    fleet.run()


def test_an_idle_worker_is_left_alone(fleet: SmallFleet) -> None:
    deaf(fleet)
    fleet.reconcile.run()
    assert fleet.rows(tables.event, kind="worker_silent") == []
