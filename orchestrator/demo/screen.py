"""What the demo needs in order to be seen; the command line provides it."""

from collections.abc import Callable
from typing import Protocol

from orchestrator.client import FleetClient
from orchestrator.reads.approvals import ApprovalRead
from orchestrator.reads.events import EventRead
from orchestrator.reads.outcomes import JobRead


class Screen(Protocol):
    """Says sentences, shows a job until it ends, and asks a person."""

    def say(self, sentence: str) -> None: ...

    def follow(self, client: FleetClient, job_id: str, hear: Callable[[EventRead], None]) -> JobRead: ...

    def ask(self, approval: ApprovalRead, content: bytes) -> tuple[str, str]:
        """The person's decision (``approve``, ``reject`` or ``revise``) on `content`, and a comment."""
        ...
