"""Relay: the only publisher. It rings the doorbells that dispatch has written down.

It runs beside the loop, in a thread of its own with its own timeouts, so that a hung broker delays neither
reports nor the lease. A doorbell rung twice, or not at all, costs latency only.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery import Celery
from kombu.entity import Queue
from sqlalchemy import delete, select

from contracts.doorbell import celery_settings, queue_of, queue_options
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.tables import doorbell

log = logging.getLogger(__name__)

BATCH = 200
PUBLISHERS = 4
POLL_SECONDS = 0.5
PAUSE_AFTER_FAILURE_SECONDS = 1.0


class Relay:
    """Publishes doorbells for as long as it runs."""

    def __init__(self, ledger: Ledger, broker_url: str, leads: Callable[[], bool]) -> None:
        """`leads` says whether this process leads: standbys ring nothing, or each doorbell would ring twice."""
        self._ledger = ledger
        self._leads = leads
        self._app = Celery("fleet-relay", set_as_current=False)
        self._app.conf.update(celery_settings(broker_url))
        self._broker_url = broker_url
        self._queues: dict[str, Queue] = {}
        self._publishers = ThreadPoolExecutor(PUBLISHERS, thread_name_prefix="relay")
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._failing = False

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
                self._failing = False
            except Exception as error:  # whatever a broker's client raises, the next try is the answer
                self._say_once(error)
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

    def _ring_all(self, rows: Sequence[Any]) -> None:
        with self._app.producer_pool.acquire(block=True, timeout=5) as producer:
            # Bound once for all: kombu would copy and bind the queue for every message.
            queues = {lane: self._queue(lane)(producer.channel) for lane in {row.lane for row in rows}}
            for row in rows:
                self._ring(producer, queues[row.lane], row)

    def _ring(self, producer: Any, queue: Queue, row: Any) -> None:
        self._app.send_task(
            row.lane,
            args=(row.attempt_id,),
            argsrepr=f"({row.label})",
            queue=queue,
            producer=producer,
            retry=False,
        )

    def _queue(self, lane: str) -> Queue:
        if lane not in self._queues:
            self._queues[lane] = Queue.from_dict(queue_of(lane), **queue_options(lane, self._broker_url))
        return self._queues[lane]

    def _say_once(self, error: Exception) -> None:
        if not self._failing:
            log.warning("the broker does not take doorbells (%s); trying until it does", error)
        self._failing = True
