"""The upkeep process: a Celery worker whose messages say «look now», and a look of its own for those lost."""

import importlib.metadata
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import Celery, signals

from contracts.doorbell import celery_settings, queue_of, queue_options
from contracts.quiet import keep_quiet_while_away
from contracts.registry import handler_names
from orchestrator.door import Door, Pulse, WorkerCard, forget, listen
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.upkeep.duties import Duties, DutyFailed
from orchestrator.upkeep.ticker import Ticker

log = logging.getLogger(__name__)

SLOTS = 2
LOOK_EVERY_SECONDS = 5.0


def make_app(
    broker_url: str, lane: str, tick_task: str, node: str, door: Door, duties: Duties, ticker: Ticker
) -> Celery:
    """The app of the upkeep lane; it connects when its worker starts."""
    app = Celery("fleet-upkeep", set_as_current=True)
    app.conf.update(celery_settings(broker_url))
    app.conf.task_queues = {queue_of(lane): queue_options(lane, broker_url)}
    worker_id = f"{node}/{os.getpid()}"
    listen(app, worker_id)

    def ring(attempt_id: str) -> str:
        return duties.run(str(attempt_id))

    def tick(name: str) -> str:
        return f"{name}: {ticker.run()} job(s) made"

    app.task(ring, name=lane, throws=(DutyFailed,))
    app.task(tick, name=tick_task)
    keep_quiet_while_away()
    _keep(app, worker_id, lane, door, duties, ticker)
    return app


def each_by_itself(*acts: Callable[[], object]) -> None:
    """Does all of these acts, in order; one that raises keeps none behind it from its turn."""
    for act in acts:
        try:
            act()
        except LedgerUnreachable as error:
            log.warning("%s; trying again", error)
        except Exception:
            log.exception("upkeep could not do all of its round; it is done again")


def _keep(app: Celery, worker_id: str, lane: str, door: Door, duties: Duties, ticker: Ticker) -> None:
    """Announces the worker, tells whom the fleet calls, and looks at the clock even where no message comes."""
    stopping = threading.Event()
    version = importlib.metadata.version("tuesday-fleet")
    card = WorkerCard(worker_id, (lane,), tuple(sorted(handler_names())), SLOTS, version)

    def keep() -> None:
        pulse, announced = Pulse(), False

        def be_present() -> None:
            nonlocal announced
            if not announced:
                door.announce(card)
                announced = True
            elif door.beat(worker_id, pulse.busy, pulse.took()):
                log.error("upkeep takes nothing from its broker although there is work; it leaves")
                os._exit(1)  # its supervisor starts it again

        while not stopping.is_set():
            each_by_itself(be_present, duties.tell, ticker.run)
            stopping.wait(LOOK_EVERY_SECONDS)
        if announced:
            with suppress(LedgerUnreachable):
                door.leave(worker_id)
            with suppress(Exception):  # then the broker forgets it later
                forget(app, worker_id)

    thread = threading.Thread(target=keep, name="upkeep", daemon=True)

    def start(**_: Any) -> None:
        thread.start()

    def stop(**_: Any) -> None:
        stopping.set()
        if thread.is_alive():  # it starts with the first connection to the broker
            thread.join(timeout=5)

    signals.worker_ready.connect(start, weak=False)
    signals.worker_shutting_down.connect(stop, weak=False)
