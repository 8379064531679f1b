"""Waits: where the time went that nobody worked in, by cause."""

from typing import Any

from sqlalchemy import Connection, func, select

from orchestrator.ledger.tables import attempt
from orchestrator.reads.base import Read


class Waits(Read):
    """Seconds waited, by cause. Subtasks wait side by side, so a job's sum may exceed its age."""

    dependency_seconds: float = 0.0
    budget_seconds: float = 0.0
    queue_seconds: float = 0.0
    gate_seconds: float = 0.0
    """Held back by a rule: a verdict until its siblings are in, work until its spending cap had room."""
    human_seconds: float = 0.0
    backoff_seconds: float = 0.0

    def __add__(self, other: "Waits") -> "Waits":
        mine, theirs = self.model_dump(), other.model_dump()
        return Waits(**{cause: mine[cause] + theirs[cause] for cause in mine})


CAUSES_OF_ATTEMPTS = ("backoff", "budget", "queue")
"""Causes whose seconds stand in the attempt's row."""
CAUSES_OF_SUBTASKS = ("dependency", "gate", "human")
"""Causes whose seconds stand in the subtask's row."""


def waits_by_subtask(connection: Connection, job_id: str) -> dict[str, Waits]:
    """What the attempts of each subtask of a job waited for."""
    sums = [func.sum(attempt.c[f"{cause}_seconds"]).label(cause) for cause in CAUSES_OF_ATTEMPTS]
    rows = connection.execute(
        select(attempt.c.subtask_id, *sums).where(attempt.c.job_id == job_id).group_by(attempt.c.subtask_id)
    )
    return {
        row.subtask_id: Waits(backoff_seconds=row.backoff, budget_seconds=row.budget, queue_seconds=row.queue)
        for row in rows
    }


def own_waits(subtask_row: Any) -> Waits:
    """What a subtask waited for apart from its attempts."""
    return Waits(
        dependency_seconds=subtask_row.dependency_seconds,
        gate_seconds=subtask_row.gate_seconds,
        human_seconds=subtask_row.human_seconds,
    )
