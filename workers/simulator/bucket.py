"""A continuously refilled token bucket."""

from dataclasses import dataclass


@dataclass
class Bucket:
    """One dimension of one pool. Times are seconds of one monotonic clock."""

    limit_per_minute: float
    burst_seconds: float
    level: float
    """What may be used now; below zero it is a debt."""
    updated: float
    others_share: float = 0
    """The part of the rate that somebody else takes as it comes."""

    @classmethod
    def full(
        cls, limit_per_minute: float, burst_seconds: float, now: float, others_share: float = 0
    ) -> "Bucket":
        return cls(limit_per_minute, burst_seconds, limit_per_minute * burst_seconds / 60, now, others_share)

    @property
    def rate(self) -> float:
        """Units per second that come in for the one who is metered here."""
        return self.limit_per_minute / 60 * (1 - self.others_share)

    @property
    def capacity(self) -> float:
        return self.limit_per_minute / 60 * self.burst_seconds

    def refill(self, now: float) -> None:
        self.level = min(self.capacity, self.level + self.rate * max(0.0, now - self.updated))
        self.updated = max(now, self.updated)

    def seconds_until(self, level: float) -> float:
        """How long until the bucket holds so much; 0 if it does. A level above its capacity is never
        reached, but vendors name a time all the same."""
        if self.level >= level:
            return 0.0
        return (level - self.level) / self.rate if self.rate > 0 else 3600.0
