"""Looks: what a tick finds before any job is made, by SQL alone and without a token."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from contracts.base import Fact
from contracts.purposes import Purpose
from contracts.states import JobState, SubtaskState
from contracts.ticks import Tick
from orchestrator import escalations, pauses
from orchestrator.deciders.looks import LOOKS
from orchestrator.ledger.events import EventKind
from orchestrator.ledger.promises import last_event_before, promises
from orchestrator.ledger.tables import approval, budget, escalation, event, job, subtask, tick, worker
from orchestrator.upkeep import invariants

ALIVE_SECONDS = 30.0
"""A worker that was silent for longer is not counted on."""


@dataclass(frozen=True)
class Opening:
    """A job that a tick calls for."""

    subjects: tuple[str, ...] = ()
    found: dict[str, Fact] = field(default_factory=dict)
    origin: str | None = None
    priority: int = 0


Look = Callable[[Connection, Tick, float], list[Opening]]


def activity(connection: Connection, entry: Tick, at: float) -> list[Opening]:
    """One opening if any job but maintenance moved since the last snapshot."""
    since = _last_made(connection, entry)
    moved = connection.execute(
        select(func.count())
        .select_from(event)
        .join(job, job.c.id == event.c.job_id)
        .where(event.c.kind == EventKind.JOB_MOVED, event.c.at > since, job.c.purpose != Purpose.MAINTENANCE)
    ).scalar_one()
    return [Opening(found={"moves": moved})] if moved else []


def stalled(connection: Connection, entry: Tick, at: float) -> list[Opening]:
    """One opening with everything that waits longer than the tick's settings allow and was not told yet; what a
    switch holds waits because somebody wants it to."""
    subjects = [
        *_ids(connection, _late_subtasks(entry, at).where(pauses.free(pauses.standing(connection, at)))),
        *_ids(connection, _late_approvals(entry, at)),
        *_ids(connection, _silent_drills(entry, at)),
    ]
    told = select(event.c.subtask_id).where(
        event.c.kind == EventKind.STALLED, event.c.subtask_id.in_(subjects)
    )
    known = set(connection.execute(told).scalars())
    new = tuple(subject for subject in subjects if subject not in known)[:200]
    return [Opening(subjects=new, found={"stalled": len(new)})] if new else []


def closed_work(connection: Connection, entry: Tick, at: float) -> list[Opening]:
    """One opening for each closed job of the sample that was not read again yet. What was reopened is not
    read again: a reviewer who always objects would reopen it for ever."""
    again = job.alias()
    query = (
        select(job.c.id, job.c.portfolio)
        .where(
            job.c.workflow == entry.settings["of_workflow"],
            job.c.state == JobState.DONE,
            job.c.origin.is_(None),
            ~select(again.c.id)
            .where(again.c.origin == job.c.id, again.c.workflow == entry.workflow)
            .exists(),
        )
        .order_by(job.c.id.desc())
        .limit(int(entry.settings["newest_considered"]))
    )
    percent = int(entry.settings["sample_percent"])
    oldest_first = reversed(connection.execute(query).all())
    sample = [row for row in oldest_first if in_sample(row.id, percent)]
    return [
        Opening(subjects=(row.id,), found={"portfolio": row.portfolio}, origin=row.id)
        for row in sample[: int(entry.settings["most_at_once"])]
    ]


def always(connection: Connection, entry: Tick, at: float) -> list[Opening]:
    """One opening a slot."""
    return [Opening(found={"route": str(entry.settings["route"])})]


def limits(connection: Connection, entry: Tick, at: float) -> list[Opening]:
    """One opening for all accounts in the budgets whose limits any live worker of the lane can read, whichever
    gets the work. None while the lane has a worker that has just started, since others may follow it, and none
    where they were read lately."""
    settings = entry.settings
    if at - _last_made(connection, entry) < float(settings["again_hours"]) * 3600:
        return []
    alive = select(worker).where(worker.c.stopped_at.is_(None), worker.c.beat_at > at - ALIVE_SECONDS)
    serving = [row for row in connection.execute(alive) if settings["lane"] in row.lanes]
    if any(at - row.started_at < float(settings["settled_seconds"]) for row in serving):
        return []
    accounts = connection.execute(select(budget.c.vendor, budget.c.account).distinct())
    readable = {f"{vendor}/{account}" for vendor, account in accounts} if serving else set()
    readable.intersection_update(*(row.reads_limits for row in serving))
    return [Opening(subjects=tuple(sorted(readable)))] if readable else []


def broken_promises(connection: Connection, entry: Tick, at: float) -> list[Opening]:
    """One opening for all promises that the ledger breaks and about which nobody was called yet. Nothing is read
    where nothing has happened since the last look, and of the history only what has."""
    # What was begun before the last look, and bears that moment, may have been written after it. A look that lies
    # ahead was of a clock that has since been set back: until it catches up all is read.
    last = _last_looked(connection, entry)
    since = last - float(entry.settings["overlap_seconds"]) if last <= at else 0.0
    after = last_event_before(connection, since)
    newest = connection.execute(select(func.max(event.c.seq))).scalar()
    if newest is None or newest == after:
        return []
    known = escalations.called(connection, escalations.ABOUT_PROMISES)
    broken = [
        promise.name
        for promise in promises().values()
        if invariants.about(promise.name) not in known and promise.broken(connection, after)
    ]
    return [Opening(subjects=tuple(broken), found={"broken": len(broken)})] if broken else []


BY_NAME: dict[str, Look] = dict(
    zip(LOOKS, (activity, stalled, closed_work, always, limits, broken_promises), strict=True)
)


def in_sample(job_id: str, percent: int) -> bool:
    """Whether a job belongs to the sample: decided by its id, so that asking again changes nothing."""
    return zlib.crc32(job_id.encode()) % 100 < percent


def _last_made(connection: Connection, entry: Tick) -> float:
    """When a look of this tick last made a job; 0 if none did."""
    last = select(func.max(tick.c.looked_at)).where(tick.c.name == entry.tick, tick.c.job_id.is_not(None))
    return connection.execute(last).scalar() or 0.0


def _last_looked(connection: Connection, entry: Tick) -> float:
    """When this tick was last looked after, whatever came of it; 0 if it never was."""
    last = select(func.max(tick.c.looked_at)).where(tick.c.name == entry.tick)
    return connection.execute(last).scalar() or 0.0


def _ids(connection: Connection, query: Any) -> list[str]:
    return list(connection.execute(query).scalars())


def _late_subtasks(entry: Tick, at: float) -> Any:
    late = at - float(entry.settings["ready_seconds"])
    due = or_(subtask.c.not_before.is_(None), subtask.c.not_before < late)
    waits = and_(subtask.c.state == SubtaskState.READY, subtask.c.ready_at < late, due)
    return select(subtask.c.id).where(waits).limit(200)


def _late_approvals(entry: Tick, at: float) -> Any:
    late = at - float(entry.settings["approval_seconds"])
    return select(approval.c.subtask_id).where(approval.c.state == "waiting", approval.c.asked_at < late)


def _silent_drills(entry: Tick, at: float) -> Any:
    late = at - float(entry.settings["drill_seconds"])
    return select(escalation.c.id).where(
        escalation.c.drill, escalation.c.acknowledged_at.is_(None), escalation.c.opened_at < late
    )
