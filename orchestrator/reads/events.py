"""Events of one job, in order, so that a reader who comes back misses none."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, literal_column, select

from contracts.states import JOB_ENDS, JobState, SubtaskState
from orchestrator.ledger.events import EventKind
from orchestrator.ledger.tables import event, job, subtask
from orchestrator.problems import NotFound
from orchestrator.reads.base import Read, moment
from orchestrator.reads.seals import sealed

BATCH = 200


class EventRead(Read):
    """One thing that happened."""

    seq: int
    at: datetime
    kind: str
    actor: str
    subtask_id: str | None
    subtask: str | None
    """The subtask's name."""
    attempt_id: str | None
    old: str | None
    new: str | None
    sentence: str


@dataclass(frozen=True)
class Tail:
    """What happened after a place in the line."""

    events: tuple[EventRead, ...]
    state: JobState
    why: str
    ended: bool
    """The job has ended and nothing comes after these events."""


def tail(connection: Connection, job_id: str, after: int, limit: int = BATCH) -> Tail:
    """The next events of a job after event number `after`; raises NotFound."""
    # the state first: an end that is seen here has its events committed before it
    row = connection.execute(select(job.c.state, job.c.why).where(job.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFound(f"no job {job_id} is in the ledger")
    found = events_after(connection, job_id, after, limit)
    state = JobState(row.state)
    last = found[-1].seq if found else after
    return Tail(found, state, row.why, state in JOB_ENDS and not _more(connection, job_id, last))


def events_after(connection: Connection, job_id: str, after: int, limit: int) -> tuple[EventRead, ...]:
    """Events of a job in the order of their numbers."""
    query = _of_job(job_id).where(event.c.seq > after).order_by(event.c.seq).limit(limit)
    if connection.dialect.name == "postgresql":
        query = query.where(_no_number_below_is_pending())
    return tuple(event_read(row) for row in connection.execute(query))


def latest_events(
    connection: Connection, job_id: str, subtask_id: str | None, limit: int
) -> tuple[EventRead, ...]:
    """The most recent events of a job, or of one of its subtasks, the oldest of them first."""
    query = _of_job(job_id).order_by(event.c.seq.desc()).limit(limit)
    if subtask_id is not None:
        query = query.where(event.c.subtask_id == subtask_id)
    return tuple(event_read(row) for row in reversed(connection.execute(query).all()))


def count_events(connection: Connection, job_id: str, subtask_id: str | None) -> int:
    query = select(func.count()).select_from(event).where(event.c.job_id == job_id)
    if subtask_id is not None:
        query = query.where(event.c.subtask_id == subtask_id)
    return int(connection.execute(query).scalar_one())


def event_read(row: Any) -> EventRead:
    """The event as shown: while its subtask is sealed, no sentence that could tell the verdict."""
    hidden = sealed(row.subtask_state or "") and (
        row.new == SubtaskState.REPORTED or row.kind == EventKind.ATTEMPT_SETTLED
    )
    return EventRead(
        seq=row.seq,
        at=moment(row.at),
        kind=row.kind,
        actor=row.actor,
        subtask_id=row.subtask_id,
        subtask=row.subtask_name,
        attempt_id=row.attempt_id,
        old=row.old,
        new=row.new,
        sentence="" if hidden else row.sentence,
    )


def _of_job(job_id: str) -> Select[Any]:
    return (
        select(event, subtask.c.name.label("subtask_name"), subtask.c.state.label("subtask_state"))
        .outerjoin(subtask, subtask.c.id == event.c.subtask_id)
        .where(event.c.job_id == job_id)
    )


def _no_number_below_is_pending() -> Any:
    """On PostgreSQL a number is drawn before its transaction commits, so a lower one may appear later. Events
    wait until every transaction that was open when they were written has ended; writers are short."""
    return literal_column("age(event.xmin) > age(pg_snapshot_xmin(pg_current_snapshot())::xid)")


def _more(connection: Connection, job_id: str, after: int) -> bool:
    query = select(event.c.seq).where(event.c.job_id == job_id, event.c.seq > after).limit(1)
    return connection.execute(query).first() is not None
