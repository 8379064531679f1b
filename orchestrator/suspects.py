"""Suspects: what was in a worker's process when it fell silent, as rows of the ledger."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, literal_column, or_, select

from contracts.failures import Code
from contracts.states import AttemptState
from orchestrator.deciders.suspecting import ALONE, Blame, blame
from orchestrator.ledger.tables import attempt, subtask

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


def alone(lanes: Iterable[str]) -> ColumnElement[bool]:
    """What may run while a suspect is under way in each of these lanes: everything there but another suspect."""
    return or_(~subtask.c.suspect, subtask.c.lane.not_in(sorted(lanes)))


def fell_silent(row: Any) -> bool:
    """Whether its process stopped beating. One that ran past its own deadline was beaten for until then, and what
    waits for a vendor's batch is in no process."""
    return row.vendor_batch_id is None and row.lease_until is not None and row.lease_until < row.deadline_at


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
    )
    in_them = attempt.c.worker.in_({row.worker for row in silent}), attempt.c.vendor_batch_id.is_(None)
    running = attempt.c.state == AttemptState.RUNNING, attempt.c.ended_at.is_(None)
    gone = attempt.c.state == _LOST, attempt.c.ended_at > since
    return [
        row
        for those in (running, gone)
        for row in connection.execute(select(*columns).where(*in_them, *those))
    ]


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
    return other.ended_at is None or (fell_silent(other) and other.ended_at > row.claimed_at)
