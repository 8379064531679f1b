"""Every fault by its name. A fault harms one running fleet and answers how often it bit: 0 is a miss."""

import base64
import json
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.entity import Queue

from contracts.doorbell import celery_settings, queue_of, queue_options
from orchestrator.ledger.ids import new_id
from tests.chaos.servers import skewing_library
from tests.chaos.stacks import (
    LEASE_SECONDS,
    ORCHESTRATORS,
    READY_SECONDS,
    WAITING,
    Stack,
    children_of,
    eventually,
    send,
)

AWAY_SECONDS = 8.0
VENDOR_AWAY_SECONDS = 20.0
"""Longer than a subtask's tries would last."""
HUNG_SECONDS = 5.0
STILL_SECONDS = 1.0
SKEW_SECONDS = (7200, -7200)
VENDOR_TIMES = 3


@dataclass(frozen=True)
class Fault:
    """One way in which things go wrong."""

    name: str
    says: str
    bite: Callable[[Stack], int]
    needs: str | None = None
    """`postgresql`, `sqlite` or `broker`: of which the run must have one of its own; a clock and a full disk need
    more."""
    bit_later: Callable[[Stack], int] | None = None
    """Counts afterwards, where only a witness knows."""


FAULTS: dict[str, Fault] = {}


def fault(name: str, needs: str | None = None) -> Callable[[Callable[[Stack], int]], Callable[[Stack], int]]:
    def known(bite: Callable[[Stack], int]) -> Callable[[Stack], int]:
        FAULTS[name] = Fault(name, (bite.__doc__ or "").split(".")[0], bite, needs)
        return bite

    return known


def faults_for(stack: Stack) -> list[Fault]:
    """Those that can be done to it."""
    return [each for each in FAULTS.values() if _has(stack, each.needs)]


def left_out(stack: Stack) -> list[Fault]:
    """Those that cannot."""
    return [each for each in FAULTS.values() if not _has(stack, each.needs)]


def _can_skew(stack: Stack) -> bool:
    # SQLite has no clock but that of the process that asks: there the fault would be in the ledger.
    return stack.postgres is not None and sys.platform == "linux" and shutil.which("cc") is not None


def _has(stack: Stack, needed: str | None) -> bool:
    has = {
        "postgresql": stack.postgres is not None,
        "sqlite": stack.postgres is None,
        "broker": stack.broker is not None,
        "PostgreSQL and cc": _can_skew(stack),
        "PostgreSQL and mount": stack.postgres is not None and stack.postgres.disk is not None,
        None: True,
    }
    return has[needed]


# Processes


@fault("kill-worker")
def kill_worker(stack: Stack) -> int:
    """SIGKILL of a worker with attempts in its hands."""
    if not (caught := stack.caught_at_work()):
        return 0
    role, pid, held = caught
    send(pid, signal.SIGKILL)
    stack.note_killed(held)
    return len(held) if stack.back(role, pid) else 0


@fault("kill-child")
def kill_child(stack: Stack) -> int:
    """SIGKILL of a child of the prefork pool."""
    pid = stack.pid_of("worker-computing")
    children = children_of(pid) if pid else []
    return sum(send(child, signal.SIGKILL) for child in children[-1:])


@fault("stop-worker")
def stop_worker(stack: Stack) -> int:
    """SIGSTOP of a worker for one and a half leases: what it then reports comes late."""
    if not (caught := stack.caught_at_work()):
        return 0
    _, pid, held = caught
    stack.note_killed(held)
    time.sleep(1.5 * LEASE_SECONDS)
    lost = stack.rows("SELECT id FROM attempt WHERE state = 'lost' AND id IN :held", held=held)
    send(pid, signal.SIGCONT)
    return len(lost)


@fault("term-worker")
def term_worker(stack: Stack) -> int:
    """SIGTERM of a worker, as a rolling deployment does it."""
    pid = stack.signal(WAITING[1], signal.SIGTERM)
    return int(pid is not None and stack.back(WAITING[1], pid))


def _kill_role(stack: Stack, roles: tuple[str, ...]) -> int:
    killed = {role: pid for role in roles if (pid := stack.signal(role, signal.SIGKILL))}
    if "api" in killed:
        stack.notes.api_killed.append(time.monotonic())
    return sum(stack.back(role, pid) for role, pid in killed.items())


@fault("kill-leader")
def kill_leader(stack: Stack) -> int:
    """SIGKILL of the orchestrator that leads; the other one takes over."""
    (leader,) = stack.rows("SELECT holder, epoch FROM leader WHERE name = 'loop'")
    led = {role for role in ORCHESTRATORS if leader.holder.endswith(f"/{stack.pid_of(role)}")}
    if not led or stack.signal(led.pop(), signal.SIGKILL) is None:
        return 0
    after = "SELECT epoch FROM leader WHERE epoch > :epoch"
    return int(bool(eventually(lambda: stack.rows(after, epoch=leader.epoch))))


for role in ("api", "beat", "upkeep"):
    FAULTS[f"kill-{role}"] = Fault(
        f"kill-{role}", f"SIGKILL of the process `{role}`", partial(_kill_role, roles=(role,))
    )


