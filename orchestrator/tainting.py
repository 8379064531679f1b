"""Tainting: a person finds a result wrong, and everything that was built on it is marked."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from contracts.states import SubtaskState
from orchestrator import taints
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.leadership import hold_still
from orchestrator.ledger.tables import effect, subtask, taint
from orchestrator.problems import Conflict, Malformed, NotFound
from orchestrator.taints import Cause
from orchestrator.wake import ring


@dataclass(frozen=True)
class Tainted:
    """What was marked."""

    cause: str
    """The subtask that first gave the result: the one that was named, or the one from which it was taken over."""
    results: int
    """It included."""
    jobs: int
    effects: int
    """That were applied."""


def find_wrong(ledger: Ledger, subtask_id: str, by: str, why: str) -> Tainted:
    """Marks a result as wrong, and what was built on it, in whatever job. Nothing is stopped but effects: what is
    under way goes on and is marked when it is accepted. Raises a Problem."""
    person, reason = by.strip(), why.strip()
    if not person or len(person) > 100:
        raise Malformed("by: name who found it wrong, in 1 to 100 characters")
    if not reason:
        raise Malformed("why: say what is wrong with it")
    with ledger.write() as connection:
        hold_still(connection)  # or what is decided at this moment could be built on it unseen
        at = now(connection)
        row = _first(connection, subtask_id)
        _check(connection, row)
        cause = Cause(row.id, row.name, row.job_id, person, reason)
        taints.mark(connection, cause, {row.id} | taints.spread(connection, {row.id}), at, person)
        ring(connection)
        return _told(connection, row.id)


def _first(connection: Connection, subtask_id: str) -> Any:
    """The subtask that first gave this result."""
    row = connection.execute(select(subtask).where(subtask.c.id == subtask_id)).one_or_none()
    if row is None:
        raise NotFound(f"no subtask {subtask_id} is in the ledger")
    earlier = row.kept_from or row.answered_by
    return _first(connection, earlier) if earlier else row


def _check(connection: Connection, row: Any) -> None:
    if row.state != SubtaskState.DONE:
        raise Conflict(f"subtask {row.id} ({row.name}) is {row.state} and has no result that could be wrong")
    own = taint.c.subtask_id == row.id, taint.c.cause == row.id
    known = connection.execute(select(taint.c.by, taint.c.why).where(*own)).one_or_none()
    if known:
        raise Conflict(f"subtask {row.id} ({row.name}) was already found wrong by {known.by}: {known.why}")


def _told(connection: Connection, cause: str) -> Tainted:
    marked = taint.c.cause == cause
    counts = select(func.count(), func.count(taint.c.job_id.distinct())).where(marked)
    results, jobs = connection.execute(counts).one()
    applied = (
        select(func.count())
        .select_from(effect)
        .where(
            effect.c.applied_at.is_not(None),
            effect.c.subtask_id.in_(select(taint.c.subtask_id).where(marked)),
        )
    )
    return Tainted(cause, results, jobs, connection.execute(applied).scalar_one())
