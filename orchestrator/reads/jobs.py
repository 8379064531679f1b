"""Jobs: the list, a line each."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from contracts.states import JobState
from orchestrator.ledger.tables import job
from orchestrator.reads.base import Read, moment, moment_or_none
from orchestrator.reads.costs import Cost, costs_by_job, usd
from orchestrator.reads.paging import DEFAULT_LIMIT, Page, page_of, parts_of


class JobFilter(Read):
    """Which jobs are listed; what is None does not narrow."""

    state: JobState | None = None
    workflow: str | None = None
    tenant: str | None = None


class Again(Read):
    """The last job of the chain of replays that took a job up."""

    job_id: str
    state: JobState


class JobLine(Read):
    """A job as it stands, and why it exists."""

    id: str
    tenant: str
    portfolio: str
    workflow: str
    purpose: str
    reason: str
    requested_by: str
    kpi: str | None
    priority: int
    origin: str | None
    """The job that this one reviews, reopens or repeats."""
    state: JobState
    why: str
    """The sentence of its state."""
    cancel_requested_by: str | None
    created_at: datetime
    ended_at: datetime | None
    max_cost_usd: float | None
    """What it may spend at most; None where it has no cap of its own."""
    deadline: datetime | None = None
    """When nobody needs its result any more, and it ends by itself."""
    replayed_as: Again | None = None
    """Where it was listed: what came of running it again."""
    cost: Cost


def jobs(
    connection: Connection, wanted: JobFilter, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[JobLine]:
    """Jobs, newest first."""
    query = select(job).order_by(job.c.id.desc()).limit(limit + 1)
    for column, value in wanted.model_dump(exclude_none=True).items():
        query = query.where(job.c[column] == value)
    if cursor is not None:
        (last,) = parts_of(cursor, (str,))
        query = query.where(job.c.id < last)
    rows = connection.execute(query).all()
    shown = [row.id for row in rows[:limit]]
    costs, again = costs_by_job(connection, shown), _again(connection, shown)

    def line(row: Any) -> JobLine:
        return JobLine(**line_values(row, costs.get(row.id, Cost())), replayed_as=again.get(row.id))

    return page_of(rows, limit, line, lambda row: (row.id,))


def _again(connection: Connection, job_ids: list[str]) -> dict[str, Again]:
    """The ends of the chains of replays that begin with these jobs, with one statement for each link."""
    found: dict[str, Again] = {}
    ahead = {job_id: job_id for job_id in job_ids}
    while ahead:
        query = select(job.c.replay_of, job.c.id, job.c.state).where(job.c.replay_of.in_(set(ahead.values())))
        newest = {
            row.replay_of: row for row in connection.execute(query.order_by(job.c.created_at, job.c.id))
        }
        ahead = {first: newest[last].id for first, last in ahead.items() if last in newest}
        states = {row.id: row.state for row in newest.values()}
        found |= {first: Again(job_id=last, state=states[last]) for first, last in ahead.items()}
    return found


def line_values(row: Any, cost: Cost) -> dict[str, Any]:
    """The fields of a line out of the job's row."""
    same = (
        "id", "tenant", "portfolio", "workflow", "purpose", "reason", "requested_by", "kpi", "priority",
        "origin", "state", "why", "cancel_requested_by",
    )  # fmt: skip
    return {
        **{name: getattr(row, name) for name in same},
        "created_at": moment(row.created_at),
        "ended_at": moment_or_none(row.ended_at),
        "max_cost_usd": None if row.max_cost_nano_usd is None else usd(row.max_cost_nano_usd),
        "deadline": moment_or_none(row.deadline),
        "cost": cost,
    }
