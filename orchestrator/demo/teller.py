"""The teller: says what is worth seeing while the job goes on, objections and revisions above all."""

from dataclasses import dataclass, field

from contracts.states import SubtaskState
from contracts.verdicts import Decision
from orchestrator.client import FleetClient
from orchestrator.demo.screen import Screen
from orchestrator.reads.events import EventRead
from orchestrator.reads.subtasks import SubtaskLine

FIRST_ROUND = 1


@dataclass
class Teller:
    """Hears the job's events. It knows no step: a verdict is what carries a decision, a revision a later round."""

    client: FleetClient
    job_id: str
    screen: Screen
    _told: set[str] = field(default_factory=set)

    def hear(self, event: EventRead) -> None:
        if event.subtask_id is None or event.new != SubtaskState.DONE or event.subtask_id in self._told:
            return
        for line in self.client.job(self.job_id).subtasks:
            if line.state is SubtaskState.DONE and line.id not in self._told:
                self._told.add(line.id)
                self._tell(line)

    def _tell(self, line: SubtaskLine) -> None:
        if line.summary is None:
            return
        if line.summary.decision is Decision.OBJECT:
            self.screen.say(f"  ✗ {line.name} {line.summary.text}")
        elif line.summary.decision is Decision.APPROVE:
            self.screen.say(f"  ✓ {line.name} {line.summary.text}")
        elif struck := line.summary.facts.get("struck"):
            self.screen.say(
                f"  ✗ {line.name} struck {struck} claim(s) whose quote does not stand: {line.summary.text}"
            )
        elif line.round > FIRST_ROUND:
            self.screen.say(f"  ↻ {line.name} settles the objection: {line.summary.text}")
