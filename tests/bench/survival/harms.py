"""The harms: what is done to every side alike, under the same load, by a seed."""

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter

from tests.bench.survival.house import send_group
from tests.bench.survival.paces import LEASE_SECONDS
from tests.bench.survival.sides import Side
from tests.bench.survival.verdict import Bite
from tests.bench.survival.witness import Line
from tests.chaos.stacks import SETTLED_SECONDS, eventually, send

STOPPED_SECONDS = 1.5 * LEASE_SECONDS
LONG_SECONDS = 1.5 * LEASE_SECONDS
LONG_TASKS = 4
LONG = "-long"
"""How the names of long tasks end."""
MEMBERS = 8
WAITING_TASKS = 30
MISSED = Bite(0.0, frozenset())


@dataclass
class Scene:
    """One side while one harm is done to it."""

    side: Side
    prefix: str
    """How the names of this harm's tasks begin."""
    chance: random.Random
    submitted: set[str] = field(default_factory=set)

    def lines(self) -> list[Line]:
        """What the witness has of this harm's tasks and their members."""
        return [line for line in self.side.house.witness.lines() if line.task.startswith(self.prefix)]

    def at_work(self) -> list[Line]:
        """Of these, the starts of what living workers have in their hands."""
        return [line for line in self.side.house.at_work() if line.task.startswith(self.prefix)]

    def unstarted(self) -> frozenset[str]:
        """What was submitted and waits for a worker."""
        return frozenset(self.submitted - {line.task for line in self.lines()})


@dataclass(frozen=True)
class Load:
    """So many tasks, the first of them at once, the others at a steady pace or after a pause."""

    tasks: int
    at_once: int = 0
    pause_seconds: float = 0.0
    """Between what comes at once and the first of the others."""
    per_second: float = 8.0
    long: int = 0
    """Of those at once, how many take LONG_SECONDS."""
    members: int = 0
    """Each task is a join of so many."""

    def due(self, number: int) -> float:
        """When a task is submitted, in seconds from the start."""
        late = number - self.at_once
        return 0.0 if late < 0 else self.pause_seconds + late / self.per_second


@dataclass(frozen=True)
class Harm:
    """What is done under which load."""

    name: str
    says: str
    load: Load
    bite: Callable[[Scene], Bite]
    pauses: tuple[float, ...]
    """Seconds before each time."""
    wait_seconds: float
    """After so long without a sign of any task, what has not ended is given up. Whoever still works is waited for:
    how busy the machine is must not decide."""
    timed: bool = True


Who = Callable[[Line], int]
Send = Callable[[int, signal.Signals], bool]


def _struck(scene: Scene, who: Who, send_to: Send, number: signal.Signals) -> tuple[int, Bite] | None:
    """Sends a signal to a worker or a process that has tasks in its hands, at once: one that is stopped before it
    is killed would be handed tasks by the broker meanwhile, and lose more than a kill alone does."""
    busy = sorted({who(line) for line in scene.at_work()})
    if not busy or not send_to(target := scene.chance.choice(busy), number):
        return None
    at = time.time()
    time.sleep(SETTLED_SECONDS)
    under_way = scene.side.house.witness.under_way()
    hit = {line.task for line in under_way if who(line) == target and line.task.startswith(scene.prefix)}
    if not hit:  # it ended its tasks in the moment between
        send_to(target, signal.SIGCONT)
        return None
    return target, Bite(at, frozenset(hit))


def _killed(scene: Scene, who: Who, send_to: Send) -> Bite:
    _, bite = eventually(lambda: _struck(scene, who, send_to, signal.SIGKILL)) or (0, MISSED)
    return bite


def kill_worker(scene: Scene) -> Bite:
    return _killed(scene, attrgetter("group"), send_group)


def kill_process(scene: Scene) -> Bite:
    return _killed(scene, attrgetter("pid"), send)


def stop_worker(scene: Scene) -> Bite:
    stop = partial(_struck, scene, attrgetter("group"), send_group, signal.SIGSTOP)
    group, bite = eventually(stop) or (0, MISSED)
    if bite.hit:
        time.sleep(STOPPED_SECONDS)
        send_group(group, signal.SIGCONT)
    return bite


def nothing(scene: Scene) -> Bite:
    """Waits until every long task was begun."""

    def begun() -> frozenset[str] | None:
        found = frozenset(line.task for line in scene.lines() if line.task.endswith(LONG))
        return found if len(found) == LONG_TASKS else None

    return Bite(time.time(), eventually(begun) or frozenset())


def flush(scene: Scene) -> Bite:
    return _emptied(scene, lambda: _flushed(scene))


def restart(scene: Scene) -> Bite:
    return _emptied(scene, lambda: _restarted(scene))


def _emptied(scene: Scene, empty: Callable[[], None]) -> Bite:
    """Empties the broker while tasks wait in it. Its workers stand still for that moment: how many tasks wait must
    not depend on how busy the machine is."""
    workers = [group for group in scene.side.house.workers() if send_group(group, signal.SIGSTOP)]
    try:
        if not eventually(lambda: _queued(scene) and len(scene.unstarted()) >= WAITING_TASKS):
            return MISSED
        bite = Bite(time.time(), scene.unstarted())
        empty()
        return bite
    finally:
        for group in workers:
            send_group(group, signal.SIGCONT)


def _queued(scene: Scene) -> int:
    with scene.side.house.broker.client() as broker:
        return int(broker.llen(scene.side.queue))


def _flushed(scene: Scene) -> None:
    with scene.side.house.broker.client() as broker:
        broker.flushall()


def _restarted(scene: Scene) -> None:
    scene.side.house.broker.kill()
    scene.side.house.broker.start()


HARMS = (
    Harm("kill-worker", "worker and its pool killed, three times", Load(130), kill_worker, (2, 6, 6), 40),
    Harm(
        "kill-process", "one process of a pool killed, four times", Load(90), kill_process, (2, 2, 2, 2), 25
    ),
    Harm(
        "stop-worker",
        "worker stopped for one and a half leases, then continued",
        Load(150),
        stop_worker,
        (2,),
        30,
    ),
    Harm(
        "long",
        "no harm; four tasks take one and a half leases",
        Load(40, LONG_TASKS, long=LONG_TASKS),
        nothing,
        (0,),
        30,
        False,
    ),
    Harm(
        "join", "worker killed while members of joins run", Load(6, 6, members=MEMBERS), kill_worker, (1,), 30
    ),
    Harm("flush", "broker emptied by FLUSHALL", Load(120, 80, 4), flush, (1,), 20),
    Harm("restart", "broker killed, back without persistence", Load(120, 80, 4), restart, (1,), 20),
)
NAMES = tuple(harm.name for harm in HARMS)
