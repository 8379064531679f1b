"""One side's own broker and worker processes, which are started again whenever they die."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.up.child import Spec
from orchestrator.up.statedir import StateDir
from orchestrator.up.supervisor import Supervisor
from tests.bench.survival.witness import VARIABLE, Line, Witness
from tests.chaos.servers import Broker
from tests.chaos.stacks import AT_ONCE

WORKER = "worker"
"""How the roles begin that harm is done to."""


@dataclass(frozen=True)
class House:
    """What harm can be done to."""

    root: Path
    broker: Broker
    witness: Witness
    supervisor: Supervisor

    def start(self, roles: Mapping[str, Sequence[str]], env: Mapping[str, str]) -> None:
        """Runs a `python -m …` for each role from now on."""
        full = {name: value for name, value in os.environ.items() if not name.startswith("FLEET_")}
        full |= env | {VARIABLE: str(self.witness.path), "PYTHONUNBUFFERED": "1"}
        self.supervisor.start(
            Spec(role, (sys.executable, "-m", *words), full, stage=1) for role, words in roles.items()
        )

    def workers(self) -> set[int]:
        """Their process groups, of those that run now."""
        children = self.supervisor.children()
        return {child.pid for child in children if child.spec.name.startswith(WORKER) and child.pid}

    def at_work(self) -> list[Line]:
        """The starts of what living workers have in their hands."""
        workers = self.workers()
        return [line for line in self.witness.under_way() if line.group in workers and alive(line.pid)]


@contextmanager
def house(root: Path) -> Iterator[House]:
    """An empty one, whose processes end with it. Raises NotHere."""
    broker = Broker(root)
    supervisor = Supervisor(StateDir.opened(root), lambda said: None, AT_ONCE)
    try:
        yield House(root, broker, Witness(root / "witness.jsonl"), supervisor)
    finally:
        supervisor.stop(lambda: True)
        broker.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def send_group(group: int, number: signal.Signals) -> bool:
    """Sends a signal to a worker and its pool; whether they were there to get it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
