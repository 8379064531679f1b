"""Tried: what the next attempt at a subtask is told of the earlier ones."""

from typing import Any

from contracts.handoffs import Handoff
from orchestrator.reads.base import Read


class TriedRead(Read):
    """One earlier try, or a review of it."""

    attempt: str
    code: str | None
    sentence: str
    parameters: dict[str, str]
    """With which lane, model and rung it was tried."""
    kept: str
    """What of it stands and must not be done again."""

    def told(self) -> str:
        """All of it in one line."""
        how = ", ".join(f"{name} {value}" for name, value in self.parameters.items())
        kept = f"; this stands: {self.kept}" if self.kept else ""
        return f"{self.sentence}{f' ({how})' if how else ''}{kept}"


def tried_of(row: Any) -> tuple[TriedRead, ...]:
    """As the handoff of this subtask says; nothing before it has one."""
    if row.handoff is None:
        return ()
    return tuple(
        TriedRead(
            attempt=each.attempt,
            code=each.code,
            sentence=each.sentence,
            parameters=each.parameters,
            kept=each.kept,
        )
        for each in Handoff.model_validate(row.handoff).tried
    )
