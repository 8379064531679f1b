"""Slots: how many attempts the live workers of a lane can take now."""

from dataclasses import dataclass


@dataclass
class Pool:
    """Workers that serve the same lanes. No live worker, no pool, no grant."""

    lanes: frozenset[str]
    room: int
    """Attempts it may still be given."""


def pools_of(
    workers: list[tuple[frozenset[str], int]], in_flight: dict[str, int], ahead: dict[str, int]
) -> list[Pool]:
    """Pools with what is left of their slots. `workers` are (lanes, slots); `in_flight` attempts by lane
    count against the first pool that serves the lane and has room; `ahead` by lane is the short queue."""
    slots: dict[frozenset[str], int] = {}
    for lanes, count in workers:
        slots[lanes] = slots.get(lanes, 0) + count
    pools = [
        Pool(lanes, count + max((ahead.get(lane, 0) for lane in lanes), default=0))
        for lanes, count in slots.items()
    ]
    for lane, count in in_flight.items():
        for _ in range(count):
            if not take(pools, lane):
                break
    return pools


def take(pools: list[Pool], lane: str) -> bool:
    """Takes one slot for the lane; False where none is left."""
    for pool in pools:
        if lane in pool.lanes and pool.room > 0:
            pool.room -= 1
            return True
    return False


def room(pools: list[Pool], lane: str) -> int:
    """How many attempts the lane may still be given."""
    return sum(pool.room for pool in pools if lane in pool.lanes)


def ahead_of(slots: int, mean_seconds: float, queue_ahead_seconds: float) -> int:
    """How many attempts make `queue_ahead_seconds` of work for so many slots."""
    return int(slots * queue_ahead_seconds / max(mean_seconds, 0.004))
