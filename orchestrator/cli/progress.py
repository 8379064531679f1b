"""Progress of a job: a live board on a terminal, a line an event elsewhere."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.live import Live

from orchestrator.cli.board import Board
from orchestrator.cli.screen import console

if TYPE_CHECKING:
    from orchestrator.client import FleetClient
    from orchestrator.reads.approvals import ApprovalLine
    from orchestrator.reads.events import EventRead
    from orchestrator.reads.outcomes import JobRead

Hear = Callable[["EventRead"], None]
_TELLING = {"done", "dead", "skipped", "parked", "failed", "cancelled", "awaiting_approval"}
"""Moves worth a line; the others are too many to read."""


def waits_for_a_person(asked: "ApprovalLine") -> str:
    """Who may answer, and how."""
    return (
        f"waits for a person other than {asked.requested_by}; look and answer with\n"
        f"  fleet approvals show {asked.id}\n  fleet approvals approve {asked.id} --as NAME"
    )


class Progress:
    """Shows a job until it ends. What is said meanwhile stands above the board."""

    def __init__(self, live: bool | None = None, hints: bool = False) -> None:
        """`hints` says how to answer when the job waits for a person."""
        self.console = console()
        self._hints = hints
        self._live = sys.stdout.isatty() if live is None else live

    def say(self, sentence: str) -> None:
        self.console.print(sentence, markup=False)

    def follow(self, client: "FleetClient", job_id: str, hear: Hear = lambda event: None) -> "JobRead":
        """The job once it has ended; `hear` is told every event first."""
        if not self._live:
            for event in client.watch(job_id):
                self._tell(event)
                self._hint(client, job_id, event)
                hear(event)
            return client.job(job_id)
        board = Board(lambda: client.job(job_id))
        with Live(board, console=self.console, refresh_per_second=8, transient=False):
            for event in client.watch(job_id):
                board.hear(event)
                self._hint(client, job_id, event)
                hear(event)
        return client.job(job_id)

    def _hint(self, client: "FleetClient", job_id: str, event: "EventRead") -> None:
        if self._hints and event.subtask is None and event.new == "awaiting_approval":
            for asked in client.approvals().items:
                if asked.job_id == job_id:
                    self.say(waits_for_a_person(asked))

    def _tell(self, event: "EventRead") -> None:
        if event.new in _TELLING:
            at = event.at.astimezone().strftime("%H:%M:%S")
            who = event.subtask or "the job"
            self.say(f"{at}  {who} {event.new.replace('_', ' ')}: {event.sentence}".rstrip(": "))
