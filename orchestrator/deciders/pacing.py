"""Pacing: how much of a budget is there, and what an attempt takes from it.

Each dimension per minute is a continuously refilled token bucket that holds half of what the vendor's own
bucket holds, so that a full bucket of ours never meets an empty one of theirs. A dimension per day is
counted down and begins anew with the day. Reserving the mean and correcting at the report may bring a level
below zero; it is paid back by waiting.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from contracts.limits import Dimension
from contracts.vendors import Charging

BURST_SHARE = 0.5
"""Of the vendor's burst: in simulation and on real workers this alone made 429s vanish at full use."""
DAILY = frozenset({Dimension.REQUESTS_PER_DAY, Dimension.TOKENS_PER_DAY})

Amount = Mapping[Dimension, float]
"""What an attempt takes or gives back, by dimension."""


@dataclass(frozen=True)
class Bucket:
    """One dimension of a budget at one moment."""

    limit: float
    """Per minute, or per day where the dimension says so."""
    burst_seconds: float
    """The vendor's; without meaning for a dimension per day."""
    level: float


@dataclass(frozen=True)
class Purse:
    """A budget at one moment."""

    key: str
    scope: str
    """What work names that may draw on this account as on others: vendor and group."""
    charging: Charging
    buckets: Mapping[Dimension, Bucket]
    concurrency: int
    in_flight: int = 0
    closed_seconds: float = 0.0
    closed_why: str = ""


@dataclass(frozen=True)
class Held:
    """Not now, and why."""

    why: str
    seconds: float
    """Until it may be enough, as far as time alone decides; infinite where it does not."""


def per_second(dimension: Dimension, bucket: Bucket) -> float:
    """How fast a bucket fills."""
    return 0.0 if dimension in DAILY else bucket.limit / 60


def full(dimension: Dimension, bucket: Bucket) -> float:
    """The most a bucket holds."""
    if dimension in DAILY:
        return bucket.limit
    return max(bucket.limit / 60 * bucket.burst_seconds * BURST_SHARE, 1.0)


def refilled(purse: Purse, elapsed_seconds: float, another_day: bool) -> Purse:
    """The budget after so many seconds; never above full, never lower by a clock that jumped."""
    return replace(
        purse,
        buckets={
            dimension: _refilled(dimension, bucket, elapsed_seconds, another_day)
            for dimension, bucket in purse.buckets.items()
        },
    )


def _refilled(dimension: Dimension, bucket: Bucket, elapsed_seconds: float, another_day: bool) -> Bucket:
    most = full(dimension, bucket)
    if dimension in DAILY and another_day:
        return replace(bucket, level=most)
    gained = per_second(dimension, bucket) * max(elapsed_seconds, 0.0)
    return replace(bucket, level=min(bucket.level + gained, most))


def beside(purse: Purse, *uncounted: Amount) -> Purse:
    """The purse with what is granted and its vendor has not counted held as still in it: together they are never
    above full.

    A vendor's bucket that is full gains nothing while work waits for workers or for its first answers; what ours
    gained meanwhile would be counted there together with that work."""
    lowered = {
        name: _beside(name, bucket, sum(amount.get(name, 0) for amount in uncounted))
        for name, bucket in purse.buckets.items()
    }
    return purse if lowered == purse.buckets else replace(purse, buckets=lowered)


def on_top(purse: Purse, claimed_output_tokens: float, mean_seconds: float) -> Amount:
    """Of the output that claimed calls reserve, what is more than the limit lets through in the mean duration of a
    call (Little's law), where the vendor counts output as it is produced: until then it has counted none of it."""
    bucket = purse.buckets.get(Dimension.OUTPUT_TOKENS)
    if bucket is None or purse.charging.promise_counts:
        return {}
    usual = per_second(Dimension.OUTPUT_TOKENS, bucket) * mean_seconds
    return {Dimension.OUTPUT_TOKENS: max(claimed_output_tokens - usual, 0.0)}


def _beside(dimension: Dimension, bucket: Bucket, uncounted: float) -> Bucket:
    if dimension in DAILY or bucket.level <= 0:
        return bucket
    return replace(bucket, level=min(bucket.level, max(full(dimension, bucket) - uncounted, 0.0)))


def reserve(purse: Purse, amount: Amount) -> Purse | Held:
    """The purse after the reservation, or what it waits for. Larger than a bucket waits for a full one."""
    if purse.closed_seconds > 0:
        return Held(f"{purse.key} is closed: {purse.closed_why}", purse.closed_seconds)
    if purse.in_flight >= purse.concurrency:
        return Held(f"{purse.key}: all {purse.concurrency} concurrent calls are taken", float("inf"))
    short = max(
        ((seconds_until(purse, dimension, amount), dimension) for dimension in purse.buckets), default=None
    )
    if short and short[0] > 0:
        return Held(f"{purse.key}: {words(short[1])}", short[0])
    return replace(purse, buckets=_plus(purse.buckets, amount, -1), in_flight=purse.in_flight + 1)


def seconds_until(purse: Purse, dimension: Dimension, amount: Amount) -> float:
    """How long it takes until this dimension has room for the amount; infinite until another day."""
    bucket = purse.buckets[dimension]
    missing = min(amount.get(dimension, 0), full(dimension, bucket)) - bucket.level
    if missing <= 0:
        return 0.0
    rate = per_second(dimension, bucket)
    return missing / rate if rate else float("inf")


def words(dimension: Dimension) -> str:
    """The dimension as people read it."""
    return dimension.value.replace("_", " ")


def settled(purse: Purse, reserved: Amount, used: Amount) -> Purse:
    """The purse after a reservation is corrected to what was used. What comes back never overfills it."""
    back = _plus(_plus(purse.buckets, reserved, 1), used, -1)
    return replace(
        purse,
        buckets={d: replace(b, level=min(b.level, full(d, b))) for d, b in back.items()},
    )


def _plus(buckets: Mapping[Dimension, Bucket], amount: Amount, sign: int) -> dict[Dimension, Bucket]:
    return {d: replace(b, level=b.level + sign * amount.get(d, 0)) for d, b in buckets.items()}
