"""Liveness: whether a worker that beats also takes work. Only what it takes from its broker proves that."""

from collections.abc import Container
from dataclasses import dataclass

CANARIES = 3
"""So many are rung within the time after which a worker that took none of them is silent."""


@dataclass(frozen=True)
class Serving:
    """A worker that takes work."""

    id: str
    lanes: frozenset[str]
    slots: int


@dataclass(frozen=True)
class Standing:
    """A worker that beats."""

    lanes: frozenset[str]
    slots: int
    busy: int
    heard_at: float
    """When it was last seen to take anything."""
    canary_at: float | None
    """When a canary was last rung for it."""


def is_silent(worker: Standing, waiting: Container[str], at: float, after_seconds: float) -> bool:
    """Whether it has free slots, work of its lanes is `waiting`, and it took nothing for so long, not even the
    last canary, for which it had time. Who is busy or slow is left alone; and where nobody rang, since the
    broker or the leader was away, nobody could be heard."""
    if worker.busy >= worker.slots or at - worker.heard_at < after_seconds:
        return False
    if worker.canary_at is None or worker.canary_at <= worker.heard_at:
        return False
    every = canary_seconds(after_seconds)
    had_time = every / 2 <= at - worker.canary_at < 2 * every
    return had_time and any(lane in waiting for lane in worker.lanes)


def canary_seconds(silent_seconds: float) -> float:
    """How long a worker may be unheard before a canary is rung for it."""
    return silent_seconds / CANARIES
