"""The one place where parts are plugged together: a function for every role, each blocking until told to stop."""

import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import REGISTRY

import beat_schedule
from contracts.catalog import Catalog
from orchestrator import purses, unsigned
from orchestrator.advance import Advancer
from orchestrator.answers import Answerer
from orchestrator.artifacts import ArtifactStore
from orchestrator.blocking import Suppliers
from orchestrator.catalog_files import load_catalog
from orchestrator.dispatch import Dispatcher
from orchestrator.door import Door
from orchestrator.gathering import Gatherer
from orchestrator.intake import Intake
from orchestrator.ledger import schema
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.leadership import Leadership
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.looking import Looker
from orchestrator.loop import Loop, Verbs
from orchestrator.plan import Planner
from orchestrator.reads.figures.collector import LedgerFigures
from orchestrator.recall import Recaller
from orchestrator.reconcile import Reconciler
from orchestrator.relay import Relay
from orchestrator.replay import Replayer
from orchestrator.settings import Settings
from orchestrator.telemetry import WhileLeading, configure_logging, serve_metrics
from orchestrator.wake import wake_for
from orchestrator.webhooks import Deliverer

log = logging.getLogger(__name__)

SWITCH_SECONDS = 0.0005
UPKEEP_LANE = beat_schedule.UPKEEP_QUEUE.removeprefix("lane.")


@dataclass(frozen=True)
class Parts:
    """What every role stands on."""

    settings: Settings
    ledger: Ledger
    catalog: Catalog
    store: ArtifactStore
    intake: Intake


def assemble(settings: Settings) -> Parts:
    """The parts by the settings; checks the catalog and the ledger's version, and connects to nothing else."""
    catalog = load_catalog(settings.catalog)
    ledger = Ledger(settings.ledger_url)
    store = ArtifactStore(settings.store_url)
    return Parts(settings, ledger, catalog, store, Intake(ledger, catalog, store, settings.webhook_allow))


def migrate(settings: Settings) -> str:
    """Brings the ledger to this code's version and answers it."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(settings.ledger_url)
    try:
        return schema.migrate(ledger)
    finally:
        ledger.close()


def run_orchestrator(settings: Settings, metrics_port: int | None = None) -> None:
    """The loop, with relay and webhooks beside it."""
    configure_logging("orchestrator")
    parts = assemble(settings)
    schema.check_version(parts.ledger)
    with parts.ledger.write() as connection:
        purses.seed(connection, parts.catalog, now(connection))
    unsigned.sign(parts.ledger)
    if metrics_port is not None:
        REGISTRY.register(WhileLeading(LedgerFigures(parts.ledger, parts.catalog)))
        serve_metrics(metrics_port)
    holder = f"{settings.node}/{os.getpid()}"
    leadership = Leadership(parts.ledger, holder, settings.leader_lease_seconds)
    relay = Relay(
        parts.ledger,
        settings.broker_url,
        lambda: leadership.leads,
        settings.heartbeat_seconds,
        settings.silent_seconds,
    )
    deliverer = Deliverer(parts.ledger, settings.webhook_allow, lambda: leadership.leads)
    loop = make_loop(parts, leadership, relay)
    _stop_on_signal(loop.stop, relay.stop, deliverer.stop)
    beside = [
        threading.Thread(target=relay.run, name="relay", daemon=True),
        threading.Thread(target=deliverer.run, name="webhooks", daemon=True),
    ]
    # The relay must not wait 5 ms, Python's default, for each of its turns beside the loop.
    sys.setswitchinterval(SWITCH_SECONDS)
    for thread in beside:
        thread.start()
    loop.run()


def make_loop(parts: Parts, leadership: Leadership, relay: Relay) -> Loop:
    """A loop over these parts."""
    snapshots = Snapshots()
    dispatcher = Dispatcher(leadership, parts.settings)
    verbs = Verbs(
        plan=Planner(leadership, snapshots),
        replay=Replayer(leadership, snapshots, parts.catalog),
        advance=Advancer(
            leadership,
            snapshots,
            dispatcher.learn,
            dispatcher.correct,
            Suppliers(parts.intake, parts.catalog.prerequisites),
        ),
        answer=Answerer(leadership, snapshots),
        recall=Recaller(leadership, snapshots, parts.settings),
        gather=Gatherer(parts.ledger, leadership, parts.catalog, parts.intake, parts.settings),
        dispatch=dispatcher,
        reconcile=Reconciler(
            leadership,
            snapshots,
            beat_schedule.CADENCE_SECONDS,
            dispatcher.correct,
            heartbeat_seconds=parts.settings.heartbeat_seconds,
            silent_seconds=parts.settings.silent_seconds,
        ),
    )
    look = Looker(parts.ledger).look
    return Loop(leadership, verbs, look, wake_for(parts.ledger), relay.wake)


def run_upkeep(settings: Settings, metrics_port: int | None = None) -> None:
    """The worker of the upkeep lane."""
    from orchestrator.upkeep.app import SLOTS, make_app
    from orchestrator.upkeep.duties import Duties
    from orchestrator.upkeep.ticker import Ticker

    configure_logging("upkeep")
    parts = assemble(settings)
    schema.check_version(parts.ledger)
    if metrics_port is not None:
        serve_metrics(metrics_port)
    node = f"{UPKEEP_LANE}@{settings.node}"
    door = Door(parts.ledger, parts.store, settings.lease_seconds)
    route = settings.state_dir / "escalations.log"
    duties = Duties(
        door, parts.ledger, parts.catalog, parts.intake, parts.store, route, f"{node}/{os.getpid()}"
    )
    ticker = Ticker(parts.ledger, parts.catalog, parts.intake, beat_schedule.CADENCE_SECONDS)
    app = make_app(settings.broker_url, UPKEEP_LANE, beat_schedule.TICK_TASK, node, door, duties, ticker)
    app.worker_main(
        [
            "worker",
            f"--hostname={node}",
            "--pool=threads",
            f"--concurrency={SLOTS}",
            "--without-gossip",
            "--without-mingle",
            "--task-events",
            "--loglevel=WARNING",
        ]
    )


def run_beat(settings: Settings) -> None:
    """Celery beat on `beat_schedule.py`; its memory of last runs may be lost without harm."""
    from celery import Celery

    from contracts.doorbell import celery_settings, queue_options

    configure_logging("beat")
    app = Celery("fleet-beat", set_as_current=True)
    app.conf.update(celery_settings(settings.broker_url))
    options = queue_options(UPKEEP_LANE, settings.broker_url)
    app.conf.task_queues = {beat_schedule.UPKEEP_QUEUE: options}
    app.conf.beat_schedule = beat_schedule.beat_schedule
    with tempfile.TemporaryDirectory(prefix="fleet-beat-") as memory:
        app.Beat(schedule=f"{memory}/schedule", loglevel="WARNING", quiet=True).run()


def run_flower(settings: Settings, port: int) -> None:
    """Flower, read-only, on loopback."""
    from celery import Celery

    from contracts.doorbell import celery_settings

    configure_logging("flower")
    app = Celery("fleet-flower", set_as_current=True)
    app.conf.update(celery_settings(settings.broker_url))
    app.start(["flower", f"--port={port}", "--address=127.0.0.1", "--read_only=True", "--logging=warning"])


def _stop_on_signal(*stops: Callable[[], None]) -> None:
    def stop(*_: object) -> None:
        for each in stops:
            each()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
