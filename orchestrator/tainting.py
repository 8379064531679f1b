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
    under way goes on and is marked when it is accepted. Raises a Problem; where the result was found wrong before,
    only if nothing was left to mark."""
    person, reason = by.strip(), why.strip()
    if not person or len(person) > 100:
        raise Malformed("by: name who found it wrong, in 1 to 100 characters")
    if not reason:
        raise Malformed("why: say what is wrong with it")
    with ledger.read() as connection:
        row = _first(connection, subtask_id)
        cause = _known(connection, row)
        before = cause is not None
        if cause is None:
            cause = Cause(row.id, row.name, row.job_id, person, reason)
    marked = _spread(ledger, cause, person)
    if before and not marked:
        raise Conflict(f"subtask {row.id} ({row.name}) was already found wrong by {cause.by}: {cause.why}")
    with ledger.read() as connection:
        return _told(connection, row.id)


def _spread(ledger: Ledger, cause: Cause, actor: str) -> int:
    """Looks for what was built on it while everything goes on, marks it together with the cause, since whoever does
    this may end after any transaction, and looks again after each marking: what was accepted in between did not see
    the marks. What is accepted later does. Who ends before the last look leaves it to the reconciler."""
    marked = 0
    while True:
        with ledger.read() as connection:
            ids = {cause.subtask_id} | taints.spread(connection, {cause.subtask_id})
        with ledger.write() as connection:
            new = _mark(connection, cause, ids, actor)
        if not new:
            return marked
        marked += new


def _mark(connection: Connection, cause: Cause, ids: set[str], actor: str) -> int:
    hold_still(connection)  # or what is decided at this very moment would be built on it unseen
    marked = taints.mark(connection, cause, ids, now(connection), actor)
    if not marked:
        taints.is_spread(connection, cause)
    ring(connection)
    return marked


def _first(connection: Connection, subtask_id: str) -> Any:
    """The subtask that first gave this result."""
    row = connection.execute(select(subtask).where(subtask.c.id == subtask_id)).one_or_none()
    if row is None:
        raise NotFound(f"no subtask {subtask_id} is in the ledger")
    earlier = row.kept_from or row.answered_by
    return _first(connection, earlier) if earlier else row


def _known(connection: Connection, row: Any) -> Cause | None:
    """The finding of before, if any. Raises Conflict where there is no result."""
    if row.state != SubtaskState.DONE:
        raise Conflict(f"subtask {row.id} ({row.name}) is {row.state} and has no result that could be wrong")
    own = taint.c.subtask_id == row.id, taint.c.cause == row.id
    known = connection.execute(select(taint.c.by, taint.c.why).where(*own)).one_or_none()
    return Cause(row.id, row.name, row.job_id, known.by, known.why) if known else None


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
