"""Relay: the only publisher. It rings the doorbells that dispatch has written down.

It runs beside the loop, in a thread of its own with its own timeouts, so that a hung broker delays neither
reports nor the lease. A doorbell rung twice, or not at all, costs latency only. Where the broker takes none for long,
a person is called, once for each absence. Workers that were not heard for a while are rung a canary.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery import Celery
from kombu.entity import Queue
from sqlalchemy import delete, func, select

from contracts.doorbell import (
    CANARY,
    celery_settings,
    queue_of,
    queue_of_worker,
    queue_options,
    worker_queue_options,
)
from orchestrator import escalations, liveness
from orchestrator.ledger import events
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger, LedgerUnreachable
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.tables import doorbell

log = logging.getLogger(__name__)

ACTOR = "orchestrator.relay"
BATCH = 200
PUBLISHERS = 4
POLL_SECONDS = 0.5
PAUSE_AFTER_FAILURE_SECONDS = 1.0
CONFIRM_SECONDS = 10.0
"""How long RabbitMQ may take to confirm a message; without a bound one that hangs would hold the relay for ever."""
LOOK_FOR_UNHEARD_SECONDS = 5.0
ALARM_SECONDS = 30.0
"""Of doorbells that the broker did not take for so long a person is told."""


class Relay:
    """Publishes doorbells for as long as it runs."""

    def __init__(
        self,
        ledger: Ledger,
        broker_url: str,
        leads: Callable[[], bool],
        heartbeat_seconds: float = 5.0,
        silent_seconds: float = 90.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`leads` says whether this process leads: standbys ring nothing, or each doorbell would ring twice."""
        self._ledger = ledger
        self._leads = leads
        self._heartbeat_seconds = heartbeat_seconds
        self._silent_seconds = silent_seconds
        self._monotonic = monotonic
        self._app = Celery("fleet-relay", set_as_current=False)
        self._app.conf.update(celery_settings(broker_url))
        self._broker_url = broker_url
        self._queues: dict[str, Queue] = {}
        self._publishers = ThreadPoolExecutor(PUBLISHERS, thread_name_prefix="relay")
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._failing_since: float | None = None
        self._alarmed = False
        self._looked_at = float("-inf")

    def wake(self) -> None:
        """Says that there is something to publish."""
        self._woken.set()

    def stop(self) -> None:
        self._stopping.set()
        self._woken.set()

    def run(self) -> None:
        """Publishes until stopped."""
        while not self._stopping.is_set():
            self._woken.wait(POLL_SECONDS)
            self._woken.clear()
            if not self._leads():
                continue
            try:
                while self.publish():
                    pass
                self.sing()
                self._failing_since, self._alarmed = None, False
            except LedgerUnreachable as away:  # which says nothing of the broker
                log.warning("%s; doorbells wait for it", away)
                self._stopping.wait(PAUSE_AFTER_FAILURE_SECONDS)
            except Exception as error:  # whatever a broker's client raises, the next try is the answer
                self._tell(error)
                self._stopping.wait(PAUSE_AFTER_FAILURE_SECONDS)

    def publish(self) -> int:
        """Publishes one batch and answers how many doorbells were rung."""
        with self._ledger.read() as connection:
            rows = connection.execute(select(doorbell).order_by(doorbell.c.seq).limit(BATCH)).all()
        if not rows:
            return 0
        # A share for each publisher: on a busy machine most of a doorbell's time is waiting for the broker's answer.
        list(self._publishers.map(self._ring_all, [rows[n::PUBLISHERS] for n in range(PUBLISHERS)]))
        with self._ledger.write() as connection:
            connection.execute(delete(doorbell).where(doorbell.c.seq.in_([row.seq for row in rows])))
        return len(rows)

    def sing(self) -> None:
        """Rings a canary for every worker that was not heard for a while; looks for them every few seconds."""
        if self._monotonic() - self._looked_at < LOOK_FOR_UNHEARD_SECONDS:
            return
        self._looked_at = self._monotonic()
        with self._ledger.read() as connection:
            unheard = liveness.unheard(
                connection, now(connection), self._heartbeat_seconds, self._silent_seconds
            )
        if not unheard:
            return
        with self._app.producer_pool.acquire(block=True, timeout=5) as producer:
            for worker_id in unheard:
                queue = Queue.from_dict(queue_of_worker(worker_id), **worker_queue_options(worker_id))
                self._send(producer, queue, CANARY, ())
        with self._ledger.write() as connection:
            liveness.rang(connection, unheard)

    def _ring_all(self, rows: Sequence[Any]) -> None:
        with self._app.producer_pool.acquire(block=True, timeout=5) as producer:
            # Bound once for all: kombu would copy and bind the queue for every message.
            queues = {lane: self._queue(lane)(producer.channel) for lane in {row.lane for row in rows}}
            for row in rows:
                self._ring(producer, queues[row.lane], row)

    def _ring(self, producer: Any, queue: Queue, row: Any) -> None:
        self._send(producer, queue, row.lane, (row.attempt_id,), argsrepr=f"({row.label})")

    def _send(
        self, producer: Any, queue: Queue, task: str, arguments: tuple[str, ...], **options: Any
    ) -> None:
        self._app.send_task(
            task,
            args=arguments,
            queue=queue,
            producer=producer,
            retry=False,
            confirm_timeout=CONFIRM_SECONDS,
            **options,
        )

    def _queue(self, lane: str) -> Queue:
        if lane not in self._queues:
            self._queues[lane] = Queue.from_dict(queue_of(lane), **queue_options(lane, self._broker_url))
        return self._queues[lane]

    def _tell(self, error: Exception) -> None:
        """Logs the first failure of an absence, and calls a person where it lasts."""
        if self._failing_since is None:
            self._failing_since = self._monotonic()
            log.warning("the broker does not take doorbells (%s); trying until it does", error)
        lasted = self._monotonic() - self._failing_since
        if lasted >= ALARM_SECONDS and not self._alarmed:
            try:
                self._alarmed = self.alarm(lasted, error)
            except LedgerUnreachable as away:
                log.warning("%s; nobody is called yet", away)

    def alarm(self, seconds: float, error: Exception) -> bool:
        """Calls a person, if any doorbell waits for the broker; answers whether it did."""
        with self._ledger.write() as connection:
            waiting = connection.execute(select(func.count()).select_from(doorbell)).scalar_one()
            if not waiting:
                return False
            sentence = (
                f"the broker has taken no doorbell for {seconds:.0f} s, and {waiting} wait for it: {error}"
            )
            at = now(connection)
            events.record(connection, Event(at, EventKind.STALLED, ACTOR, sentence=sentence))
            escalations.call(connection, at, ACTOR, sentence)
        return True
