"""Upkeep: ticks become jobs once, looks find what there is, and what they open is linked to its cause."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import update

import beat_schedule
from contracts.artifacts import ArtifactRef
from orchestrator.artifacts import ArtifactStore, StoreUnreachable
from orchestrator.cancelling import request_cancel
from orchestrator.escalations import call
from orchestrator.inbox import acknowledge
from orchestrator.ledger import tables
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.ticks import looked, note_due, slot_of
from orchestrator.up.responder import follow
from orchestrator.upkeep import looks
from orchestrator.upkeep.app import each_by_itself
from orchestrator.upkeep.duties import Duties, DutyFailed
from orchestrator.upkeep.looks import in_sample
from orchestrator.upkeep.ticker import Ticker
from tests.integration.small_fleet import SmallFleet, age, insert_rows, objects

FAR = 1e8
"""A cadence of which no boundary comes round while a test runs."""


class Listening(threading.Event):
    """Stops the responder, says when it began to listen, and keeps its pauses short."""

    def __init__(self) -> None:
        super().__init__()
        self.listens = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.listens.set()
        return super().wait(0.02)


def ticker(fleet: SmallFleet, *names: str) -> Ticker:
    """A ticker that looks after nothing but what is already due."""
    return Ticker(fleet.ledger, fleet.catalog, fleet.intake, dict.fromkeys(names, FAR))


def tick(fleet: SmallFleet, name: str, slot: float) -> None:
    """One firing of the clock, as beat or the reconciler writes it."""
    with fleet.ledger.read() as connection:
        at = now(connection)
    insert_rows(fleet.ledger, tables.tick, {"name": name, "slot": slot, "seen_at": at})


def outcomes(fleet: SmallFleet, name: str) -> list[str]:
    return [row.outcome for row in fleet.rows(tables.tick, name=name)]


@pytest.fixture
def published(fleet: SmallFleet) -> Iterator[str]:
    """A brief that is done, and whose id lies in the sample that is read again."""
    fleet.hands.will("review", objects("the description is too short"))
    job_id = fleet.submit("brief")
    while not in_sample(job_id, 25):
        request_cancel(fleet.ledger, job_id, "the test")
        fleet.plan.run()
        job_id = fleet.submit("brief")
    fleet.run()
    fleet.decide(job_id, "approve")
    fleet.run()
    assert fleet.job(job_id).state == "done"
    yield job_id


def test_a_slot_is_noted_once_whoever_notices_it(fleet: SmallFleet) -> None:
    cadences = beat_schedule.CADENCE_SECONDS
    for at in (1000.0, 1000.5, 1059.9, 1060.0):
        with fleet.ledger.write() as connection:
            note_due(connection, cadences, at)
    assert [row.slot for row in fleet.rows(tables.tick, name="stalled-work")] == [960.0, 1020.0]
    assert [row.slot for row in fleet.rows(tables.tick, name="escalation-drill")] == [0.0]
    assert slot_of(1059.9, 60.0) == 1020.0


def test_two_tickers_at_once_make_one_job(fleet: SmallFleet) -> None:
    start = threading.Barrier(4)

    def look(number: int) -> int:
        start.wait()
        return ticker(fleet, "escalation-drill").run()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(4)))
    (job,) = fleet.rows(tables.job)
    assert (job.workflow, job.purpose, job.requested_by) == (
        "escalation-drill",
        "maintenance",
        "clock:escalation-drill",
    )
    row = fleet.row(tables.tick)
    assert (row.job_id, row.outcome) == (job.id, "made 1 job(s)")
    fleet.run()


def test_a_tick_whose_looker_died_before_it_wrote_that_down_is_looked_after_again(fleet: SmallFleet) -> None:
    fleet.submit("fan")
    fleet.run()
    tick(fleet, "health-snapshot", 0.0)
    assert ticker(fleet).run() == 1
    (made,) = fleet.rows(tables.job, workflow="health-snapshot")
    with fleet.ledger.write() as connection:
        connection.execute(update(tables.tick).values(looked_at=None, job_id=None, outcome=""))
    fleet.submit("fan")
    fleet.run()

    ticker(fleet).run()

    assert fleet.row(tables.tick).job_id == made.id
    assert len(fleet.rows(tables.job, workflow="health-snapshot")) == 1


def test_a_look_that_raises_keeps_nobody_from_the_others_and_is_taken_again(fleet: SmallFleet) -> None:
    fleet.submit("fan")
    fleet.run()
    broken = fleet.catalog.ticks["health-snapshot"].model_copy(update={"look": "stalled", "settings": {}})
    ticks = {**fleet.catalog.ticks, "health-snapshot": broken}
    tick(fleet, "health-snapshot", 0.0)
    tick(fleet, "escalation-drill", 0.0)
    looking = Ticker(fleet.ledger, fleet.catalog.model_copy(update={"ticks": ticks}), fleet.intake, {})
    assert looking.run() == 1
    assert fleet.row(tables.tick, name="health-snapshot").looked_at is None
    assert ticker(fleet).run() == 1, "mended, it is taken again"
    fleet.run()


def test_a_route_that_cannot_be_told_keeps_the_clock_from_nothing(fleet: SmallFleet, tmp_path: Path) -> None:
    with fleet.ledger.write() as connection:
        call(connection, now(connection), "the test", "nobody can be told", None)
    tick(fleet, "escalation-drill", 0.0)
    (tmp_path / "no-folder").write_text("")
    log = tmp_path / "no-folder" / "escalations.log"
    mute = Duties(fleet.door, fleet.ledger, fleet.catalog, fleet.intake, fleet.store, log, "duties")
    with pytest.raises(OSError):
        mute.tell()
    each_by_itself(mute.tell, ticker(fleet).run)
    assert outcomes(fleet, "escalation-drill") == ["made 1 job(s)"]
    fleet.run()


class FullStore(ArtifactStore):
    def put(self, *_: object, **__: object) -> ArtifactRef:
        raise StoreUnreachable("the artifact store is unreachable: the disk is full")


@pytest.mark.parametrize(("lacks", "code"), [("ledger", "interrupted"), ("store", "store_unreachable")])
def test_a_duty_whose_ledger_or_store_is_away_is_done_again(
    fleet: SmallFleet, tmp_path: Path, lacks: str, code: str
) -> None:
    fleet.submit("fan")
    fleet.run()
    tick(fleet, "health-snapshot", 0.0)
    assert ticker(fleet).run() == 1
    fleet.turn()
    (bell,) = fleet.hands.doorbells()
    ledger = Ledger(f"sqlite:///{tmp_path}/nowhere/ledger.sqlite3") if lacks == "ledger" else fleet.ledger
    store = FullStore(fleet.settings.store_url) if lacks == "store" else fleet.store
    log = fleet.escalation_log
    with pytest.raises(DutyFailed, match="is unreachable: "):
        Duties(fleet.door, ledger, fleet.catalog, fleet.intake, store, log, "duties").run(bell.attempt_id)
    fleet.turn()
    with fleet.ledger.write() as connection:
        connection.execute(update(tables.subtask).values(not_before=None))
    fleet.run()
    (made,) = fleet.rows(tables.job, workflow="health-snapshot")
    assert made.state == "done"
    assert {row.code for row in fleet.rows(tables.attempt, job_id=made.id)} == {code, None}


def test_a_second_look_does_not_overwrite_what_came_of_the_first(fleet: SmallFleet, published: str) -> None:
    tick(fleet, "re-review", 0.0)
    with fleet.ledger.read() as connection:
        assert looks.closed_work(connection, fleet.catalog.ticks["re-review"], now(connection))
    assert ticker(fleet).run() == 1
    before = fleet.row(tables.tick)
    with fleet.ledger.write() as connection:
        looked(connection, before, "nothing to do", None, before.looked_at + 1)
    assert fleet.row(tables.tick) == before


def test_after_a_long_absence_each_tick_is_looked_after_once(fleet: SmallFleet) -> None:
    fleet.submit("fan")
    fleet.run()
    for slot in range(20):
        tick(fleet, "health-snapshot", 300.0 * slot)
        tick(fleet, "escalation-drill", 21600.0 * slot)
    tick(fleet, "unheard-of", 0.0)

    assert ticker(fleet).run() == 2

    assert len(fleet.rows(tables.job, purpose="maintenance")) == 2
    newest = fleet.row(tables.tick, name="health-snapshot", slot=5700.0)
    assert newest.job_id is not None
    assert set(outcomes(fleet, "health-snapshot")[:-1]) == {"passed over: a later slot is due"}
    assert outcomes(fleet, "unheard-of") == ["the catalog has no such tick"]
    assert ticker(fleet).run() == 0
    fleet.run()


def test_a_snapshot_is_made_once_after_something_moved_and_not_again(fleet: SmallFleet) -> None:
    with fleet.ledger.read() as connection:
        slot = now(connection) - 2.0
    tick(fleet, "health-snapshot", slot)
    assert ticker(fleet).run() == 0
    assert outcomes(fleet, "health-snapshot") == ["nothing to do"]

    fleet.submit("fan")
    fleet.run()
    tick(fleet, "health-snapshot", slot + 1.0)
    assert ticker(fleet).run() == 1
    fleet.run()
    tick(fleet, "health-snapshot", slot + 2.0)
    assert ticker(fleet).run() == 0, "the job of the snapshot itself is no activity"

    (snapshot,) = fleet.rows(tables.job, workflow="health-snapshot")
    assert (snapshot.state, snapshot.result["facts"]["jobs done"]) == ("done", 1)
    assert {row.purpose for row in fleet.rows(tables.attempt, job_id=snapshot.id)} == {"maintenance"}


def test_an_idle_hour_costs_no_token(fleet: SmallFleet, published: str) -> None:
    """Every tick fires as often as an hour brings it, beside a fleet that has worked and rests. What was published
    may be read again once, in the hour before."""

    def an_hour(hours_ago: int) -> set[str]:
        with fleet.ledger.read() as connection:
            begin = now(connection) - 3600.0 * hours_ago
        for name, cadence in beat_schedule.CADENCE_SECONDS.items():
            for turn in range(max(1, int(3600 / cadence))):
                tick(fleet, name, begin + turn * cadence)
                ticker(fleet).run()
        fleet.run()
        return {row.id for row in fleet.rows(tables.attempt) if row.input_tokens or row.output_tokens}

    before = an_hour(2)
    assert an_hour(1) == before
    assert len(fleet.rows(tables.tick, name="stalled-work")) == 120


def test_work_that_waits_too_long_is_told_once(fleet: SmallFleet) -> None:
    fleet.hands.announce(("upkeep", "research", "compute"))
    stuck = fleet.submit("fan")
    fleet.run()
    tick(fleet, "stalled-work", 0.0)
    assert ticker(fleet).run() == 0
    opening = fleet.subtask(stuck, "open")
    age(fleet.ledger, tables.subtask, opening.id, ready_at=400.0)
    for slot in (60.0, 120.0):
        tick(fleet, "stalled-work", slot)
        assert ticker(fleet).run() == 1, "the first was not worked off yet"
    fleet.run()

    (told,) = fleet.rows(tables.event, kind="stalled")
    assert (told.job_id, told.subtask_id) == (stuck, opening.id)
    (called,) = fleet.rows(tables.escalation)
    assert (called.drill, called.route) == (False, "log")
    assert json.loads(fleet.escalation_log.read_text())["escalation"] == called.id
    for slot in (180.0, 240.0):
        tick(fleet, "stalled-work", slot)
        assert ticker(fleet).run() == 0


def test_questions_and_drills_that_nobody_answers_are_told_once(fleet: SmallFleet) -> None:
    asking = fleet.submit("brief")
    fleet.run()
    ticker(fleet, "escalation-drill").run()
    fleet.run()
    (drill,) = fleet.rows(tables.escalation)
    (asked,) = fleet.rows(tables.approval)
    age(fleet.ledger, tables.approval, asked.id, asked_at=90_000.0)
    age(fleet.ledger, tables.escalation, drill.id, opened_at=200.0)
    tick(fleet, "stalled-work", 60.0)
    assert ticker(fleet).run() == 1
    fleet.run()

    (findings,) = fleet.rows(tables.job, workflow="stalled-work")
    assert findings.result["facts"]["subjects"] == 2
    assert {row.subtask_id for row in fleet.rows(tables.event, kind="stalled")} == {
        asked.subtask_id,
        drill.id,
    }
    tick(fleet, "stalled-work", 120.0)
    assert ticker(fleet).run() == 0
    request_cancel(fleet.ledger, asking, "the test")
    fleet.run()


def test_a_question_whose_job_was_cancelled_is_no_late_question(fleet: SmallFleet) -> None:
    job_id = fleet.submit("brief")
    fleet.run()
    (asked,) = fleet.rows(tables.approval)
    age(fleet.ledger, tables.approval, asked.id, asked_at=90_000.0)
    request_cancel(fleet.ledger, job_id, "bob")
    fleet.run()
    tick(fleet, "stalled-work", 60.0)
    assert ticker(fleet).run() == 0


def test_closed_work_is_read_again_and_a_flaw_opens_linked_rework(fleet: SmallFleet, published: str) -> None:
    fleet.hands.will("audit", objects("a statement says more than its claim"))
    tick(fleet, "re-review", 900.0)
    assert ticker(fleet).run() == 1
    fleet.run()

    (review,) = fleet.rows(tables.job, workflow="re-review")
    assert (review.origin, review.state, review.purpose) == (published, "done", "maintenance")
    (audit,) = fleet.handed("audit")
    assert audit.route is not None and audit.route.vendor == "google"
    (draft,) = [item for item in audit.context if item.name == "draft"]
    approved = fleet.row(tables.approval, job_id=published).digest
    assert draft.artifact is not None and draft.artifact.digest == approved
    (again,) = fleet.rows(tables.job, workflow="brief", purpose="rework")
    assert (again.origin, again.tenant, again.requested_by) == (published, "acme", "upkeep")
    assert "objects with 1 finding(s): a statement says more than its claim" in again.reason
    assert again.id in review.result["text"]
    assert fleet.job(published).state == "done", "what ended stays ended"
    assert again.state == "awaiting_approval"
    assert {row.purpose for row in fleet.rows(tables.subtask, job_id=again.id)} == {"rework"}

    tick(fleet, "re-review", 1800.0)
    assert ticker(fleet).run() == 0


def test_closed_work_that_holds_is_left_alone(fleet: SmallFleet, published: str) -> None:
    tick(fleet, "re-review", 900.0)
    ticker(fleet).run()
    fleet.run()
    (review,) = fleet.rows(tables.job, workflow="re-review")
    assert review.result["text"] == f"job {published} holds: approves with 0 finding(s)"
    assert fleet.rows(tables.job, purpose="rework") == []


def test_a_drill_walks_the_whole_way_to_somebody_who_acknowledges_it(fleet: SmallFleet) -> None:
    stopping, heard = Listening(), threading.Event()

    def respond(escalation_id: str) -> None:
        acknowledge(fleet.ledger, escalation_id, by="the responder")
        heard.set()

    follower = threading.Thread(target=follow, args=(fleet.escalation_log, respond, stopping), daemon=True)
    follower.start()
    assert stopping.listens.wait(timeout=10)
    ticker(fleet, "escalation-drill").run()
    fleet.run()
    assert heard.wait(timeout=10)
    stopping.set()
    follower.join(timeout=10)

    (drill,) = fleet.rows(tables.escalation)
    assert (drill.drill, drill.acknowledged_by) == (True, "the responder")
    assert json.loads(fleet.escalation_log.read_text())["escalation"] == drill.id
    (told,) = fleet.rows(tables.event, kind="acknowledged")
    assert (told.actor, told.job_id) == ("the responder", drill.job_id)


def test_a_real_escalation_is_left_to_people(fleet: SmallFleet) -> None:
    lines = [{"escalation": "one", "drill": False}, "no JSON at all", {"escalation": "two", "drill": True}]
    stopping, acknowledged = Listening(), threading.Event()
    heard: list[str] = []

    def respond(escalation_id: str) -> None:
        heard.append(escalation_id)
        acknowledged.set()

    follower = threading.Thread(target=follow, args=(fleet.escalation_log, respond, stopping), daemon=True)
    follower.start()
    assert stopping.listens.wait(timeout=10)
    with fleet.escalation_log.open("a") as route:
        for line in lines:
            route.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
    assert acknowledged.wait(timeout=10)
    stopping.set()
    follower.join(timeout=10)
    assert heard == ["two"]


def test_a_duty_that_raises_is_reported_and_ends_as_a_dead_letter(fleet: SmallFleet) -> None:
    job_id = fleet.submit("fan")
    ticker(fleet, "escalation-drill").run()
    fleet.escalation_log.mkdir()
    with pytest.raises(DutyFailed, match="the operation raised IsADirectoryError"):
        fleet.run()
    fleet.run()

    (letter,) = fleet.rows(tables.dead_letter)
    assert (letter.code, letter.lane) == ("handler_error", "upkeep")
    assert fleet.job(job_id).state == "done"
