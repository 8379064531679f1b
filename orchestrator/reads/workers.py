"""Workers: who is alive to take work."""

from datetime import datetime

from sqlalchemy import Connection, select

from orchestrator.ledger.clock import wall_clock
from orchestrator.ledger.tables import worker
from orchestrator.liveness import SILENT
from orchestrator.reads.base import Read, moment


class WorkerRead(Read):
    """A worker process that has beaten within its lease."""

    id: str
    lanes: tuple[str, ...]
    slots: int
    version: str
    started_at: datetime
    beat_at: datetime
    busy: int
    """Slots that were taken at its last beat."""
    silent: bool
    """Whether it takes nothing although there is work for it: nothing is granted to it."""


def live_workers(connection: Connection, lease_seconds: float) -> tuple[WorkerRead, ...]:
    """Workers that have neither left nor been silent for longer than the lease."""
    rows = connection.execute(
        select(worker, SILENT.label("silent"))
        .where(worker.c.stopped_at.is_(None), worker.c.beat_at > wall_clock() - lease_seconds)
        .order_by(worker.c.id)
    )
    return tuple(
        WorkerRead(
            id=row.id,
            lanes=tuple(row.lanes),
            slots=row.slots,
            version=row.version,
            started_at=moment(row.started_at),
            beat_at=moment(row.beat_at),
            busy=row.busy,
            silent=bool(row.silent),
        )
        for row in rows
    )
