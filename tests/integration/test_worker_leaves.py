"""How a worker's process ends: told to stop it gives back what it holds, and deaf to its broker it leaves."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from redis import Redis

from contracts.doorbell import queue_of_worker
from contracts.states import AttemptState, SubtaskState
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from orchestrator.reconcile import Reconciler
from orchestrator.relay import Relay
from orchestrator.up.child import Spec
from orchestrator.up.ports import free_port
from orchestrator.up.statedir import StateDir
from orchestrator.up.supervisor import Supervisor
from tests.integration.brokers import Broker, nobody_answers, own_broker, wire
from tests.integration.ledgers import DATABASE_VARIABLE
from tests.integration.small_fleet import SmallFleet

HEARTBEAT_SECONDS, SILENT_SECONDS = 0.3, 3.0
AWAY_SECONDS = 8.0
"""How long the broker is away; Celery itself would by then try every six seconds only."""
Found = TypeVar("Found")


@pytest.fixture(autouse=True)
def one_ledger(ledger: Ledger) -> None:
    """It is the broker that is in question here, and each test waits for it a while."""
    if ledger.is_sqlite and os.environ.get(DATABASE_VARIABLE):
        pytest.skip("told on PostgreSQL")


def eventually(what: str, look: Callable[[], Found | None], seconds: float = 90.0) -> Found:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds:g} s")


def spec(fleet: SmallFleet, folder: Path, broker_url: str, lane: str, **env: str) -> Spec:
    catalog = Path(__file__).parent.parent / "bench" / "catalog"
    environment = os.environ | {
        "FLEET_DATABASE_URL": fleet.ledger.url.render_as_string(hide_password=False),
        "FLEET_STATE_DIR": str(folder),
        "FLEET_CATALOG": str(catalog),
        "FLEET_BROKER_URL": broker_url,
        "FLEET_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
        "FLEET_DRAIN_SECONDS": "1",
    }
    command = (sys.executable, "-W", "ignore", "-m", "workers", "--lanes", lane, "--slots", "2")
    return Spec("worker", command, environment | env, stage=1)


@contextmanager
def running(spec: Spec) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        spec.command, env=dict(spec.env), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def kept_of_workers(broker: Broker) -> list[str]:
    """The broker's keys that are of one worker alone."""
    return [key.decode() for key in Redis.from_url(broker.url).keys(f"*{queue_of_worker('')}*")]


def present(fleet: SmallFleet, pid: int) -> bool:
    return any(row.id.endswith(f"/{pid}") for row in fleet.rows(tables.worker))


def test_what_a_worker_cannot_end_in_time_goes_back_at_once_and_counts_as_nothing(
    fleet: SmallFleet, tmp_path: Path
) -> None:
    with own_broker(tmp_path / "state") as broker, nobody_answers() as (vendor, let_in):
        access = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{vendor}"}
        with running(spec(fleet, tmp_path, broker.url, "research", **access)) as process:
            eventually("its being there", lambda: present(fleet, process.pid))
            job_id = fleet.submit("summary")
            fleet.turn()
            (row,) = [row for row in fleet.rows(tables.worker) if row.id.endswith(f"/{process.pid}")]
            assert Relay(fleet.ledger, broker.url, lambda: True).publish() == 1
            assert let_in.acquire(timeout=30), "the vendor was never asked"
            assert kept_of_workers(broker) == [f"_kombu.binding.{queue_of_worker(row.id)}"]
            (held,) = fleet.attempts(job_id, "research[1]")
            assert held.state == AttemptState.RUNNING

            process.send_signal(signal.SIGTERM)
            told_at = time.monotonic()
            eventually("giving back", lambda: fleet.subtask(job_id, "research[1]").state == "reported")
            assert time.monotonic() - told_at < 10, "its lease is 30 s"
            assert process.wait(timeout=15) == 0
            assert fleet.row(tables.worker, id=row.id).stopped_at is not None
            assert kept_of_workers(broker) == []

    fleet.door.beat("hands")
    fleet.advance.run()
    research, (attempt,) = fleet.subtask(job_id, "research[1]"), fleet.attempts(job_id, "research[1]")
    assert (research.state, research.tries, research.crashes) == (SubtaskState.READY, 0, 0)
    assert research.why.startswith("interrupted: its worker was told to stop and gave it back")
    assert (attempt.code, attempt.ambiguous) == ("interrupted", True), (
        "it was asked, and nobody heard the answer"
    )
    fleet.run()
    assert fleet.job(job_id).state == "done"


