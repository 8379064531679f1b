"""Suspects: what was in a worker's process when it fell silent, and which processes hold one, as rows of the
ledger."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, literal_column, or_, select

from contracts.failures import Code
from contracts.states import AttemptState
from orchestrator.deciders.liveness import Serving
from orchestrator.deciders.slots import Slots
from orchestrator.deciders.suspecting import ALONE, Blame, Process, blame, room
from orchestrator.ledger.tables import attempt, subtask, worker

_LOST: ColumnElement[str] = literal_column(f"'{AttemptState.LOST}'")
"""Written out, since SQLite finds a partial index by nothing else."""


def blame_all(connection: Connection, rows: Iterable[Any]) -> dict[str, Blame]:
    """What each of these attempts, which are lost now, is blamed for."""
    lost = list(rows)
    silent = [row for row in lost if fell_silent(row)]
    together, before = _together(connection, silent), _lost_before(connection, silent)
    found = {row.id: replace(ALONE, suspect=row.suspect) for row in lost}
    for row in silent:
        others = [other.suspect for other in together if _beside(row, other)]
        found[row.id] = blame(row.suspect, others, row.subtask_id in before)
    return found


def room_for(connection: Connection, workers: Iterable[Serving], granted: Mapping[str, int] | None) -> Slots:
    """How many suspects these workers may be granted, by lane. `granted` are the suspects that nobody has claimed
    yet, by lane; None where no suspect is under way at all, and then the ledger is not asked."""
    running = {} if granted is None else _running(connection)
    processes = []
    for each in workers:
        taken, suspects = running.get(each.id, (0, 0))
        processes.append(Process(each.lanes, each.slots - taken, suspects > 0))
    return room(processes, granted or {})


def only_in(lanes: Iterable[str]) -> ColumnElement[bool]:
    """What may be granted where only these lanes have room for a suspect: suspects of these, and all the rest."""
    return or_(~subtask.c.suspect, subtask.c.lane.in_(sorted(lanes)))


def fell_silent(row: Any) -> bool:
    """Whether its process stopped beating. One that ran past its own deadline was beaten for until then, and what
    waits for a vendor's batch is in no process."""
    return row.vendor_batch_id is None and row.lease_until is not None and row.lease_until < row.deadline_at


def _running(connection: Connection) -> dict[str, tuple[int, int]]:
    """How many attempts run in each process, and how many of them are suspects. A child that a worker forked is a
    process of its own, which takes one attempt at a time."""
    query = (
        select(attempt.c.worker, func.count(), func.count(case((attempt.c.suspect, 1))))
        .where(
            attempt.c.state == AttemptState.RUNNING,
            attempt.c.ended_at.is_(None),
            attempt.c.vendor_batch_id.is_(None),  # what waits for a batch is in no process
        )
        .group_by(attempt.c.worker)
    )
    return {worker: (taken, suspects) for worker, taken, suspects in connection.execute(query)}


def _together(connection: Connection, silent: list[Any]) -> list[Any]:
    """What ran in the same processes, and what was already found lost in them: leases of one process end within
    seconds of each other, and not at once."""
    if not silent:
        return []
    since = min(row.claimed_at for row in silent)
    columns = (
        attempt.c.id,
        attempt.c.worker,
        attempt.c.suspect,
        attempt.c.vendor_batch_id,
        attempt.c.claimed_at,
        attempt.c.lease_until,
        attempt.c.deadline_at,
        attempt.c.ended_at,
        worker.c.started_at,
    )
    query = select(*columns).join(worker, worker.c.id == attempt.c.worker, isouter=True)
    in_them = attempt.c.worker.in_({row.worker for row in silent}), attempt.c.vendor_batch_id.is_(None)
    running = attempt.c.state == AttemptState.RUNNING, attempt.c.ended_at.is_(None)
    gone = attempt.c.state == _LOST, attempt.c.ended_at > since
    return [row for those in (running, gone) for row in connection.execute(query.where(*in_them, *those))]


def _lost_before(connection: Connection, silent: list[Any]) -> set[str]:
    """The subtasks of which an earlier attempt was lost."""
    ids = {row.subtask_id for row in silent}
    lost = attempt.c.state == _LOST, attempt.c.code == Code.CRASHED
    query = select(attempt.c.subtask_id).where(attempt.c.subtask_id.in_(ids), *lost)
    return set(connection.execute(query).scalars()) if ids else set()


def _beside(row: Any, other: Any) -> bool:
    """Whether the other was in the process when this one fell silent there."""
    if other.id == row.id or other.worker != row.worker:
        return False
    # A container that was started again has the same name: what it claimed since is in another process.
    if other.started_at and (row.claimed_at < other.started_at) != (other.claimed_at < other.started_at):
        return False
    return other.ended_at is None or (fell_silent(other) and other.ended_at > row.claimed_at)
