"""Whole fleets for the acceptance story: `fleet up` as a process, over each stack of database and broker.

A test that asks for `stack` runs on SQLite with the embedded broker always, and on PostgreSQL with Redis or
RabbitMQ where FLEET_TEST_*_URL name them. Of a shared service only what the test itself made is touched: a
database, a numbered Redis database that was empty, a virtual host of RabbitMQ. Import the fixtures that a
module needs.
"""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis
from kombu.connection import Connection as BrokerConnection
from sqlalchemy import create_engine, make_url, text

from contracts.doorbell import queue_of
from orchestrator.catalog_files import load_catalog
from orchestrator.client import FleetClient
from orchestrator.demo.documents import QUESTION, descriptions
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.events import EventKind
from orchestrator.ledger.ids import new_id
from orchestrator.reads.outcomes import JobRead
from orchestrator.up.access import VENDOR_VARIABLES
from orchestrator.up.ports import free_port

FLEET = (sys.executable, "-P", "-m", "orchestrator")
PATIENCE_SECONDS = 90.0
"""How long anything may take before a test gives it up; it decides nothing else."""
REQUESTER, OVERSEER = "alice", "bob"
DATABASE, REDIS, AMQP = "FLEET_TEST_DATABASE_URL", "FLEET_TEST_REDIS_URL", "FLEET_TEST_AMQP_URL"

Found = TypeVar("Found")


def eventually(what: str, look: Callable[[], Found | None], every_seconds: float = 0.05) -> Found:
    """What `look` finds, once it finds anything."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(every_seconds)
    raise AssertionError(f"{what} did not happen within {PATIENCE_SECONDS:g} s")


@dataclass
class RunningFleet:
    """One `fleet up`, and everything that can be known of it from outside."""

    root: Path
    """Its state directory."""
    env: dict[str, str]
    """The environment of it and of every second terminal."""
    flower_url: str
    process: subprocess.Popen[bytes]
    screen: Path
    client: FleetClient = field(init=False)
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.client = FleetClient(self.api_url)
        file = f"sqlite:///{self.root / 'ledger.sqlite3'}"
        self.ledger = Ledger(self.env.get("FLEET_DATABASE_URL", file))

    @property
    def api_url(self) -> str:
        return self.env["FLEET_API_URL"]

    def await_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.screen.read_text()
            return "ready in" in self.screen.read_text()

        eventually("being ready", ready)

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`fleet …` in a second terminal."""
        return subprocess.run(
            [*FLEET, *arguments], env=self.env, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )

    def drain(self) -> str:
        """Ctrl-C, and what the fleet said until it ended."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE_SECONDS)
        return self.screen.read_text()

    def close(self) -> None:
        """Ends whatever is still running; its children end with their supervisor."""
        self.client.close()
        self.ledger.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def pid_of(self, role: str) -> int | None:
        """The process of a role, if it runs now."""
        try:
            return int(json.loads((self.root / "run" / f"{role}.pid").read_text())["pid"])
        except (OSError, ValueError):
            return None

    def rows(self, query: str, **values: Any) -> list[Any]:
        """Rows of the ledger."""
        with self.ledger.read() as connection:
            return list(connection.execute(text(query), values))

    def posts(self, page: str) -> list[tuple[str, str, str]]:
        """(slug, job, digest) of every row of the posts table beside a page."""
        with closing(sqlite3.connect(self.root / Path(page).parent / "posts.sqlite3")) as table:
            return table.execute("SELECT slug, job, page_digest FROM posts").fetchall()

    def simulator_ledger(self) -> list[dict[str, Any]]:
        """What its own simulator was asked, as the simulator wrote it down."""
        lines = (self.root / "simulator.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def broken_promises(self) -> str:
        """What `fleet check --invariants` complains about; empty where it ends well."""
        checked = self.ask("check", "--invariants")
        return "" if checked.returncode == 0 else checked.stdout + checked.stderr


def job_of(workflow: str, documents: int = 3, question: str = QUESTION, **values: Any) -> dict[str, Any]:
    """The body of a job over what installed distributions say of themselves."""
    given = [{"name": each.name, "text": each.text} for each in descriptions(documents)]
    body = {
        "tenant": "acme",
        "portfolio": "stack",
        "workflow": workflow,
        "inputs": {"question": question, "documents": given},
        "purpose": "feature",
        "reason": "readers ask what the fleet stands on",
        "requested_by": REQUESTER,
    }
    return body | values


def approve(client: FleetClient, job_id: str) -> None:
    """Answers what the job asks, as somebody who did not ask for it."""
    for line in client.approvals().items:
        if line.job_id == job_id:
            client.answer(line.id, "approve", OVERSEER, "it says what it quotes", line.digest)


def seen_through(client: FleetClient, job_id: str) -> JobRead:
    """The job once it has ended, with its approval given."""
    for event in client.watch(job_id):
        if event.kind == EventKind.APPROVAL_ASKED:
            approve(client, job_id)
    return client.job(job_id)


@contextmanager
def running_fleet(root: Path, **env: str) -> Iterator[RunningFleet]:
    """A fleet that is ready; ended with the block."""
    api, flower = free_port(), free_port()
    given = {name: value for name, value in os.environ.items() if not _is_ours(name)} | env
    given |= {
        "FLEET_STATE_DIR": str(root / "state"),
        "FLEET_API_URL": f"http://127.0.0.1:{api}",
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1",
    }
    command = [*FLEET, "up", "--state-dir", str(root / "state"), f"--port={api}", f"--flower-port={flower}"]
    screen = root / "screen.txt"
    with screen.open("wb") as said:
        process = subprocess.Popen(command, env=given, stdout=said, stderr=subprocess.STDOUT, cwd=root)
    fleet = RunningFleet(root / "state", given, f"http://127.0.0.1:{flower}", process, screen)
    try:
        fleet.await_ready()
        yield fleet
    finally:
        fleet.close()


def _is_ours(name: str) -> bool:
    return name.startswith("FLEET_") or name in VENDOR_VARIABLES


def sqlite_and_embedded() -> Iterator[Mapping[str, str]]:
    yield {}


def postgresql_and_embedded() -> Iterator[Mapping[str, str]]:
    with _own_database(_named(DATABASE)) as database:
        yield {"FLEET_DATABASE_URL": database}


def postgresql_and_redis() -> Iterator[Mapping[str, str]]:
    with _own_database(_named(DATABASE)) as database, _own_redis(_named(REDIS)) as broker:
        yield {"FLEET_DATABASE_URL": database, "FLEET_BROKER_URL": broker}


def postgresql_and_rabbitmq() -> Iterator[Mapping[str, str]]:
    with _own_database(_named(DATABASE)) as database, own_rabbitmq(_named(AMQP)) as broker:
        yield {"FLEET_DATABASE_URL": database, "FLEET_BROKER_URL": broker}


STACKS = (sqlite_and_embedded, postgresql_and_redis, postgresql_and_rabbitmq)


@pytest.fixture(scope="module", params=STACKS, ids=lambda stack: stack.__name__)
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    """One fleet for all tests of a module, on each stack there is."""
    with ExitStack() as stack:
        env = stack.enter_context(contextmanager(request.param)())
        yield stack.enter_context(running_fleet(tmp_path_factory.mktemp("fleet"), **env))


def _named(variable: str) -> str:
    """The address of a service that somebody put at the tests' disposal."""
    url = os.environ.get(variable, "")
    if not url:
        pytest.skip(f"{variable} is not set")
    return url


