"""The sides: this fleet, and plain Celery in its variants. Each takes the same tasks by the same names."""

import base64
import gc
import re
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from celery import Celery
from celery.canvas import chord
from kombu.exceptions import OperationalError
from sqlalchemy import text

from contracts.doorbell import queue_of
from contracts.jobs import JobRequest
from contracts.purposes import Purpose
from orchestrator import wiring
from orchestrator.settings import Settings
from orchestrator.wiring import Parts
from tests.bench.survival import plain
from tests.bench.survival.house import WORKER, House, house
from tests.bench.survival.paces import LEASE_SECONDS, SLOTS, WORKERS
from tests.chaos.servers import Postgres

CATALOG = Path(__file__).parent / "catalog"
HANDLERS = ("append", "member")
FLEET = "this fleet"
PATIENCE_SECONDS = 30.0
_BODY = re.compile(rb'"body": "([A-Za-z0-9+/=]+)"')


class Side(Protocol):
    """Who is measured."""

    name: str
    house: House
    queue: str
    """The list of the broker in which tasks wait."""

    def submit(self, task: str, seconds: float) -> None:
        """Hands a task in that takes so long and then applies one effect."""
        ...

    def join(self, task: str, members: Sequence[str], seconds: float) -> None:
        """Hands members in that take so long each, and a task that applies one effect when all have ended."""
        ...

    def kept(self, tasks: Collection[str]) -> set[str]:
        """Those of the tasks that have not ended and are not forgotten."""
        ...


@dataclass
class Fleet:
    """Ours: orchestrator and workers over PostgreSQL and a broker."""

    parts: Parts
    house: House
    name: str = FLEET
    queue: str = queue_of("append")
    jobs: dict[str, str] = field(default_factory=dict)
    """The task's name by the job's id."""

    def submit(self, task: str, seconds: float) -> None:
        self._submit("append", task, [f"{task} {seconds:.3f}"])

    def join(self, task: str, members: Sequence[str], seconds: float) -> None:
        self._submit("join", task, [f"{member} {seconds:.3f}" for member in members])

    def kept(self, tasks: Collection[str]) -> set[str]:
        return {self.jobs[job] for job in self._rows("ended_at IS NULL")} & set(tasks)

    def unwell(self) -> list[str]:
        """The tasks whose job did not end well, once what is open has had time to be written down."""
        until = time.monotonic() + PATIENCE_SECONDS
        while (found := self._rows("state <> 'done'")) and time.monotonic() < until:
            time.sleep(0.2)
        return sorted(self.jobs[job] for job in found)

    def _submit(self, workflow: str, task: str, items: list[str]) -> None:
        request = JobRequest(
            tenant="bench",
            portfolio="bench",
            workflow=workflow,
            inputs={"items": items},
            purpose=Purpose.FEATURE,
            reason="a measurement",
            requested_by="bench",
        )
        self.jobs[self.parts.intake.submit(request).job_id] = task

    def _rows(self, condition: str) -> list[str]:
        with self.parts.ledger.read() as connection:
            return [str(row.id) for row in connection.execute(text(f"SELECT id FROM job WHERE {condition}"))]


@dataclass
class Plain:
    """Theirs: Celery over Redis alone."""

    name: str
    house: House
    app: Celery
    queue: str = plain.QUEUE
    joined: list[object] = field(default_factory=list)
    """The results of joins, which nobody asks for."""

    def submit(self, task: str, seconds: float) -> None:
        append = self.app.tasks[plain.APPEND]
        _insist(lambda: append.apply_async((task, seconds), task_id=task))

    def join(self, task: str, members: Sequence[str], seconds: float) -> None:
        member, append = self.app.tasks[plain.MEMBER], self.app.tasks[plain.APPEND]
        header = [member.si(name, seconds) for name in members]
        whole = chord(header, append.si(task, seconds), app=self.app)
        _insist(lambda: self.joined.append(whole.apply_async()))

    def kept(self, tasks: Collection[str]) -> set[str]:
        """Those that the broker still has: in the queue, with a worker, or in the message of a member."""
        with self.house.broker.client() as broker:
            queues = [key for key in broker.scan_iter(f"{self.queue}*") if broker.type(key) == b"list"]
            messages = [each for queue in queues for each in broker.lrange(queue, 0, -1)]
            messages += broker.hvals("unacked")
        said = b"\n".join(words for message in messages for words in _opened(message)).decode()
        return {task for task in tasks if f'"{task}"' in said}

    def close(self) -> None:
        """While its broker is still there: a result that is collected tells it so."""
        self.joined.clear()
        gc.collect()
        self.app.close()


def _opened(message: bytes) -> Iterator[bytes]:
    yield message
    for body in _BODY.findall(message):
        yield base64.b64decode(body)


def _insist(send: Callable[[], object]) -> None:
    """Sends until the broker takes it, as whoever must not lose it would."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            send()
            return
        except OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


@contextmanager
def sides(root: Path) -> Iterator[list[Side]]:
    """All of them, with their workers starting. Raises NotHere."""
    with ExitStack() as ending:
        found: list[Side] = [ending.enter_context(_fleet(root / "fleet"))]
        for number, variant in enumerate((plain.DEFAULTS, plain.SHORT, plain.TUNED)):
            found.append(ending.enter_context(_plain(root / f"plain-{number}", variant)))
        yield found


@contextmanager
def _fleet(root: Path) -> Iterator[Fleet]:
    announced = _announced(root)
    sys.path.insert(0, str(announced))
    postgres = Postgres()
    try:
        with house(root) as own:
            settings = Settings(
                state_dir=root, database_url=postgres.url(), broker_url=own.broker.url(), catalog=CATALOG
            )
            wiring.migrate(settings)
            parts = wiring.assemble(settings)
            worker = ("workers", "--lanes", ",".join(HANDLERS), "--slots", str(SLOTS), "--name")
            workers = {f"{WORKER}-{n}": (*worker, f"append{n}") for n in range(WORKERS)}
            own.start(
                {"orchestrator": ("orchestrator", "orchestrator"), **workers},
                {
                    "FLEET_STATE_DIR": str(root),
                    "FLEET_DATABASE_URL": postgres.url(),
                    "FLEET_BROKER_URL": own.broker.url(),
                    "FLEET_CATALOG": str(CATALOG),
                    "FLEET_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
                    "FLEET_HEARTBEAT_SECONDS": "2",
                    "PYTHONPATH": str(announced),
                },
            )
            yield Fleet(parts, own)
            parts.ledger.close()
    finally:
        sys.path.remove(str(announced))
        postgres.close()


def _announced(root: Path) -> Path:
    """A folder whose metadata announces our handlers, as a package from outside does it."""
    folder = root / "announced"
    metadata = folder / "survival-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: survival\nVersion: 1\n")
    lines = [f"survival.{name} = tests.bench.survival.lane:{name}" for name in HANDLERS]
    (metadata / "entry_points.txt").write_text("\n".join(["[fleet.handlers]", *lines, ""]))
    return folder


@contextmanager
def _plain(root: Path, variant: str) -> Iterator[Plain]:
    with house(root) as own:
        url = own.broker.url()
        worker = ("celery", "-A", "tests.bench.survival.plain", "worker", "--loglevel=WARNING")
        own.start(
            {f"{WORKER}-{n}": (*worker, "-c", str(SLOTS), "-n", f"plain{n}@%h") for n in range(WORKERS)},
            {plain.URL_VARIABLE: url, plain.VARIANT_VARIABLE: variant},
        )
        side = Plain(variant, own, plain.make_app(variant, url))
        yield side
        side.close()
