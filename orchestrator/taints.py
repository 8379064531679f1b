"""Taints: results that were found wrong and what was built on them, as rows of the ledger."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, and_, delete, or_, select, update

from contracts.handoffs import Handoff
from contracts.states import SubtaskState
from orchestrator import escalations
from orchestrator.deciders.nodes import name_of
from orchestrator.deciders.tainting import Made, built_on, given_wrong
from orchestrator.ledger import events
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.tables import answer_cache, approval, effect, job, subtask, supply, taint

Each = TypeVar("Each")

JOBS_AT_ONCE = 100
"""Whose handoffs are read together."""
ROWS_AT_ONCE = 1000
"""Fewer than either database takes as parameters of one statement."""
SPREADING_SECONDS = 10.0
"""Whoever marks looks again at once; after this they are taken to have ended in between."""


@dataclass(frozen=True)
class Cause:
    """A result that was found wrong, by whom and why."""

    subtask_id: str
    name: str
    job_id: str
    by: str
    why: str

    @property
    def told(self) -> str:
        return f"{self.name} of job {self.job_id}, which {self.by} found wrong: {self.why}"


def mark(connection: Connection, cause: Cause, ids: Iterable[str], at: float, actor: str) -> int:
    """Marks these subtasks as built on the cause, or as the cause, and answers how many were not marked before.
    Their answers are not given again; where an effect was applied because of them, a person is called, once. A cause
    that is new spreads until `is_spread`."""
    wanted = set(ids) - _marked(connection, cause)
    jobs = {row.id: row.job_id for row in _rows(connection, (subtask.c.id, subtask.c.job_id), wanted)}
    said = {"cause": cause.subtask_id, "by": cause.by, "why": cause.why, "at": at}
    rows = [
        {
            "subtask_id": name,
            "job_id": jobs[name],
            "spreading_since": at if name == cause.subtask_id else None,
            **said,
        }
        for name in sorted(wanted)
    ]
    for some in _some(rows, ROWS_AT_ONCE):
        insert_missing(connection, taint, some)
    for names in _some(sorted(wanted), ROWS_AT_ONCE):
        connection.execute(delete(answer_cache).where(answer_cache.c.subtask_id.in_(names)))
    events.record(connection, *(_event(cause, row, at, actor) for row in rows))
    _call(connection, cause, wanted, at, actor)
    return len(rows)


def is_spread(connection: Connection, cause: Cause) -> None:
    """Notes that everything is marked that was built on it before its mark; what is built later is by `pass_on`."""
    own = taint.c.subtask_id == cause.subtask_id, taint.c.cause == cause.subtask_id
    connection.execute(update(taint).where(*own).values(spreading_since=None))


def finish(connection: Connection, at: float, actor: str) -> int:
    """Marks what is left where whoever marked ended in between, and answers how much that was. Nothing may be
    accepted beside this transaction."""
    overdue = taint.c.spreading_since < at - SPREADING_SECONDS
    left = set(connection.execute(select(taint.c.cause).where(overdue)).scalars())
    marked = 0
    for cause in _causes(connection, left):
        marked += mark(connection, cause, spread(connection, {cause.subtask_id}), at, actor)
        is_spread(connection, cause)
    return marked


def spread(connection: Connection, start: Iterable[str]) -> set[str]:
    """The ids of all that was built on these results: in their jobs and the jobs linked to those, and wherever
    they were taken over or handed to what lacked them, layer by layer."""
    first = set(start)
    found: set[str] = set()
    unread = first
    while unread:
        near, linked = _built_near(connection, unread)
        new = near - found - first
        across = _taken_over(connection, unread | new) - found - first - new
        found |= new | across
        unread = across | (linked & new)
    return found


def _built_near(connection: Connection, ids: set[str]) -> tuple[set[str], set[str]]:
    """What was built on these in their own jobs and in those linked to them, and what of it is in the latter, whose
    own links are still to be followed."""
    near: set[str] = set()
    linked: set[str] = set()
    jobs = {row.job_id for row in _rows(connection, (subtask.c.id, subtask.c.job_id), ids)}
    for some in _some(sorted(jobs), JOBS_AT_ONCE):
        made = _made(connection, some)
        reached = built_on(ids, made)
        near |= reached
        linked |= {each.id for each in made if each.id in reached and each.job not in some}
    return near, linked


def pass_on(connection: Connection, job_ids: Iterable[str], at: float, actor: str) -> None:
    """Marks what has been built in these jobs since on results that are marked: one look where none is."""
    wanted = list(job_ids)
    if not wanted:
        return
    linked = select(job.c.origin).where(job.c.id.in_(wanted), job.c.origin.is_not(None))
    supplied = select(supply.c.supplied_by).where(supply.c.job_id.in_(wanted))
    here = or_(taint.c.job_id.in_(wanted), taint.c.job_id.in_(linked), taint.c.subtask_id.in_(supplied))
    rows = connection.execute(select(taint.c.subtask_id, taint.c.cause).where(here)).all()
    for cause in _causes(connection, {row.cause for row in rows}):
        known = {row.subtask_id for row in rows if row.cause == cause.subtask_id}
        mark(connection, cause, spread(connection, known), at, actor)


def behind(connection: Connection, job_id: str, handoff: Handoff) -> Cause | None:
    """What was found wrong of that which a handoff was made of, if anything."""
    origin = select(job.c.origin).where(job.c.id == job_id).scalar_subquery()
    own = supply.c.subtask_id == handoff.assignment.subtask
    supplied = taint.c.subtask_id.in_(select(supply.c.supplied_by).where(own))
    here = or_(taint.c.job_id == job_id, taint.c.job_id == origin, supplied)
    query = select(taint.c.subtask_id, taint.c.cause, supplied.label("is_supplied")).where(here)
    rows = connection.execute(query).all()
    if not rows:
        return None
    causes = {row.subtask_id: row.cause for row in rows}
    wrong = next((row.subtask_id for row in rows if row.is_supplied), None)
    if wrong is None:
        linked = connection.execute(select(job.c.origin).where(job.c.id == job_id)).scalar_one()
        made = given_wrong(job_id, linked, handoff, _results(connection, subtask.c.id.in_(list(causes))))
        wrong = made.id if made else None
    return next(iter(_causes(connection, {causes[wrong]}))) if wrong else None


def _causes(connection: Connection, ids: set[str]) -> list[Cause]:
    query = (
        select(taint, subtask.c.name)
        .join(subtask, subtask.c.id == taint.c.subtask_id)
        .where(taint.c.subtask_id.in_(ids), taint.c.subtask_id == taint.c.cause)
        .order_by(taint.c.at)
    )
    found = connection.execute(query) if ids else ()
    return [Cause(row.subtask_id, row.name, row.job_id, row.by, row.why) for row in found]


def _marked(connection: Connection, cause: Cause) -> set[str]:
    query = select(taint.c.subtask_id).where(taint.c.cause == cause.subtask_id)
    return set(connection.execute(query).scalars())


def _taken_over(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Whose result is one of these, as a replay kept it or an earlier answer was given again; and who was handed one
    of them since it was lacking."""
    found: set[str] = set()
    for some in _some(sorted(ids), ROWS_AT_ONCE):
        for query in (
            select(subtask.c.id).where(subtask.c.kept_from.in_(some)),
            select(subtask.c.id).where(subtask.c.answered_by.in_(some)),
            select(supply.c.subtask_id).where(supply.c.supplied_by.in_(some)),
        ):
            found |= set(connection.execute(query).scalars())
    return found


