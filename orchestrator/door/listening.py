"""Listening: how a Celery process of ours hears its doorbells, and shows that it does.

A connection proves nothing: what a process took from its broker does. Every process therefore consumes, beside the
queues of its lanes, one of its own, on which the relay rings canaries.
"""

from functools import partial
from typing import Any

from celery import Celery
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.entity import Queue

from contracts.doorbell import CANARY, queue_of_worker, worker_queue_options

KNOCK_EVERY_SECONDS = 1.0


class Listening(Consumer):
    """Takes doorbells, and leaves out Celery's delayed delivery: on RabbitMQ it would declare 28 quorum queues,
    and nothing is ever delayed in the broker. A broker that is away is tried every second; Celery would try more
    and more rarely, and the work would wait for half a minute after the broker is back."""

    class Blueprint(Consumer.Blueprint):
        default_steps = tuple(
            step for step in Consumer.Blueprint.default_steps if not step.endswith(":DelayedDelivery")
        )

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=KNOCK_EVERY_SECONDS,
            interval_step=0,
            interval_max=KNOCK_EVERY_SECONDS,
        )
        return super().ensure_connected(conn)


def listen(app: Celery, worker_id: str) -> None:
    """Has the app take doorbells so, and canaries from a queue of its own."""
    app.conf.worker_consumer = Listening
    app.conf.task_queues |= {queue_of_worker(worker_id): worker_queue_options(worker_id)}
    app.task(_sing, name=CANARY)


def forget(app: Celery, worker_id: str) -> None:
    """Takes away what a broker of Redis keeps of a worker that leaves: its queue, and the set that says where that
    is bound, which would stay for an hour, or for good where no other worker is left to sweep it. RabbitMQ drops such
    a queue by itself, and would interrupt whoever still reads it."""
    if app.conf.broker_url.startswith("amqp"):
        return
    queue = Queue.from_dict(queue_of_worker(worker_id), **worker_queue_options(worker_id))
    with app.connection_for_write() as connection:
        bound = queue(connection.default_channel)
        bound.declare()  # a channel takes away only what it has bound itself
        bound.delete()


def _sing() -> str:
    return "heard"


class Pulse:
    """What this process took from its broker, as its parent process counts it, whatever the pool."""

    def __init__(self) -> None:
        self._taken = 0

    @property
    def busy(self) -> int:
        """Slots that are at something now."""
        return len(state.active_requests)

    def took(self) -> bool:
        """Whether any slot has taken anything since this was last asked."""
        before, self._taken = self._taken, state.all_total_count[0]
        return self._taken != before