def test_a_worker_that_lacks_a_library_leaves_and_costs_a_few_tries_alone(
    fleet: SmallFleet, tmp_path: Path
) -> None:
    fleet.door.leave("hands")
    package = tmp_path / "half-deployed" / "anthropic"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('no libssl.so.3')\n")
    path = {"PYTHONPATH": os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")])}
    with own_broker(tmp_path / "state") as broker:
        relay = Relay(fleet.ledger, broker.url, lambda: True)
        lacking = spec(fleet, tmp_path, broker.url, "research", ANTHROPIC_API_KEY="k", **path)
        with running(lacking) as process:
            eventually("its being there", lambda: present(fleet, process.pid))
            job_ids = [fleet.submit("summary") for _ in range(8)]

            def left() -> bool:
                fleet.turn()
                relay.publish()
                return process.poll() is not None

            eventually("its leaving", left)
            assert process.returncode == 0
            said = process.stderr.read() if process.stderr else ""

    assert "this worker's last 3 attempts failed of what it lacks" in said
    assert "ImportError: no libssl.so.3" in said
    failed = fleet.rows(tables.attempt, code="unfit_worker")
    assert 3 <= len(failed) < len(job_ids), "its other slot may have held more than one"

    fleet.hands.announce(tuple(fleet.catalog.lanes))

    def done() -> bool:
        fleet.run()
        return all(fleet.job(job_id).state == "done" for job_id in job_ids)

    eventually("a sound worker's doing all of it", done)


def test_a_worker_that_beats_and_hears_nothing_of_its_broker_is_found_and_started_again(
    fleet: SmallFleet, tmp_path: Path
) -> None:
    fleet.door.leave("hands")
    said: list[str] = []
    with own_broker(tmp_path / "state") as broker, wire(broker.port) as line:
        supervisor = Supervisor(StateDir.opened(tmp_path / "children"), said.append)
        deaf = spec(fleet, tmp_path, f"redis://127.0.0.1:{line.port}/0", "noop")
        (child,) = supervisor.start([deaf])
        relay = Relay(fleet.ledger, broker.url, lambda: True, HEARTBEAT_SECONDS, SILENT_SECONDS)
        reconcile = Reconciler(
            fleet.leadership,
            fleet.snapshots,
            {},
            fleet.dispatch.correct,
            heartbeat_seconds=HEARTBEAT_SECONDS,
            silent_seconds=SILENT_SECONDS,
        )
        try:
            first = child.pid
            assert first is not None
            eventually("its being there", lambda: present(fleet, first))
            _carried(fleet, relay)
            line.die()
            job_id = fleet.submit("fan")

            def silent() -> bool:
                _turn(fleet, relay, reconcile)
                return bool(fleet.rows(tables.event, kind="worker_silent"))

            eventually("its being found", silent)
            (told,) = fleet.rows(tables.event, kind="worker_silent")
            assert f"/{first} beats and has taken nothing" in told.sentence
            assert fleet.row(tables.worker, id=told.sentence.split()[1]).beat_at > told.at - 5
            eventually("being started again", lambda: child.pid not in (None, first))
            line.live()

            def done() -> bool:
                _turn(fleet, relay, reconcile)
                return bool(fleet.job(job_id).state == "done")

            eventually("working again", done, seconds=60)
            assert "it is started again" in said[0]
            assert len(fleet.rows(tables.event, kind="worker_silent")) == 1
        finally:
            supervisor.stop(in_a_hurry=lambda: True)


def _carried(fleet: SmallFleet, relay: Relay) -> None:
    """One job from end to end, so that the line is known to carry."""
    job_id = fleet.submit("fan")

    def done() -> bool:
        fleet.turn()
        relay.publish()
        return bool(fleet.job(job_id).state == "done")

    eventually("a first job", done)


def _turn(fleet: SmallFleet, relay: Relay, reconcile: Reconciler) -> None:
    for verb in (fleet.plan, fleet.advance, fleet.dispatch, reconcile):
        verb.run()
    relay.publish()
    relay.sing()


def test_work_goes_on_within_seconds_after_the_broker_is_back(fleet: SmallFleet, tmp_path: Path) -> None:
    fleet.door.leave("hands")
    with own_broker(tmp_path / "state") as broker:
        relay = Relay(fleet.ledger, broker.url, lambda: True, HEARTBEAT_SECONDS, SILENT_SECONDS)
        ringing = threading.Thread(target=relay.run, daemon=True)
        with running(spec(fleet, tmp_path, broker.url, "noop")) as process:
            eventually("its being there", lambda: present(fleet, process.pid))
            ringing.start()
            broker.kill()
            job_ids = [fleet.submit("fan") for _ in range(3)]
            until = time.monotonic() + AWAY_SECONDS
            while time.monotonic() < until:
                fleet.turn()
                time.sleep(0.2)
            assert fleet.rows(tables.doorbell) != [], "it was never away"

            broker.start()
            back_at = time.monotonic()

            def done() -> bool:
                fleet.turn()
                return all(fleet.job(job_id).state == "done" for job_id in job_ids)

            eventually("going on", done)
            took = time.monotonic() - back_at
            assert took < 5.0, f"it took {took:.1f} s"
            relay.stop()
            ringing.join(timeout=10)


def test_a_person_is_called_once_where_the_broker_takes_nothing_for_long(fleet: SmallFleet) -> None:
    fleet.submit("fan")
    fleet.turn()
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    # Its clock goes a hundred times faster, so that half a minute is over soon.
    relay = Relay(fleet.ledger, nobody, lambda: True, monotonic=lambda: 100 * time.monotonic())
    ringing = threading.Thread(target=relay.run, daemon=True)
    ringing.start()
    eventually("being called", lambda: fleet.rows(tables.escalation))
    time.sleep(2.5)
    relay.stop()
    ringing.join(timeout=10)
    (told,) = fleet.rows(tables.event, kind="stalled")
    assert "the broker has taken no doorbell for" in told.sentence
    assert "1 wait for it" in told.sentence
    assert len(fleet.rows(tables.escalation)) == 1
    fleet.run()


def test_a_ledger_that_is_away_is_not_laid_to_the_broker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = Ledger(f"sqlite:///{tmp_path}/nowhere/ledger.sqlite3")
    relay = Relay(away, "redis://127.0.0.1:1/0", lambda: True, monotonic=lambda: 100 * time.monotonic())
    ringing = threading.Thread(target=relay.run, daemon=True)
    ringing.start()
    eventually("saying so", lambda: "doorbells wait for it" in caplog.text)
    relay.stop()
    ringing.join(timeout=10)
    assert "the ledger is unreachable" in caplog.text and "the broker" not in caplog.text
