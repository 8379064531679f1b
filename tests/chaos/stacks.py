"""What chaos is done to: a fleet of real processes on servers of its own, and everything that can be known of it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from sqlalchemy import BindParameter, String, bindparam, event, select, text

from contracts.catalog import Catalog
from orchestrator import wiring
from orchestrator.catalog_files import load_catalog
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger, LedgerUnreachable
from orchestrator.ledger.tables import budget_level
from orchestrator.settings import Settings
from orchestrator.tuning import set_limit
from orchestrator.up.child import Spec
from orchestrator.up.ports import free_port
from orchestrator.up.roster import Addresses, Roster
from orchestrator.up.statedir import StateDir
from orchestrator.up.supervisor import Backoff, Supervisor
from tests.acceptance.stacks import AMQP, own_rabbitmq
from tests.chaos.proxy import Proxy
from tests.chaos.servers import Broker, NotHere, Postgres
from tests.integration.simulator_process import SimulatorAddress, running_simulator

CATALOG = Path(__file__).parent.parent / "bench" / "catalog"
"""The shipped catalog, and with it the lane that does nothing."""
SLOW = {"first_token_seconds": 0.7, "tokens_per_second": 0, "jitter": 0.3}
"""Vendors take a while, so that faults strike calls in flight."""
GENEROUS = 5
"""So many times what the catalog says may be asked of a vendor, or what most of the load waits for is its vendor's
budget, and under no fault meanwhile."""
ALLOWED = {
    "requests_per_minute": GENEROUS * 1_000,
    "input_tokens_per_minute": GENEROUS * 1_000_000,
    "output_tokens_per_minute": GENEROUS * 90_000,
    "tokens_per_minute": GENEROUS * 540_000,
}
LEASE_SECONDS = 10.0
HEARTBEAT_SECONDS = 2.0
PACES = {
    "FLEET_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
    "FLEET_HEARTBEAT_SECONDS": f"{HEARTBEAT_SECONDS:g}",
    "FLEET_LEADER_LEASE_SECONDS": "3",
}
AT_ONCE = Backoff(first_seconds=0.5, cap_seconds=0.5)
"""Who dies is started again soon, however often it died: here somebody kills them all the time."""
WAITING = ("worker-waiting", "worker-waiting-2")
WORKERS = 4
"""Those that wait, the one that computes, and upkeep."""
ORCHESTRATORS = ("orchestrator", "orchestrator-2")
STACKS = ("postgresql", "sqlite", "rabbitmq")
PATIENCE_SECONDS = 60.0
READY_SECONDS = 180.0
AWAY_SECONDS = 5.0
HURRIED = 8
"""Jobs: two of each who submits."""
HUNG_SECONDS = 4.0
"""Longer than the lease of who leads."""
LOOK_SECONDS = 0.5
"""Between two looks for what comes in seconds and costs a query or a request to look for."""
SETTLED_SECONDS = 0.2
"""After so long what a process had sent before it was stopped has been done."""

_OPEN_JOBS = "SELECT count(*) AS number FROM job WHERE ended_at IS NULL AND tenant = 'acme'"

Found = TypeVar("Found")


def eventually(
    look: Callable[[], Found | None], seconds: float = PATIENCE_SECONDS, every_seconds: float = 0.03
) -> Found | None:
    """What `look` finds, once it finds anything; None where it does not in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(every_seconds)
    return None


@dataclass
class Notes:
    """What was done to the fleet, for the verdict."""

    killed: dict[str, float] = field(default_factory=dict)
    """Attempts that a dead worker held, and when it died, by the ledger's clock."""
    flushed: dict[str, float] = field(default_factory=dict)
    """Attempts whose doorbells the broker forgot, and when."""
    broker_back: list[float] = field(default_factory=list)
    """When the broker was reachable again, by the ledger's clock."""
    rung_late: dict[str, float] = field(default_factory=dict)
    """Attempts whose doorbells waited for the broker, and when it was reachable again."""
    broker_away: list[tuple[float, float]] = field(default_factory=list)
    """From when until when, on the monotonic clock."""
    ledger_away: list[tuple[float, float]] = field(default_factory=list)
    hurried: int = 0
    """Jobs that are wanted before they are due."""
    api_killed: list[float] = field(default_factory=list)
    """When, on the monotonic clock."""


