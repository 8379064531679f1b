"""Pacing: how much of a budget is there, and what an attempt takes from it.

A continuously refilled token bucket for requests, input tokens and output tokens, with a burst of half a
minute: half of what the vendors' own buckets hold, so that a full bucket of ours never meets an empty one
of theirs. Reserving the mean and correcting at the report may bring a level below zero; it is paid back by
waiting.
"""

from dataclasses import dataclass, replace

BURST_SECONDS = 30.0


@dataclass(frozen=True)
class Rates:
    """Per minute; concurrency in calls."""

    requests: int
    input_tokens: int
    output_tokens: int
    concurrency: int


@dataclass(frozen=True)
class Levels:
    """What is there now."""

    requests: float
    input_tokens: float
    output_tokens: float


@dataclass(frozen=True)
class Amount:
    """What an attempt takes or gives back."""

    requests: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Purse:
    """A budget at one moment of a dispatch."""

    key: str
    rates: Rates
    levels: Levels
    in_flight: int
    closed_seconds: float = 0.0
    closed_why: str = ""


@dataclass(frozen=True)
class Held:
    """Not now, and why."""

    why: str


def capacity(rates: Rates) -> Levels:
    """The levels of a full bucket."""
    share = BURST_SECONDS / 60
    return Levels(max(rates.requests * share, 1.0), rates.input_tokens * share, rates.output_tokens * share)


def refill(levels: Levels, rates: Rates, elapsed_seconds: float) -> Levels:
    """The levels after so many seconds; never above full, never lower by a clock that jumped."""
    full, minutes = capacity(rates), max(elapsed_seconds, 0.0) / 60
    return Levels(
        min(levels.requests + rates.requests * minutes, full.requests),
        min(levels.input_tokens + rates.input_tokens * minutes, full.input_tokens),
        min(levels.output_tokens + rates.output_tokens * minutes, full.output_tokens),
    )


def reserve(purse: Purse, amount: Amount) -> Purse | Held:
    """The purse after the reservation, or what it waits for. Larger than a bucket waits for a full one."""
    if purse.closed_seconds > 0:
        return Held(f"{purse.key} is closed for {purse.closed_seconds:.0f} s: {purse.closed_why}")
    if purse.in_flight >= purse.rates.concurrency:
        return Held(f"{purse.key}: all {purse.rates.concurrency} concurrent calls are taken")
    full = capacity(purse.rates)
    for name in ("requests", "input_tokens", "output_tokens"):
        wanted = min(getattr(amount, name), getattr(full, name))
        if getattr(purse.levels, name) < wanted:
            return Held(f"{purse.key}: {name.replace('_', ' ')}")
    return replace(purse, levels=_plus(purse.levels, amount, -1), in_flight=purse.in_flight + 1)


def settle(levels: Levels, reserved: Amount, used: Amount) -> Levels:
    """The levels after a reservation is corrected to what was used."""
    return _plus(_plus(levels, reserved, 1), used, -1)


def _plus(levels: Levels, amount: Amount, sign: int) -> Levels:
    return Levels(
        levels.requests + sign * amount.requests,
        levels.input_tokens + sign * amount.input_tokens,
        levels.output_tokens + sign * amount.output_tokens,
    )
