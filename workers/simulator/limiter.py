"""The vendors' limits: pools of buckets per (vendor, account, group), each vendor with its own rules."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from workers.simulator.bucket import Bucket
from workers.simulator.call import Call
from workers.simulator.levels import Level
from workers.simulator.settings import Limits, Settings

METERED = {
    "anthropic": ("requests", "input_tokens", "output_tokens"),
    "openai": ("requests", "tokens"),
    "gemini": ("requests", "input_tokens"),
}
"""The dimensions each vendor meters."""

Counted = dict[str, float]
"""What a call took from each dimension."""

_TOUCH = 1e-6
"""Rounding must not refuse a request whose time has come."""


@dataclass(frozen=True)
class Refusal:
    """Why a request was not admitted."""

    dimension: str
    retry_after_seconds: float
    limit: float
    used: float
    requested: float


class Pool:
    """What one account may use of one group of models."""

    def __init__(self, vendor: str, account: str, group: str, limits: Limits, now: float) -> None:
        self.vendor = vendor
        self.account = account
        self.group = group
        self.concurrency = limits.concurrency
        self.headers = limits.headers
        self.at_work = 0
        self.buckets = _buckets(vendor, limits, limits.burst_seconds, now)
        hidden = limits.hidden_burst_seconds
        self._hidden = _buckets(vendor, limits, hidden, now) if hidden is not None else {}

    def refill(self, now: float) -> None:
        for _, bucket in self._all():
            bucket.refill(now)

    def take(self, amount: Counted) -> None:
        """Also into debt."""
        for dimension, bucket in self._all():
            bucket.level -= amount.get(dimension, 0)

    def costs(self, call: Call, input_tokens: int) -> Counted:
        """What admission takes from each bucket. Anthropic meters output as it is produced and only asks
        that none is owed; OpenAI takes the larger of the promised output and a count of characters."""
        if self.vendor == "openai":
            return {"requests": 1, "tokens": max(call.max_output_tokens or 0, len(call.prompt) // 4)}
        if self.vendor == "gemini":
            return {"requests": 1, "input_tokens": input_tokens}
        return {"requests": 1, "input_tokens": input_tokens, "output_tokens": 0}

    def refusal(self, costs: Counted) -> Refusal | None:
        """The dimension that keeps these costs out the longest, if any does."""
        waits = []
        for dimension, bucket in self._all():
            cost = costs[dimension]
            seconds = bucket.seconds_until(max(cost, 1) - _TOUCH)
            if seconds > 0:
                used = bucket.limit_per_minute - bucket.level
                waits.append(Refusal(dimension, seconds, bucket.limit_per_minute, used, cost))
        return max(waits, key=lambda refusal: refusal.retry_after_seconds, default=None)

    def levels(self) -> dict[str, Level]:
        return {
            name: Level(
                bucket.limit_per_minute, max(0.0, bucket.level), bucket.seconds_until(bucket.capacity)
            )
            for name, bucket in self.buckets.items()
        }

    def _all(self) -> Iterator[tuple[str, Bucket]]:
        yield from self.buckets.items()
        yield from self._hidden.items()


def _buckets(vendor: str, limits: Limits, burst_seconds: float, now: float) -> dict[str, Bucket]:
    return {
        dimension: Bucket.full(
            getattr(limits, f"{dimension}_per_minute"), burst_seconds, now, limits.others_share
        )
        for dimension in METERED[vendor]
    }


class Limiter:
    """All pools; a pool comes into being with its first request."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._pools: dict[tuple[str, str, str], Pool] = {}

    def groups(self, vendor: str, account: str) -> dict[str, list[str]]:
        """The models by group: those that the settings name, and those that this account was asked for."""
        groups: dict[str, list[str]] = {}
        for model, group in self._settings.groups.items():
            groups.setdefault(group, []).append(model)
        for of, by, group in self._pools:
            if (of, by) == (vendor, account):
                groups.setdefault(group, [group])
        return groups

    def pool(self, vendor: str, key: str, model: str) -> Pool:
        """The pool of this key and model, refilled up to now."""
        now = self._clock()
        name = vendor, self._settings.account_of(key), self._settings.group_of(model)
        if name not in self._pools:
            self._pools[name] = Pool(*name, self._settings.limits_of(*name), now)
        self._pools[name].refill(now)
        return self._pools[name]

    def admit(self, pool: Pool, call: Call, input_tokens: int) -> tuple[Counted, Refusal | None]:
        """Take the costs, or say what stands against it; and what was counted. At OpenAI a refused request
        counts as one, but a bucket that is used up does not get into debt by it."""
        costs = pool.costs(call, input_tokens)
        refusal = pool.refusal(costs)
        if refusal is None:
            pool.take(costs)
            return costs, None
        counted = {"requests": 1.0} if pool.vendor == "openai" and pool.buckets["requests"].level >= 1 else {}
        pool.take(counted)
        return counted, refusal

    def produced(self, pool: Pool, output_tokens: int) -> Counted:
        """Output counts where it is metered as produced, even into debt."""
        counted = {"output_tokens": float(output_tokens)} if "output_tokens" in pool.buckets else {}
        pool.take(counted)
        return counted

    def reset(self) -> None:
        self._pools.clear()
