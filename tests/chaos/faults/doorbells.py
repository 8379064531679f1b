"""Faults of messages: doorbells that ring twice, ring for nothing, or are none.

They bite where a worker took the message and refused it. It says so in the events that Celery tells Flower, which are
listened to here while they ring: a message that was published and lies in a queue has proven nothing yet.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from celery import Celery
from kombu.entity import Queue
from kombu.messaging import Consumer

from contracts.doorbell import celery_settings, queue_of, queue_options
from orchestrator.ledger.ids import new_id
from tests.chaos.faults.registry import fault
from tests.chaos.stacks import Stack, eventually

REFUSED_SECONDS = 20.0
"""Within so long a worker takes what rings; what was in the queue before comes first."""
LISTEN_SECONDS = 0.3
WITH_ITS_REPORT = "AttemptFailed"
"""So a message fails whose attempt was run."""

Bell = tuple[str, str, tuple[object, ...]]
"""A task, the lane in whose queue it is put, and its arguments."""
Told = dict[str, str]
"""What workers said of messages, by the messages' ids."""


def _refused(stack: Stack, bells: list[Bell]) -> int:
    """Rings them all; answers how many were taken by a worker and refused."""
    app = Celery("fleet-chaos", set_as_current=False)
    app.conf.update(celery_settings(stack.broker_url))
    told: Told = {}
    rung: list[str] = []
    with suppress(OSError, *app.connection().connection_errors), _listening(app, told) as listen:
        for bell in bells:
            rung.append(_ring(app, stack.broker_url, *bell))
        until = time.monotonic() + REFUSED_SECONDS
        while not told.keys() >= set(rung) and time.monotonic() < until:
            listen()
    return sum(each in told for each in rung)


@contextmanager
def _listening(app: Celery, told: Told) -> Iterator[Callable[[], None]]:
    """Keeps what workers tell of messages that they refused, each time that somebody listens."""

    def succeeded(event: dict[str, Any]) -> None:
        if "not run: " in event["result"]:
            told[event["uuid"]] = event["result"]

    def failed(event: dict[str, Any]) -> None:
        if not event["exception"].startswith(WITH_ITS_REPORT):
            told[event["uuid"]] = event["exception"]

    with app.connection_for_read() as connection, connection.channel() as channel:
        handlers = {"task-succeeded": succeeded, "task-failed": failed}
        receiver = app.events.Receiver(channel, handlers)
        (consumer,) = receiver.get_consumers(partial(Consumer, channel), channel)

        def listen() -> None:
            with suppress(TimeoutError):
                connection.drain_events(timeout=LISTEN_SECONDS)

        with consumer:
            listen()  # on Redis the first look is what subscribes
            yield listen


def _ring(app: Celery, broker_url: str, task: str, lane: str, arguments: tuple[object, ...]) -> str:
    """Answers the message's id."""
    queue = Queue.from_dict(queue_of(lane), **queue_options(lane, broker_url))
    with app.connection_for_write() as connection, connection.channel() as channel:
        sent = app.send_task(task, args=arguments, queue=queue(channel), connection=connection, retry=False)
    return str(sent.id)


def _bells(attempts: list[Any]) -> list[Bell]:
    return [(row.lane, row.lane, (row.id,)) for row in attempts]


@fault("duplicate-doorbells")
def duplicate_doorbells(stack: Stack) -> int:
    """Doorbells of attempts that were claimed already ring again, and are refused."""
    claimed = (
        "SELECT id, lane FROM attempt WHERE state IN ('running', 'reported', 'settled') AND lane <> 'upkeep' "
        "ORDER BY id DESC LIMIT 20"
    )
    bells = eventually(lambda: _bells(stack.rows(claimed))) or []
    return _refused(stack, bells)


@fault("unknown-doorbells")
def unknown_doorbells(stack: Stack) -> int:
    """Doorbells of attempts that do not exist, and are refused."""
    return _refused(stack, [("noop", "noop", (new_id(),)) for _ in range(10)])


@fault("forged-doorbells")
def forged_doorbells(stack: Stack) -> int:
    """Messages that nobody of the fleet sends, other tasks and other arguments, are refused."""
    forged: list[Bell] = [
        ("os.system", "noop", ("true",)),
        ("noop", "noop", ()),
        ("noop", "noop", ({"attempt": "'; DROP TABLE job; --"},)),
        ("noop", "noop", ("x" * 100_000,)),
        ("draft", "noop", (None,)),
    ]
    return _refused(stack, forged)
