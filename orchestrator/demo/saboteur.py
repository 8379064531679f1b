"""The saboteur: kills one worker process in the middle, to show that it does not matter."""

import os
import signal
from dataclasses import dataclass

from contracts.states import SubtaskState
from orchestrator.demo.screen import Screen
from orchestrator.reads.events import EventRead
from orchestrator.up.fleet import Fleet

WORKER = "worker-"
STRIKES_AT = 3
"""Which start of a subtask it waits for, so that work is really under way."""
SHORT_LEASE = {"FLEET_LEASE_SECONDS": "5", "FLEET_HEARTBEAT_SECONDS": "1"}
"""What a killed worker held is taken back after its lease; a demo should not wait half a minute for that."""


@dataclass
class Saboteur:
    fleet: Fleet
    screen: Screen
    _started: int = 0

    def hear(self, event: EventRead) -> None:
        if event.new != SubtaskState.RUNNING or event.subtask is None:
            return
        self._started += 1
        if self._started == STRIKES_AT:
            self._strike(event.subtask)

    def _strike(self, busy_with: str) -> None:
        workers = [child for child in self.fleet.supervisor.children() if child.spec.name.startswith(WORKER)]
        victim = next(child for child in reversed(workers) if child.pid is not None)
        assert victim.pid is not None
        self.screen.say(
            f"  ! {victim.spec.name} (process {victim.pid}) is killed with SIGKILL, {busy_with} under way"
        )
        os.kill(victim.pid, signal.SIGKILL)
