"""The saboteur: kills one worker process in the middle, to show that it does not matter."""

import os
import signal
from dataclasses import dataclass

from contracts.states import SubtaskState
from orchestrator.client import FleetClient
from orchestrator.demo.screen import Screen
from orchestrator.reads.events import EventRead
from orchestrator.up.fleet import Fleet

STRIKES_AT = 3
"""Which start of a subtask it waits for, so that work is really under way."""
SHORT_LEASE = {"FLEET_LEASE_SECONDS": "5", "FLEET_HEARTBEAT_SECONDS": "1"}
"""What a killed worker held is taken back after its lease; a demo should not wait half a minute for that."""


@dataclass
class Saboteur:
    """Strikes once, at the worker that has just begun a subtask."""

    fleet: Fleet
    client: FleetClient
    job_id: str
    screen: Screen
    _started: int = 0

    def hear(self, event: EventRead) -> None:
        if event.new != SubtaskState.RUNNING or event.subtask is None:
            return
        self._started += 1
        if self._started == STRIKES_AT:
            self._strike(event.subtask)

    def _strike(self, subtask: str) -> None:
        lane = next(line.lane for line in self.client.job(self.job_id).subtasks if line.name == subtask)
        victim = self.fleet.worker_of(lane or "")
        if victim.pid is not None:
            self.screen.say(
                f"  ! {victim.spec.name} (process {victim.pid}) is killed with SIGKILL, {subtask} under way"
            )
            os.kill(victim.pid, signal.SIGKILL)
