"""The overseer: the second person, who answers what the job asks."""

from dataclasses import dataclass

from orchestrator.client import FleetClient
from orchestrator.demo.screen import Screen
from orchestrator.ledger.events import EventKind
from orchestrator.reads.approvals import ApprovalRead
from orchestrator.reads.events import EventRead

REQUESTER = "demo-requester"
OVERSEER = "demo-overseer"


@dataclass
class Overseer:
    """Answers approvals of one job through the same API as everybody else."""

    client: FleetClient
    job_id: str
    screen: Screen
    interactive: bool

    def hear(self, event: EventRead) -> None:
        if event.kind == EventKind.APPROVAL_ASKED:
            for line in self.client.approvals(state="waiting").items:
                if line.job_id == self.job_id:
                    self._answer(self.client.approval(line.id))

    def _answer(self, approval: ApprovalRead) -> None:
        self.screen.say(
            f"  ? the job waits for a person: {approval.packet.get('question', 'shall it go on?')}"
        )
        if self.interactive:
            decision, comment = self.screen.ask(approval, self.client.artifact(approval.digest))
        else:
            decision, comment = "approve", "answered by the demo itself"
            self.screen.say(
                f"    nobody is asked here: the demo itself now answers “{decision}” as {OVERSEER}, through the same "
                f"API, since {REQUESTER}, who asked for the job, may not"
            )
        self.client.answer(approval.id, decision, OVERSEER, comment, approval.digest)
