"""The Celery app of a worker process: one task for each of its lanes, each the same doorbell."""

import importlib.metadata
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from celery import Celery, Task, signals

from contracts.doorbell import celery_settings, queue_of, queue_options
from contracts.lanes import Lane, Regime
from contracts.quiet import keep_quiet_while_away
from contracts.registry import handler_names
from orchestrator.door import Door, LedgerUnreachable, Pulse, WorkerCard, forget, listen
from workers.attempts import AttemptFailed, Attempts
from workers.fitness import UNFIT_IN_A_ROW, Fitness
from workers.heartbeat import Heartbeat
from workers.leaving import Leaving
from workers.settings import WorkerSettings
from workers.vendors.access import limits_readable, simulated_of
from workers.warming import warm_up

log = logging.getLogger(__name__)

DEAF = "this worker takes nothing from its broker although there is work"
UNFIT = f"this worker's last {UNFIT_IN_A_ROW} attempts failed of what it lacks, as the log says above"


@dataclass(frozen=True)
class WorkerPlan:
    """What a worker process is started with."""

    node: str
    lanes: tuple[Lane, ...]
    accounts: tuple[tuple[str, str], ...]
    """Of the catalog, by vendor and name."""
    slots: int
    broker_url: str
    heartbeat_seconds: float
    drain_seconds: float

    @property
    def regime(self) -> Regime:
        return self.lanes[0].regime

    @property
    def pool(self) -> str:
        """Threads where the work is waiting, processes where it is computing."""
        return "prefork" if self.regime is Regime.COMPUTING else "threads"


class Process:
    """What one operating-system process needs to work attempts off. Made after any fork, at first use."""

    def __init__(
        self, plan: WorkerPlan, open_door: Callable[[], Door], leaving: Leaving, fitness: Fitness
    ) -> None:
        self._plan = plan
        self._open_door = open_door
        self._leaving = leaving
        self._fitness = fitness
        self._lock = threading.Lock()
        self._attempts: Attempts | None = None
        self._pid = 0

    def attempts(self) -> Attempts:
        with self._lock:
            if self._attempts is None or self._pid != os.getpid():
                door = self._open_door()
                self._pid = os.getpid()
                self._attempts = Attempts(
                    door=door,
                    heartbeat=Heartbeat(door, self._plan.heartbeat_seconds),
                    settings=WorkerSettings(),
                    worker=f"{self._plan.node}/{self._pid}",
                    leaving=self._leaving,
                    fitness=self._fitness,
                )
            return self._attempts


def make_app(plan: WorkerPlan, open_door: Callable[[], Door]) -> Celery:
    """The app, with the tasks of the plan's lanes; it connects when its worker starts."""
    app = Celery("fleet", set_as_current=True)
    app.conf.update(celery_settings(plan.broker_url))
    app.conf.broker_transport_options = _without_redelivery(
        app.conf.broker_transport_options, plan.broker_url
    )
    app.conf.task_queues = {
        queue_of(lane.lane): queue_options(lane.lane, plan.broker_url) for lane in plan.lanes
    }
    worker_id, leaving, fitness = f"{plan.node}/{os.getpid()}", Leaving(plan.drain_seconds), Fitness()
    listen(app, worker_id)
    keep_quiet_while_away()
    process = Process(plan, open_door, leaving, fitness)
    for lane in plan.lanes:
        _add_task(app, lane, process)
    _announce(app, plan, open_door, worker_id, leaving, fitness)
    return app


def _without_redelivery(options: dict[str, Any], broker_url: str) -> dict[str, Any]:
    """On Redis, kombu would keep every doorbell a second time until it is acknowledged, for four commands each,
    and ring it again long after the ledger has had it rung anew."""
    return options if broker_url.startswith("amqp") else options | {"ack_emulation": False}


def _add_task(app: Celery, lane: Lane, process: Process) -> None:
    def ring(self: Task, attempt_id: str) -> str:
        return process.attempts().run(str(attempt_id))

    app.task(ring, name=lane.lane, bind=True, throws=(AttemptFailed,))


def _announce(
    app: Celery,
    plan: WorkerPlan,
    open_door: Callable[[], Door],
    worker_id: str,
    leaving: Leaving,
    fitness: Fitness,
) -> None:
    """Keeps the worker's row while its consumer runs, and begins to leave when it is told to. The parent process
    does it, in a thread."""
    stopping = threading.Event()

    def keep() -> None:
        warm_up(plan.lanes, plan.accounts, WorkerSettings())
        door, pulse, card = open_door(), Pulse(), _card(plan, worker_id)
        announced = False
        while not stopping.is_set():
            if fitness.lost:
                _leave(leaving, UNFIT)
            try:
                if not announced:
                    door.announce(card)
                    announced = True
                elif door.beat(worker_id, pulse.busy, pulse.took()):
                    _leave(leaving, DEAF)
            except LedgerUnreachable as error:
                log.warning("%s; trying again", error)
            except Exception:
                log.exception("the worker's row could not be kept; trying again")
            stopping.wait(plan.heartbeat_seconds)
        if announced:
            with suppress(LedgerUnreachable):
                door.leave(worker_id)
            with suppress(Exception):  # then the broker forgets it later
                forget(app, worker_id)

    thread = threading.Thread(target=keep, name="announce", daemon=True)

    def start(**_: Any) -> None:
        thread.start()

    def stop(**_: Any) -> None:
        leaving.begin()
        stopping.set()
        if thread.is_alive():  # it starts with the first connection to the broker
            thread.join(timeout=5)

    signals.worker_ready.connect(start, weak=False)
    signals.worker_shutting_down.connect(stop, weak=False)


def _card(plan: WorkerPlan, worker_id: str) -> WorkerCard:
    settings = WorkerSettings()
    return WorkerCard(
        worker_id,
        tuple(lane.lane for lane in plan.lanes),
        tuple(sorted(handler_names())),
        plan.slots,
        importlib.metadata.version("tuesday-fleet"),
        simulated_of({lane.model.vendor for lane in plan.lanes if lane.model}, settings),
        limits_readable(plan.accounts, settings),
    )


def _leave(leaving: Leaving, why: str) -> None:
    """Leaves, so that its supervisor starts it again."""
    if not leaving.begun:
        log.error("%s; it drains and leaves", why)
        leaving.begin()
        os.kill(os.getpid(), signal.SIGTERM)
