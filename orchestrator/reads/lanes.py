"""Lanes: the card of each, what is enforced for it, who serves it and what waits for it."""

from sqlalchemy import Connection

from contracts.catalog import Catalog
from contracts.lanes import Lane
from orchestrator.problems import NotFound
from orchestrator.reads.base import Read
from orchestrator.reads.queues import Queue, queues
from orchestrator.reads.workers import WorkerRead, live_workers


class LaneRead(Read):
    """A lane of the catalog, and how it is doing."""

    lane: str
    card: Lane
    enforced: tuple[str, ...]
    """What holds for it whatever any prompt says, a sentence each."""
    workers: int
    """Live workers that serve it and take work."""
    slots: int
    """How many attempts these may run at once; workers of several lanes share theirs."""
    ready: int
    backing_off: int
    dispatched: int
    """Granted and not yet taken: the depth of its broker queue."""
    running: int
    submitted: int
    """Handed to a vendor's batch, and held by no worker."""
    oldest_ready_seconds: float
    dead_letters: int


def lanes(connection: Connection, catalog: Catalog, lease_seconds: float) -> tuple[LaneRead, ...]:
    """All lanes of the catalog by name."""
    workers, waiting = live_workers(connection, lease_seconds), queues(connection)
    return tuple(
        _read(catalog.lanes[name], workers, waiting.get(name, Queue())) for name in sorted(catalog.lanes)
    )


def lane_read(connection: Connection, catalog: Catalog, lease_seconds: float, name: str) -> LaneRead:
    """One lane; raises NotFound with the known ones."""
    if name not in catalog.lanes:
        raise NotFound(f"no lane “{name}”; known are: {', '.join(sorted(catalog.lanes))}")
    return next(lane for lane in lanes(connection, catalog, lease_seconds) if lane.lane == name)


def _read(lane: Lane, workers: tuple[WorkerRead, ...], queue: Queue) -> LaneRead:
    serving = [worker for worker in workers if lane.lane in worker.lanes and not worker.silent]
    return LaneRead(
        lane=lane.lane,
        card=lane,
        enforced=lane.enforced(),
        workers=len(serving),
        slots=sum(worker.slots for worker in serving),
        ready=queue.ready,
        backing_off=queue.backing_off,
        dispatched=queue.dispatched,
        running=queue.running,
        submitted=queue.submitted,
        oldest_ready_seconds=queue.oldest_ready_seconds,
        dead_letters=queue.dead_letters,
    )
