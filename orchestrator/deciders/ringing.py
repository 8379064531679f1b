"""Ringing: which doorbells rang in vain and are rung again. A doorbell too many costs one refused claim."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FIRST_PATIENCE_SECONDS = 1.5
"""After the first ring; twice as long after each further one."""
LONGEST_REST_SECONDS = 60.0
OVERTAKEN_SECONDS = 0.5
"""Publishers and workers are several, so that a queue is in order only about as exactly as this."""


@dataclass(frozen=True)
class Unclaimed:
    """A granted attempt that nobody has claimed, with its doorbell taken by the broker."""

    attempt: str
    lane: str
    granted_at: float
    rung_at: float
    """When it was last rung."""
    rings: int


@dataclass(frozen=True)
class Progress:
    """How far a lane has come, as its attempts under way show it."""

    reached: float
    """When the latest of them was granted."""
    claimed_at: float
    """When the last of them was claimed."""


def in_vain(
    unclaimed: Iterable[Unclaimed], free: Mapping[str, int], progress: Mapping[str, Progress], at: float
) -> list[str]:
    """The attempts to ring again. Each has waited out its patience, longer after each ring, while its lane had
    `free` slots; and either the lane claims nothing any more, or it has claimed what was granted well after it,
    so that no backlog explains the wait."""
    return [
        each.attempt
        for each in unclaimed
        if at - each.rung_at >= patience(each.rings)
        and free.get(each.lane, 0) > 0
        and _unexplained(each, progress.get(each.lane), at)
    ]


def patience(rings: int) -> float:
    """How long a doorbell that was the last of so many may go unheard, in seconds."""
    return FIRST_PATIENCE_SECONDS * 2.0 ** (min(rings, 10) - 1)


def rest(returns: int) -> float:
    """How long a subtask rests that was granted so often in a row and never claimed, in seconds: what nobody can take
    would be granted for days else, an attempt every few seconds."""
    return min(patience(returns - 1), LONGEST_REST_SECONDS) if returns > 1 else 0.0


def _unexplained(each: Unclaimed, progress: Progress | None, at: float) -> bool:
    if progress is None or at - progress.claimed_at >= FIRST_PATIENCE_SECONDS:
        return True
    return progress.reached >= each.granted_at + OVERTAKEN_SECONDS
