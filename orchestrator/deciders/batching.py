"""Batching: whether work that can wait goes by a vendor's batch, and by whose account.

A batch costs half and takes nothing from the budgets of live calls, but its answers may take a day, and each
batch has work of its own: so a few must come together, or one must have waited for long.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.vendors import Batching


@dataclass(frozen=True)
class Waiting:
    """A ready subtask that may go by batch."""

    subtask: str
    input_tokens: int
    waited_seconds: float


@dataclass(frozen=True)
class Pool:
    """What waits in the batches of one account for one model."""

    account: str
    requests: int = 0
    input_tokens: int = 0
    refused: bool = False
    """Whether its vendor refused a batch of late."""


@dataclass(frozen=True)
class Gather:
    """These go by one batch of this account."""

    account: str
    subtasks: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class GoLive:
    """They go live, as any other work."""

    why: str


def decide(waiting: Sequence[Waiting], pools: Sequence[Pool], rule: Batching) -> Gather | GoLive:
    """Decides for the ready work of one vendor's model, those that waited longest first."""
    oldest = sorted(waiting, key=lambda each: -each.waited_seconds)
    if not oldest:
        return GoLive("none waits")
    patient = oldest[0].waited_seconds >= rule.patience_seconds
    if len(oldest) < rule.fewest and not patient:
        return GoLive(f"only {len(oldest)} wait, and a batch is worth its while from {rule.fewest}")
    free = [pool for pool in pools if not pool.refused]
    if not free:
        return GoLive("the vendor refused a batch of late")
    pool = min(free, key=lambda pool: pool.requests)
    fitting = _fitting(oldest, pool, rule)
    if not fitting or (len(fitting) < rule.fewest and not patient):
        return GoLive(f"the batches of account {pool.account} are full")
    return Gather(pool.account, fitting, _why(len(fitting), oldest[0], rule))


def _fitting(oldest: Sequence[Waiting], pool: Pool, rule: Batching) -> tuple[str, ...]:
    """As many, in this order, as the pool has room for."""
    tokens, found = pool.input_tokens, []
    for each in oldest[: max(rule.requests - pool.requests, 0)]:
        tokens += each.input_tokens
        if rule.input_tokens is not None and tokens > rule.input_tokens:
            break
        found.append(each.subtask)
    return tuple(found)


def _why(number: int, oldest: Waiting, rule: Batching) -> str:
    if number >= rule.fewest:
        return f"{number} can wait, and by batch they cost less"
    return f"it has waited {oldest.waited_seconds:.0f} s for a live call, and a batch has room"