@dataclass
class Stack:
    """One fleet, its servers, and the way to each of its processes."""

    name: str
    root: Path
    api_url: str
    ledger: Ledger
    """By a way of its own, which no fault is put into."""
    vendors: SimulatorAddress
    supervisor: Supervisor
    broker_url: str
    postgres: Postgres | None
    broker: Broker | None
    vendors_proxy: Proxy
    ledger_proxy: Proxy | None
    broker_proxy: Proxy | None
    notes: Notes = field(default_factory=Notes)
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    """Of the workers that wait: what each will have when it is started again."""
    _open_jobs: int = 0

    def rows(self, query: str, **values: Any) -> list[Any]:
        """Rows of the ledger, once it answers. A list of words is what stands behind an IN."""
        lists: list[BindParameter[Any]] = [
            bindparam(name, type_=String, expanding=True)
            for name, value in values.items()
            if isinstance(value, list)
        ]
        asked = text(query).bindparams(*lists)
        return self._asked(lambda connection: list(connection.execute(asked, values)))

    def open_jobs(self) -> int:
        """How many of the load's have not ended."""
        return int(self.rows(_OPEN_JOBS)[0].number)

    def open_jobs_lately(self) -> int:
        """As many as before where the ledger does not answer now, since who submits does not wait for it."""
        with suppress(LedgerUnreachable), self.ledger.read() as connection:
            self._open_jobs = connection.execute(text(_OPEN_JOBS)).scalar_one()
        return self._open_jobs

    def ended(self) -> int:
        """How many subtasks have."""
        return int(self.rows("SELECT count(ended_at) AS number FROM subtask")[0].number)

    def now(self) -> float:
        return self._asked(now)

    def await_api(self) -> None:
        """Returns once the API is ready to accept jobs, or after a while."""
        eventually(self.api_is_ready)

    def api_is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.api_url}/readyz").status_code == 200
        except httpx2.HTTPError:
            return False

    def _asked(self, ask: Callable[[Any], Found]) -> Found:
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with self.ledger.read() as connection:
                    return ask(connection)
            except LedgerUnreachable:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def pid_of(self, role: str) -> int | None:
        """The process of a role, if it runs now."""
        return next((child.pid for child in self.supervisor.children() if child.spec.name == role), None)

    def signal(self, role: str, number: signal.Signals) -> int | None:
        """Sends a signal to a role; answers which process got it."""
        pid = self.pid_of(role)
        return pid if pid is not None and send(pid, number) else None

    def back(self, role: str, before: int) -> bool:
        """Whether a role runs in another process than before, waited for."""
        return bool(eventually(lambda: self.pid_of(role) not in (None, before)))

    def caught_at_work(self) -> tuple[str, int, list[str]] | None:
        """A worker that stands still with attempts in its hands: its role, its process, the attempts."""

        def caught() -> tuple[str, int, list[str]] | None:
            for role in WAITING:
                pid = self.signal(role, signal.SIGSTOP)
                if pid is None:
                    continue
                if self.held_by(pid):
                    time.sleep(SETTLED_SECONDS)
                    if held := self.held_by(pid):
                        return role, pid, held
                send(pid, signal.SIGCONT)
            return None

        return eventually(caught)

    def started_again(self, role: str, **environment: str) -> int | None:
        """The process of a worker that is killed and then started once with this in its environment."""
        mine = self.environments[role]
        mine |= environment
        try:
            before = self.signal(role, signal.SIGKILL)
            return self.pid_of(role) if before is not None and self.back(role, before) else None
        finally:
            for name in environment:
                del mine[name]

    def held_by(self, pid: int) -> list[str]:
        query = "SELECT id FROM attempt WHERE state = 'running' AND ended_at IS NULL AND worker LIKE :worker"
        return [row.id for row in self.rows(query, worker=f"%/{pid}")]

    def has_recovered(self) -> bool:
        """Whether what killed and stopped workers held was claimed again, or is over, whatever nobody could ring was
        claimed, and all workers are back."""
        lost = (
            "SELECT held.id FROM attempt AS held JOIN subtask ON subtask.id = held.subtask_id "
            "WHERE held.id IN :held AND subtask.ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM attempt AS later "
            "WHERE later.subtask_id = held.subtask_id AND later.claimed_at > held.claimed_at)"
        )
        unheard = (
            "SELECT held.id FROM attempt AS held JOIN subtask ON subtask.id = held.subtask_id "
            "WHERE held.id IN :held AND subtask.ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM attempt AS later "
            "WHERE later.subtask_id = held.subtask_id AND later.granted_at >= held.granted_at "
            "AND later.claimed_at IS NOT NULL)"
        )
        beating = "SELECT id FROM worker WHERE stopped_at IS NULL AND beat_at > :since"
        back = len(self.rows(beating, since=self.now() - LEASE_SECONDS)) >= WORKERS
        if not back or self.rows(lost, held=list(self.notes.killed)):
            return False
        return not self.rows(unheard, held=[*self.notes.flushed, *self.notes.rung_late])

    def hurry(self) -> None:
        """Has some jobs submitted now: what is due comes in bursts, and nobody might ask while something is away."""
        self.notes.hurried += HURRIED

    def note_killed(self, attempts: list[str]) -> None:
        self.notes.killed |= dict.fromkeys(attempts, self.now())


