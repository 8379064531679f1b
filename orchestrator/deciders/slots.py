"""Slots: how many attempts the live workers of a lane can take now."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import exp

SHORTEST_ATTEMPT_SECONDS = 0.004
"""What is shorter than claiming and reporting take does not lengthen a queue any further."""

RECENT_SECONDS = 5.0
"""What was reported so long ago counts a third of what is reported now."""


@dataclass
class Pool:
    """Workers that serve the same lanes."""

    lanes: frozenset[str]
    free: int
    """Slots that nobody holds."""


class Slots:
    """The free slots of all live workers, and for each lane the short queue before them.

    Lanes that share workers share their slots; what does not find one waits in its own lane's queue, whose
    length is its own. A lane without a live worker has neither.
    """

    def __init__(
        self,
        workers: Iterable[tuple[frozenset[str], int]],
        in_flight: Mapping[str, int],
        ahead: Mapping[str, int],
    ) -> None:
        """`workers` are (lanes, slots), one for each; `in_flight` the attempts by lane; `ahead` how many may
        wait by lane."""
        slots: dict[frozenset[str], int] = {}
        for lanes, count in workers:
            slots[lanes] = slots.get(lanes, 0) + count
        self._pools = [Pool(lanes, count) for lanes, count in slots.items()]
        self._queue = {lane: ahead.get(lane, 0) for lanes in slots for lane in lanes}
        for lane, count in in_flight.items():
            for _ in range(count):
                self._fill(lane)

    def room(self, lane: str) -> int:
        """How many attempts the lane may still be given."""
        free = sum(pool.free for pool in self._pools if lane in pool.lanes)
        return free + max(self._queue.get(lane, 0), 0)

    def take(self, lane: str) -> None:
        """Gives the lane one of its room."""
        self._fill(lane)

    def _fill(self, lane: str) -> None:
        for pool in self._pools:
            if lane in pool.lanes and pool.free > 0:
                pool.free -= 1
                return
        if lane in self._queue:
            self._queue[lane] -= 1


class Takings:
    """How much of each lane is really done lately. Its attempts alone do not tell: where machines or doorbells are
    slow, what is granted beyond it comes back unclaimed, and its doorbells keep workers from those that count."""

    def __init__(self) -> None:
        self._recent: defaultdict[str, float] = defaultdict(float)
        self._at: float | None = None

    def count(self, lane: str) -> None:
        """An attempt of this lane was reported."""
        self._recent[lane] += 1

    def per_second(self, at: float) -> dict[str, float]:
        """How many attempts of each lane were reported a second; a lane of which none ever was is not there."""
        fade = exp(-max(at - self._at, 0.0) / RECENT_SECONDS) if self._at is not None else 1.0
        self._at = at
        for lane in self._recent:
            self._recent[lane] *= fade
        return {lane: count / RECENT_SECONDS for lane, count in self._recent.items()}


def ahead_of(
    slots: int, mean_seconds: float, queue_ahead_seconds: float, per_second: float | None = None
) -> int:
    """How many attempts make `queue_ahead_seconds` of work for so many slots; where it is known how many are done
    `per_second`, no more than twice what is done in that time, but one for each slot."""
    by_length = int(slots * queue_ahead_seconds / max(mean_seconds, SHORTEST_ATTEMPT_SECONDS))
    if per_second is None:
        return by_length
    return min(by_length, max(slots, int(2 * per_second * queue_ahead_seconds)))
