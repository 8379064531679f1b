"""Slots: how many attempts the live workers of a lane can take now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SHORTEST_ATTEMPT_SECONDS = 0.004
"""What is shorter than claiming and reporting take does not lengthen a queue any further."""


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


def ahead_of(slots: int, mean_seconds: float, queue_ahead_seconds: float) -> int:
    """How many attempts make `queue_ahead_seconds` of work for so many slots."""
    return int(slots * queue_ahead_seconds / max(mean_seconds, SHORTEST_ATTEMPT_SECONDS))