def _made(connection: Connection, job_ids: Iterable[str]) -> list[Made]:
    """All subtasks of these jobs and of those that are linked to them."""
    wanted = list(job_ids)
    return _results(connection, or_(job.c.id.in_(wanted), job.c.origin.in_(wanted)))


def _results(connection: Connection, condition: ColumnElement[bool]) -> list[Made]:
    query = (
        select(
            subtask.c.id,
            subtask.c.job_id,
            subtask.c.step,
            subtask.c.item,
            subtask.c.round,
            subtask.c.lane,
            subtask.c.summary,
            subtask.c.handoff,
            job.c.origin,
            approval.c.digest.label("asked"),
        )
        .join(job, job.c.id == subtask.c.job_id)
        .outerjoin(approval, approval.c.subtask_id == subtask.c.id)
        .where(condition)
    )
    return [_result(row) for row in connection.execute(query)]


def _result(row: Any) -> Made:
    # As it was written down: there may be thousands, and newer code may have written more into them.
    delivered, handoff = row.summary["output"]["digest"] if row.summary else None, row.handoff or {}
    return Made(
        id=row.id,
        job=row.job_id,
        origin=row.origin,
        source=name_of(row.step, row.item, row.round, mapped=False),
        delivered=delivered,
        given=frozenset(
            (item["source"], item["artifact"]["digest"])
            for item in handoff.get("context", ())
            if item.get("artifact")
        ),
        shown=frozenset(tried["attempt"] for tried in handoff.get("tried", ())),
        # An approval that a replay kept was asked for in another job, and delivers what was approved.
        asked=row.asked or (delivered if row.lane is None else None),
    )


def _rows(connection: Connection, columns: tuple[Column[Any], ...], ids: Iterable[str]) -> list[Any]:
    found: list[Any] = []
    for some in _some(sorted(ids), ROWS_AT_ONCE):
        found += connection.execute(select(*columns).where(subtask.c.id.in_(some)))
    return found


def _some(all_: Sequence[Each], most: int) -> Iterator[list[Each]]:
    """A few at a time."""
    for start in range(0, len(all_), most):
        yield list(all_[start : start + most])


def _event(cause: Cause, row: dict[str, Any], at: float, actor: str) -> Event:
    own = row["subtask_id"] == cause.subtask_id
    sentence = f"found wrong by {cause.by}: {cause.why}" if own else f"built on {cause.told}"
    return Event(at, EventKind.TAINTED, actor, row["job_id"], row["subtask_id"], sentence=sentence)


def _call(connection: Connection, cause: Cause, ids: set[str], at: float, actor: str) -> None:
    changed: list[str] = []
    for some in _some(sorted(ids), ROWS_AT_ONCE):
        # What is being applied at this moment had its intent written before the mark, and nobody looks again.
        under_way = and_(effect.c.applied_at.is_(None), subtask.c.state == SubtaskState.RUNNING)
        query = (
            select(effect.c.target, effect.c.applied_at, subtask.c.job_id)
            .join(subtask, subtask.c.id == effect.c.subtask_id)
            .where(effect.c.subtask_id.in_(some), or_(effect.c.applied_at.is_not(None), under_way))
        )
        changed += [_changed(row) for row in connection.execute(query)]
    if changed:
        shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        sentence = (
            f"{len(changed)} applied effect(s) are built on {cause.told}; changed were {shown}; "
            f"`fleet replay --downstream-of {cause.subtask_id}` makes it anew"
        )
        escalations.call(connection, at, actor, sentence, cause.job_id)


def _changed(row: Any) -> str:
    return f"{row.target} by job {row.job_id}" + ("" if row.applied_at else " (is being applied)")