@fault("kill-orchestrators")
def kill_orchestrators(stack: Stack) -> int:
    """SIGKILL of both orchestrators, and with them of both relays."""
    return _kill_role(stack, ORCHESTRATORS)


@fault("clock-skew", "PostgreSQL and cc")
def clock_skew(stack: Stack) -> int:
    """One worker's clock is two hours ahead and another one's two hours behind, from their next start on."""
    library = str(skewing_library(stack.root))
    skewed = [
        pid
        for role, seconds in zip(WAITING, SKEW_SECONDS, strict=True)
        if (pid := stack.started_again(role, LD_PRELOAD=library, SKEW_SECONDS=f"{seconds}"))
    ]
    if not all(library in Path(f"/proc/{pid}/maps").read_text() for pid in skewed):
        return 0
    return len(eventually(lambda: _worked_by(stack, skewed), READY_SECONDS) or [])


def _worked_by(stack: Stack, pids: list[int]) -> list[str]:
    """What they have done."""
    query = "SELECT id FROM attempt WHERE reported_at IS NOT NULL AND worker LIKE :worker"
    return [row.id for pid in pids for row in stack.rows(query, worker=f"%/{pid}")]


# The broker


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
    """The broker is killed and comes back without a memory."""
    assert stack.broker is not None
    stack.broker.kill()
    stack.broker.start()
    return 1


@fault("broker-away", "broker")
def broker_away(stack: Stack) -> int:
    """The broker is gone for some seconds in which doorbells are to be rung."""
    return _without_broker(stack, AWAY_SECONDS)


@fault("broker-away-60", "broker")
def broker_away_60(stack: Stack) -> int:
    """The broker is gone for a minute; done only where it is asked for by name."""
    return _without_broker(stack, 60.0)


def _without_broker(stack: Stack, seconds: float) -> int:
    """Answers how many doorbells wait in the ledger when it comes back."""
    assert stack.broker is not None
    began = time.monotonic()
    stack.broker.kill()
    time.sleep(seconds)
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
    before = stack.broker_proxy.withheld_bytes
    stack.broker_proxy.hang()
    time.sleep(HUNG_SECONDS)
    stack.broker_proxy.resume()
    return int(stack.broker_proxy.withheld_bytes > before)


@fault("broker-cut", "broker")
def broker_cut(stack: Stack) -> int:
    """CLIENT KILL of every connection to the broker."""
    assert stack.broker is not None
    with stack.broker.client() as broker:
        return int(broker.client_kill_filter(_type="normal", skipme=True))


@fault("broker-full", "broker")
def broker_full(stack: Stack) -> int:
    """The broker's memory is full, and it refuses every message."""
    assert stack.broker is not None
    with stack.broker.client() as broker:
        broker.config_set("maxmemory", 1)
        time.sleep(HUNG_SECONDS)
        refused = broker.info("errorstats").get("errorstat_OOM", {"count": 0})["count"]
        broker.config_set("maxmemory", 0)
    return int(refused)


def _ring(stack: Stack, task: str, lane: str, arguments: tuple[object, ...]) -> None:
    app = Celery("fleet-chaos", set_as_current=False)
    app.conf.update(celery_settings(stack.broker_url))
    queue = Queue.from_dict(queue_of(lane), **queue_options(lane, stack.broker_url))
    with app.connection_for_write() as connection, connection.channel() as channel:
        app.send_task(task, args=arguments, queue=queue(channel), connection=connection, retry=False)


Bell = tuple[str, str, tuple[object, ...]]
"""A task, the lane in whose queue it is put, and its arguments."""


def _rung_all(stack: Stack, bells: list[Bell]) -> int:
    rung = 0
    for task, lane, arguments in bells:
        try:
            _ring(stack, task, lane, arguments)
            rung += 1
        except OSError:
            continue
    return rung


def _bells(attempts: list[Any]) -> list[Bell]:
    return [(row.lane, row.lane, (row.id,)) for row in attempts]


@fault("duplicate-doorbells")
def duplicate_doorbells(stack: Stack) -> int:
    """Doorbells of attempts that were claimed already ring again."""
    claimed = (
        "SELECT id, lane FROM attempt WHERE state IN ('running', 'reported', 'settled') AND lane <> 'upkeep' "
        "ORDER BY id DESC LIMIT 20"
    )
    bells = eventually(lambda: _bells(stack.rows(claimed))) or []
    return _rung_all(stack, bells)


@fault("unknown-doorbells")
def unknown_doorbells(stack: Stack) -> int:
    """Doorbells of attempts that do not exist."""
    return _rung_all(stack, [("noop", "noop", (new_id(),)) for _ in range(10)])


@fault("forged-doorbells")
def forged_doorbells(stack: Stack) -> int:
    """Messages that nobody of the fleet sends: other tasks, other arguments, and no message at all."""
    forged: list[Bell] = [
        ("os.system", "noop", ("true",)),
        ("noop", "noop", ()),
        ("noop", "noop", ({"attempt": "'; DROP TABLE job; --"},)),
        ("noop", "noop", ("x" * 100_000,)),
        ("draft", "noop", (None,)),
    ]
    return _rung_all(stack, forged)


