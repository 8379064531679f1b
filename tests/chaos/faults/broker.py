"""Faults of the broker, and of the way to it."""

import base64
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.faults.registry import fault
from tests.chaos.stacks import AWAY_SECONDS, HUNG_SECONDS, WAITING, Stack, eventually, send

STILL_SECONDS = 1.0
REFUSED_SECONDS = 20.0
"""Within so long a broker that is full is asked for more."""
FULL_SECONDS = 2.0
"""So long its memory stays full after it first refused anything."""


def _queued(stack: Stack) -> list[str]:
    """The attempts whose doorbells lie in a queue."""
    assert stack.broker is not None
    with stack.broker.client() as broker:
        queues = [key for key in broker.scan_iter("lane.*") if broker.type(key) == b"list"]
        return [
            found for queue in queues for message in broker.lrange(queue, 0, -1) for found in _rung(message)
        ]


def _rung(message: bytes) -> list[str]:
    try:
        return [str(json.loads(base64.b64decode(json.loads(message)["body"]))[0][0])]
    except (ValueError, LookupError, TypeError):
        return []


@contextmanager
def _standing_still(stack: Stack) -> Iterator[None]:
    pids = [pid for role in WAITING if (pid := stack.signal(role, signal.SIGSTOP))]
    try:
        yield
    finally:
        for pid in pids:
            send(pid, signal.SIGCONT)


@fault("flush", "broker")
def flush(stack: Stack) -> int:
    """FLUSHALL while doorbells lie in the queues."""

    def flushed() -> list[str]:
        # Between two looks they go on for a moment: what was to ring may need what they hold, be it SQLite's lock.
        with _standing_still(stack):
            time.sleep(STILL_SECONDS)
            return _flushed(stack)

    return len(eventually(flushed, 20) or [])


def _flushed(stack: Stack) -> list[str]:
    assert stack.broker is not None
    if queued := _queued(stack):
        with stack.broker.client() as broker:
            broker.flushall()
        stack.notes.flushed |= dict.fromkeys(queued, stack.now())
    return queued


@fault("broker-restart", "broker")
def broker_restart(stack: Stack) -> int:
    """The broker is killed and comes back without a memory. It bites by the connections that it had."""
    assert stack.broker is not None
    cut = stack.broker.connections()
    stack.broker.kill()
    stack.broker.start()
    return cut


@fault("broker-away", "broker")
def broker_away(stack: Stack) -> int:
    """The broker is gone for some seconds in which doorbells are to be rung."""
    return _without_broker(stack, AWAY_SECONDS)


@fault("broker-away-60", "broker")
def broker_away_60(stack: Stack) -> int:
    """The broker is gone for a minute; done only where it is asked for by name."""
    return _without_broker(stack, 60.0)


def _without_broker(stack: Stack, seconds: float) -> int:
    """Answers how many doorbells wait in the ledger when it comes back, which is not before a job was accepted."""
    assert stack.broker is not None
    stack.await_api()  # else a fault that killed it before would leave nobody to accept anything meanwhile
    stack.broker.kill()
    began, since = time.monotonic(), stack.now()
    stack.hurry()
    time.sleep(seconds)
    accepted = "SELECT id FROM job WHERE tenant = 'acme' AND created_at > :since"
    eventually(lambda: stack.rows(accepted, since=since), AWAY_SECONDS)
    waiting = [row.attempt_id for row in stack.rows("SELECT attempt_id FROM doorbell")]
    stack.broker.start()
    stack.notes.broker_away.append((began, time.monotonic()))
    stack.notes.broker_back.append(stack.now())
    stack.notes.rung_late |= dict.fromkeys(waiting, stack.now())
    return len(waiting)


@fault("broker-hung", "broker")
def broker_hung(stack: Stack) -> int:
    """The broker's socket accepts, and nothing comes back."""
    assert stack.broker_proxy is not None
    return stack.broker_proxy.hung_for(HUNG_SECONDS)


@fault("broker-cut", "broker")
def broker_cut(stack: Stack) -> int:
    """CLIENT KILL of every connection to the broker."""
    assert stack.broker is not None
    with stack.broker.client() as broker:
        return int(broker.client_kill_filter(_type="normal", skipme=True))


@fault("broker-full", "broker")
def broker_full(stack: Stack) -> int:
    """The broker's memory is full, and it refuses every message."""
    broker = stack.broker
    assert broker is not None
    before = broker.refused_for_memory()
    broker.limit_memory(1)
    try:
        eventually(lambda: broker.refused_for_memory() > before, REFUSED_SECONDS)
        time.sleep(FULL_SECONDS)
    finally:
        broker.limit_memory(0)
    return broker.refused_for_memory() - before