def send(pid: int, number: signal.Signals) -> bool:
    """Sends a signal; whether the process was there to get it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
    return [int(word) for word in found.stdout.split()]


@contextmanager
def running_stack(name: str, seed: int, root: Path | None = None) -> Iterator[Stack]:
    """A fleet that is ready, with two of each process that does the work; raises NotHere."""
    with ExitStack() as ending:
        root = root or Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="fleet-chaos-")))
        postgres = None if name == "sqlite" else Postgres()
        if postgres:
            ending.callback(postgres.close)
        broker = None if name == "rabbitmq" else Broker(root)
        if broker:
            ending.callback(broker.close)
        ledger_proxy = _proxied(ending, postgres.port) if postgres else None
        broker_proxy = _proxied(ending, broker.port) if broker else None
        file = f"sqlite:///{root / 'ledger.sqlite3'}"
        through = postgres.url(ledger_proxy.port) if postgres and ledger_proxy else file
        broker_url = broker.url(broker_proxy.port) if broker and broker_proxy else _rabbitmq(ending)
        vendors_are = {"latency": SLOW, "limits": {"default": ALLOWED}}
        vendors = ending.enter_context(running_simulator(seed=seed, config=vendors_are))
        port = free_port()
        supervisor = Supervisor(StateDir.opened(root), lambda said: None, AT_ONCE)
        stack = Stack(
            name,
            root,
            f"http://127.0.0.1:{port}",
            _onlooking(Ledger(postgres.url() if postgres else file)),
            vendors,
            supervisor,
            broker_url,
            postgres,
            broker,
            _proxied(ending, httpx2.URL(vendors.url).port or 80),
            ledger_proxy,
            broker_proxy,
        )
        ending.callback(stack.ledger.close)
        ending.callback(supervisor.stop, lambda: True)
        supervisor.start(_specs(stack, port, through))
        _await_ready(stack)
        _allow_more(stack.ledger)
        yield stack


def _onlooking(ledger: Ledger) -> Ledger:
    """One whose sessions are not taken for the fleet's."""
    if not ledger.is_sqlite:

        @event.listens_for(ledger.engine, "connect")
        def rename(connection: Any, record: Any) -> None:
            connection.execute("SET application_name = 'chaos'")
            connection.commit()

    return ledger


def _proxied(ending: ExitStack, port: int) -> Proxy:
    proxy = Proxy(port)
    ending.callback(proxy.close)
    return proxy


def _rabbitmq(ending: ExitStack) -> str:
    if not os.environ.get(AMQP):
        raise NotHere(f"{AMQP} is not set, and the stack rabbitmq is one with a RabbitMQ")
    return ending.enter_context(own_rabbitmq(os.environ[AMQP]))


def _specs(stack: Stack, port: int, database: str) -> list[Spec]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("FLEET_")}
    vendors = f"http://127.0.0.1:{stack.vendors_proxy.port}"
    env |= PACES | {
        "FLEET_DATABASE_URL": database,
        "FLEET_CATALOG": str(CATALOG),
        "ANTHROPIC_BASE_URL": f"{vendors}/anthropic",
        "OPENAI_BASE_URL": f"{vendors}/openai/v1",
        "GOOGLE_GEMINI_BASE_URL": f"{vendors}/gemini",
        "NO_PROXY": "127.0.0.1",
    }
    wiring.migrate(Settings(state_dir=stack.root, database_url=database, catalog=CATALOG))
    catalog: Catalog = load_catalog(CATALOG)
    addresses = Addresses(port, 0, stack.broker_url, None)
    roles = {spec.name: spec for spec in Roster(StateDir.opened(stack.root), addresses, env).roles(catalog)}
    del roles["flower"]
    for role in (WAITING[0], ORCHESTRATORS[0]):
        another = (*roles[role].command, "--name", "another") if role in WAITING else roles[role].command
        roles[f"{role}-2"] = replace(roles[role], name=f"{role}-2", command=another)
    for role in WAITING:
        stack.environments[role] = dict(roles[role].env)
        roles[role] = replace(roles[role], env=stack.environments[role])
    return list(roles.values())


def _allow_more(ledger: Ledger) -> None:
    """What an operator would set whose accounts are larger than the catalog's."""
    with ledger.read() as connection:
        levels = connection.execute(select(budget_level)).all()
    assert levels, "who leads has written them down"
    for level in levels:
        more = GENEROUS * level.declared_limit
        set_limit(ledger, level.key, level.dimension, more, "chaos", "the vendors here allow more")


def _await_ready(stack: Stack) -> None:
    def ready() -> bool:
        workers = stack.rows("SELECT count(*) AS live FROM worker WHERE stopped_at IS NULL")[0].live
        return bool(workers >= 3 and stack.api_is_ready())

    if not eventually(ready, READY_SECONDS):
        logs = "\n".join(f"{log.name}: {log.read_text()[-600:]}" for log in (stack.root / "logs").iterdir())
        sys.stderr.write(logs)
        raise NotHere(f"the fleet did not come up within {READY_SECONDS:g} s")