# The ledger


@fault("ledger-restart", "postgresql")
def ledger_restart(stack: Stack) -> int:
    """PostgreSQL crashes and recovers (`pg_ctl -m immediate`)."""
    assert stack.postgres is not None
    stack.postgres.stop()
    stack.postgres.start()
    return 1


@fault("ledger-away", "postgresql")
def ledger_away(stack: Stack) -> int:
    """PostgreSQL is gone for some seconds."""
    assert stack.postgres is not None
    stack.postgres.stop()
    began = time.monotonic()
    time.sleep(AWAY_SECONDS)
    stack.notes.ledger_away.append((began, time.monotonic()))
    stack.postgres.start()
    return 1


@fault("ledger-backends", "postgresql")
def ledger_backends(stack: Stack) -> int:
    """Every session of the fleet is ended by the server."""
    assert stack.postgres is not None
    return stack.postgres.kill_backends()


@fault("ledger-full", "PostgreSQL and mount")
def ledger_full(stack: Stack) -> int:
    """The disk of the ledger's tables is full for some seconds."""
    assert stack.postgres is not None and stack.postgres.disk is not None
    before = stack.postgres.refused_for_room()
    stack.postgres.disk.fill()
    try:
        eventually(lambda: stack.postgres.refused_for_room() > before)
        time.sleep(HUNG_SECONDS)
    finally:
        stack.postgres.disk.relieve()
    return stack.postgres.refused_for_room() - before


@fault("ledger-hung", "postgresql")
def ledger_hung(stack: Stack) -> int:
    """PostgreSQL's socket accepts, and nothing comes back."""
    assert stack.ledger_proxy is not None
    before = stack.ledger_proxy.withheld_bytes
    stack.ledger_proxy.hang()
    time.sleep(HUNG_SECONDS)
    stack.ledger_proxy.resume()
    return int(stack.ledger_proxy.withheld_bytes > before)


@fault("answer-lost", "postgresql")
def answer_lost(stack: Stack) -> int:
    """Transactions are committed, and who asked for it never learns."""
    assert stack.ledger_proxy is not None
    proxy, before = stack.ledger_proxy, stack.ledger_proxy.lost_answers
    for lost in range(before, before + 5):
        proxy.lose_answers(1)
        eventually(partial(lambda lost: proxy.lost_answers > lost, lost), 3)
    return proxy.lost_answers - before


@fault("ledger-busy", "sqlite")
def ledger_busy(stack: Stack) -> int:
    """Somebody else writes to the SQLite file for five seconds."""
    with stack.ledger.write():
        time.sleep(HUNG_SECONDS)
    return 1


# The vendors


def _script(stack: Stack, kind: str) -> int:
    stack.vendors.script({"kind": kind, "times": VENDOR_TIMES, "seconds": 30.0})
    return 0


def _seen(stack: Stack, kind: str) -> int:
    """How often the vendors' own ledger says that it happened."""
    return sum(
        row["injected_by"] == "script" and kind in (row["injected"] or "").split(",")
        for row in stack.vendors.ledger()
    )


VENDOR_FAULTS = {
    "rate_limited": "429 with a Retry-After",
    "overload": "529",
    "server_error": "500",
    "html_502": "502 with a page of HTML",
    "reset": "the connection is reset after the work was done",
    "timeout": "nothing comes after the work was done",
    "cut": "an answer that is cut short",
    "not_json": "an answer that is no JSON",
    "wrong_schema": "an answer of another shape",
    "empty": "an empty answer",
    "refusal": "the model refuses",
    "huge": "an answer of ten megabytes",
}
for kind, says in VENDOR_FAULTS.items():
    FAULTS[f"vendor-{kind.replace('_', '-')}"] = Fault(
        f"vendor-{kind.replace('_', '-')}",
        says,
        partial(_script, kind=kind),
        bit_later=partial(_seen, kind=kind),
    )


def _vendor_away(stack: Stack) -> int:
    stack.vendors.script(
        {"kind": "server_error", "vendor": "anthropic", "times": None, "until_seconds": VENDOR_AWAY_SECONDS}
    )
    return 0


def _taken_for_away(stack: Stack) -> int:
    """How often the fleet noticed it and let one call ask."""
    noticed = "SELECT count(*) AS number FROM event WHERE sentence LIKE '%calls in a row were not answered%'"
    return int(stack.rows(noticed)[0].number)


FAULTS["vendor-away"] = Fault(
    "vendor-away",
    f"one vendor answers nothing but 500 for {VENDOR_AWAY_SECONDS:.0f} seconds",
    _vendor_away,
    bit_later=_taken_for_away,
)

BY_NAME_ONLY = frozenset({"broker-away-60"})


def mixed(stack: Stack, chance: random.Random) -> list[Fault]:
    """All that can be done to it and that a mixed run does, in an order of chance."""
    found = [each for each in faults_for(stack) if each.name not in BY_NAME_ONLY]
    chance.shuffle(found)
    return found
