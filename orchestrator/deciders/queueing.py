"""Queueing: how long work waits for a budget, with what stands before it."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.limits import Dimension
from orchestrator.deciders.pacing import Amount, Purse, full, per_second


@dataclass(frozen=True)
class Turn:
    """When work may be granted, and what decides that."""

    seconds: float
    """Infinite where only another day, or a call that ends, brings it."""
    key: str
    """The account that comes first."""
    dimension: Dimension | None
    """What is short; None where nothing is, or the whole account is closed."""


def turn(accounts: Sequence[Purse], own: Amount, ahead: Amount) -> Turn:
    """The turn of an amount with so much before it, over all the accounts that may pay, of which there is one
    at least. They refill side by side, so their levels and rates add up."""
    open_ones = [purse for purse in accounts if purse.closed_seconds <= 0]
    if not open_ones:
        first = min(accounts, key=lambda purse: purse.closed_seconds)
        return Turn(first.closed_seconds, first.key, None)
    waits = [
        Turn(_seconds(open_ones, dimension, own, ahead), open_ones[0].key, dimension)
        for dimension in open_ones[0].buckets
    ]
    longest = max(waits, key=lambda each: each.seconds)
    return longest if longest.seconds > 0 else Turn(0.0, open_ones[0].key, None)


def _seconds(accounts: Sequence[Purse], dimension: Dimension, own: Amount, ahead: Amount) -> float:
    """(what stands before it + its own need − what is there) / rate; its own need is at most a full bucket."""
    buckets = [purse.buckets[dimension] for purse in accounts if dimension in purse.buckets]
    need = min(own.get(dimension, 0), max(full(dimension, bucket) for bucket in buckets))
    missing = ahead.get(dimension, 0) + need - sum(bucket.level for bucket in buckets)
    if missing <= 0:
        return 0.0
    rate = sum(per_second(dimension, bucket) for bucket in buckets)
    return missing / rate if rate else float("inf")
