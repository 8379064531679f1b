"""Blockers: what is missing, who waits for it, and the job that is to supply it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from orchestrator.ledger.tables import blocker, job, subtask
from orchestrator.reads.base import Read, moment, moment_or_none
from orchestrator.reads.paging import DEFAULT_LIMIT, Page, page_of, parts_of


class BlockerRead(Read):
    """One missing prerequisite, however many wait for it."""

    id: str
    tenant: str
    prerequisite: str
    subject: str
    sentence: str
    job_id: str
    """The job that met it first."""
    supply_job_id: str
    supply_state: str
    waiting: int
    """Subtasks that are parked behind it."""
    jobs: int
    """The jobs that these belong to."""
    opened_at: datetime
    resolved_at: datetime | None
    resolution: str


def blockers(
    connection: Connection,
    resolved: bool = False,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[BlockerRead]:
    """Those that stand, the oldest first; with `resolved` those that stood before as well."""
    query = _rows().order_by(blocker.c.id).limit(limit + 1)
    if not resolved:
        query = query.where(blocker.c.resolved_at.is_(None))
    if cursor is not None:
        (last,) = parts_of(cursor, (str,))
        query = query.where(blocker.c.id > last)
    return page_of(connection.execute(query).all(), limit, _read, lambda row: (row.id,))


def told(prerequisite: str, subject: str, supply_job_id: str, workflow: str, state: str) -> str:
    """What is missing and where it comes from, in a few words."""
    return f"the {prerequisite} of {subject}, which job {supply_job_id} ({workflow}, {state}) supplies"


def standing_in(connection: Connection, ids: set[str]) -> dict[str, str]:
    """What the blockers of these ids hold back for, in a few words; by id."""
    if not ids:
        return {}
    return {row.id: _told(row) for row in connection.execute(_rows().where(blocker.c.id.in_(ids)))}


def _rows() -> Any:
    waiting = subtask.c.blocked_by == blocker.c.id, subtask.c.ended_at.is_(None)
    return select(
        blocker,
        job.c.workflow,
        job.c.state.label("supply_state"),
        select(func.count()).select_from(subtask).where(*waiting).scalar_subquery().label("waiting"),
        select(func.count(subtask.c.job_id.distinct())).where(*waiting).scalar_subquery().label("jobs"),
    ).join(job, job.c.id == blocker.c.supply_job_id)


def _told(row: Any) -> str:
    return told(row.prerequisite, row.subject, row.supply_job_id, row.workflow, row.supply_state)


def _read(row: Any) -> BlockerRead:
    return BlockerRead(
        id=row.id,
        tenant=row.tenant,
        prerequisite=row.prerequisite,
        subject=row.subject,
        sentence=f"{row.waiting} subtask(s) of {row.jobs} job(s) wait for {_told(row)}",
        job_id=row.job_id,
        supply_job_id=row.supply_job_id,
        supply_state=row.supply_state,
        waiting=row.waiting,
        jobs=row.jobs,
        opened_at=moment(row.opened_at),
        resolved_at=moment_or_none(row.resolved_at),
        resolution=row.resolution,
    )
