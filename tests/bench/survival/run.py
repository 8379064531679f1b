"""Does every harm to every side at once, and prints one table."""

import os
import platform
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.survival.harms import HARMS, LONG, LONG_SECONDS, Harm, Scene
from tests.bench.survival.paces import LEASE_SECONDS, SLOTS, WORKERS
from tests.bench.survival.sides import FLEET, Fleet, Side, sides
from tests.bench.survival.verdict import Outcome, judged
from tests.bench.survival.witness import Did
from tests.chaos.servers import NotHere
from tests.chaos.stacks import eventually

SEED = 7
WORK_SECONDS = (0.5, 0.9)
READY_SECONDS = 120.0
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Row:
    """One harm to one side."""

    harm: Harm
    side: str
    outcome: Outcome
    kept: frozenset[str]
    """Of what is missing, what the side still knows of."""


def measure(seed: int, only: Sequence[str]) -> int:
    """Prints the table; 1 where this fleet lost or doubled anything, or where a harm hit nothing."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # its servers end with it
    with tempfile.TemporaryDirectory(prefix="fleet-survival-") as folder, sides(Path(folder)) as all_sides:
        with ThreadPoolExecutor(len(all_sides)) as together:
            list(together.map(_warm, all_sides))
            rows = []
            for harm in HARMS:
                if harm.name in only or not only:
                    _say(f"{harm.name}: {harm.says}")
                    rows += list(together.map(lambda side, harm=harm: _row(side, harm, seed), all_sides))
        (fleet,) = (side for side in all_sides if isinstance(side, Fleet))
        wrong = [*_wrong(rows), *(f"{FLEET}: {task} did not end well" for task in fleet.unwell())]
        server = _server(fleet)
    _show(rows, seed, server)
    for sentence in wrong:
        _say(sentence)
    return int(bool(wrong))


def _warm(side: Side) -> None:
    """Returns once every worker has done something and nothing is left to do."""
    tasks: list[str] = []

    def warm() -> bool:
        lines, workers = side.house.witness.lines(), side.house.workers()
        done = {line.task for line in lines if line.did is Did.FINISHED}
        return len(workers) == WORKERS and workers <= {line.group for line in lines} and done >= set(tasks)

    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        more = [f"warm-{len(tasks) + n}" for n in range(SLOTS * WORKERS)]
        for task in more:
            side.submit(task, 0.2)
        tasks += more
        if eventually(warm, 5):
            return
    logs = "\n".join(f"{log.name}: {log.read_text()[-600:]}" for log in (side.house.root / "logs").iterdir())
    raise NotHere(f"the workers of “{side.name}” did not come up:\n{logs}")


def _row(side: Side, harm: Harm, seed: int) -> Row:
    """Load and harm side by side, then until everything has ended or nothing more is heard of any task."""
    scene = Scene(side, f"{harm.name}-", random.Random(f"{seed}/{harm.name}"))
    tasks = _tasks(harm)
    sender = threading.Thread(target=_send, args=(scene, harm, tasks, random.Random(seed)), daemon=True)
    sender.start()
    bites = []
    for pause in harm.pauses:
        time.sleep(pause)
        bites.append(harm.bite(scene))
    sender.join()
    done_at = time.time()
    while True:
        lines = scene.lines()
        outcome = judged(lines, tasks, bites)
        over = not outcome.missing and not outcome.not_back and not scene.at_work()
        heard_at = max((line.at for line in lines), default=done_at)
        if over or time.time() > max(done_at, heard_at) + harm.wait_seconds:
            return Row(harm, side.name, outcome, frozenset(side.kept(outcome.missing)))
        time.sleep(LOOK_SECONDS)


def _tasks(harm: Harm) -> list[str]:
    return [f"{harm.name}-{n}{LONG if n < harm.load.long else ''}" for n in range(harm.load.tasks)]


def _send(scene: Scene, harm: Harm, tasks: Sequence[str], chance: random.Random) -> None:
    began, load = time.monotonic(), harm.load
    for number, task in enumerate(tasks):
        seconds = chance.uniform(*WORK_SECONDS)
        time.sleep(max(0.0, began + load.due(number) - time.monotonic()))
        if load.members:
            scene.side.join(task, [f"{task}/{n}" for n in range(load.members)], seconds)
        else:
            scene.side.submit(task, LONG_SECONDS if task.endswith(LONG) else seconds)
        scene.submitted.add(task)


def _wrong(rows: Sequence[Row]) -> list[str]:
    found = [f"{row.harm.name} hit nothing of “{row.side}”" for row in rows if row.outcome.missed]
    for row in rows:
        if row.side == FLEET and row.outcome.missing:
            found.append(f"{FLEET}: {row.harm.name}: {', '.join(sorted(row.outcome.missing))} did not end")
        if row.side == FLEET and row.outcome.applied_twice:
            found.append(
                f"{FLEET}: {row.harm.name}: {', '.join(sorted(row.outcome.applied_twice))} applied twice"
            )
    return found


def _show(rows: Sequence[Row], seed: int, server: str) -> None:
    table = Table(box=None, pad_edge=False)
    for name in (
        "harm",
        "who",
        "tasks",
        "times",
        "hit",
        "not ended",
        "forgotten",
        "ran twice",
        "applied twice",
        "back",
    ):
        table.add_column(name, justify="left" if name in ("harm", "who", "back") else "right", no_wrap=True)
    for row in rows:
        table.add_row(row.harm.name, row.side, *_figures(row))
    Console(width=150).print(table)
    _say(
        f"seed {seed}; {WORKERS} workers of {SLOTS} processes each; lease and short visibility {LEASE_SECONDS:g} s; "
        f"Celery {version('celery')}, kombu {version('kombu')}, Valkey {server}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}"
    )
    _say("back: median, p99 from the harm until anything was heard of a task that it hit")


def _figures(row: Row) -> list[str]:
    outcome = row.outcome
    counts = (
        outcome.tasks,
        outcome.times,
        outcome.hit,
        len(outcome.missing),
        len(outcome.missing - row.kept),
        len(outcome.ran_twice),
        len(outcome.applied_twice),
    )
    return [*map(str, counts), _back(row) if row.harm.timed else ""]


def _back(row: Row) -> str:
    median, last = row.outcome.back(0.5), row.outcome.back(0.99)
    told = f"{median:.1f}, {last:.1f} s" if median is not None and last is not None else ""
    if not row.outcome.not_back:
        return told
    never = f"{row.outcome.not_back} not within {row.harm.wait_seconds:g} s"
    return f"{told}; {never}" if told else never


def _server(side: Side) -> str:
    with side.house.broker.client() as broker:
        told = broker.info("server")
    return str(told.get("valkey_version", told.get("redis_version")))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