@contextmanager
def _own_database(url: str) -> Iterator[str]:
    name = f"fleet_{new_id().lower()}"
    administration = create_engine(url, isolation_level="AUTOCOMMIT")
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        with administration.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        administration.dispose()


@contextmanager
def _own_redis(url: str) -> Iterator[str]:
    """A numbered database that was empty, and is again."""
    server, mark = re.sub(r"/\d*$", "", url), "fleet-acceptance"
    for number in range(15, 0, -1):
        with closing(redis.Redis.from_url(f"{server}/{number}")) as own:
            # the mark first, so that of two runs at the same moment one goes on to the next number
            if own.dbsize() or not own.set(mark, os.getpid(), nx=True):
                continue
            try:
                yield f"{server}/{number}"
            finally:
                own.flushdb()
            return
    pytest.skip(f"no numbered database of {REDIS} is empty")


@contextmanager
def own_rabbitmq(url: str) -> Iterator[str]:
    """A virtual host of its own, or where that is not allowed the named one, if no fleet uses it."""
    name, broker = f"fleet_{new_id().lower()}", make_url(url)
    if broker.host in ("127.0.0.1", "localhost") and _rabbitmqctl("add_vhost", name):
        try:
            assert _rabbitmqctl("set_permissions", "-p", name, broker.username or "guest", ".*", ".*", ".*")
            yield broker.set(database=name).render_as_string(hide_password=False)
        finally:
            _rabbitmqctl("delete_vhost", name)
        return
    queues = [queue_of(lane) for lane in load_catalog().lanes]
    with BrokerConnection(url) as connection:
        if any(_stands(connection, queue) for queue in queues):
            pytest.skip(f"another fleet uses {AMQP}, and no virtual host of its own can be made")
        try:
            yield url
        finally:
            for queue in queues:
                connection.default_channel.queue_delete(queue)


def _stands(connection: BrokerConnection, queue: str) -> bool:
    try:
        with connection.channel() as channel:
            channel.queue_declare(queue, passive=True)
    except connection.channel_errors:
        return False
    return True


def _rabbitmqctl(*arguments: str) -> bool:
    """Whether the command is here and did what it was asked for."""
    command = shutil.which("rabbitmqctl")
    if command is None or os.geteuid() != 0:
        return False
    asked = subprocess.run([command, "-q", *arguments], capture_output=True, timeout=PATIENCE_SECONDS)
    return asked.returncode == 0
