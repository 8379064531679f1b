"""Presence: a worker's row, from its start to its stop."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update

from orchestrator.ledger.clock import now, wall_clock
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.tables import worker
from orchestrator.liveness import SILENT
from orchestrator.wake import ring


@dataclass(frozen=True)
class WorkerCard:
    """What a worker says about itself at its start."""

    id: str
    """Of this incarnation, as ``node/pid``: two workers of one node are two, and each leaves for itself."""
    lanes: tuple[str, ...]
    handlers: tuple[str, ...]
    slots: int
    version: str
    simulates: tuple[str, ...] = ()
    """The vendors for which it asks the simulator; what these answered is given again only to such workers' lanes."""
    reads_limits: tuple[str, ...] = ()
    """The accounts, as ``vendor/account``, of which it has the key that tells what the vendor allows."""


def announce(ledger: Ledger, card: WorkerCard) -> None:
    """Writes the worker's row, or refreshes it after a restart."""
    values = {
        "lanes": list(card.lanes),
        "handlers": list(card.handlers),
        "slots": card.slots,
        "version": card.version,
        "simulates": list(card.simulates),
        "reads_limits": list(card.reads_limits),
        "stopped_at": None,
        "canary_at": None,
    }
    with ledger.write() as connection:
        at = now(connection)
        times = {"started_at": at, "beat_at": at, "heard_at": at}
        known = update(worker).where(worker.c.id == card.id).values(**values, **times)
        if connection.execute(known).rowcount == 0:
            connection.execute(insert(worker).values(id=card.id, **values, **times))
        ring(connection)


def beat(ledger: Ledger, worker_id: str, busy: int, heard: bool) -> bool:
    """Says that the worker lives, whatever was said of its id before, how many of its slots are taken, and whether
    it has `heard` anything from its broker since it last said so. Answers whether it was found to take nothing
    although there is work for it: such a worker has to leave."""
    alive: dict[str, Any] = {"beat_at": wall_clock(), "stopped_at": None, "busy": busy}
    if heard:
        alive["heard_at"] = wall_clock()
    with ledger.write() as connection:
        connection.execute(update(worker).where(worker.c.id == worker_id).values(**alive))
        return bool(connection.execute(select(SILENT).where(worker.c.id == worker_id)).scalar())


def leave(ledger: Ledger, worker_id: str) -> None:
    """Says that the worker takes no more."""
    with ledger.write() as connection:
        connection.execute(update(worker).where(worker.c.id == worker_id).values(stopped_at=wall_clock()))
