"""Approvals: the questions that wait for a person, and how earlier ones were answered."""

from datetime import datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, select

from orchestrator.ledger.tables import approval, job, subtask
from orchestrator.problems import NotFound
from orchestrator.reads.base import Read, moment, moment_or_none
from orchestrator.reads.paging import DEFAULT_LIMIT, Page, page_of, parts_of


class ApprovalLine(Read):
    """A question to a person."""

    id: str
    job_id: str
    subtask_id: str
    workflow: str
    name: str
    """The subtask's name."""
    tenant: str
    requested_by: str
    """Who asked for the job, and may therefore not answer."""
    digest: str
    """What is approved: an answer is bound to exactly these bytes."""
    state: str
    """``waiting``, ``approved``, ``rejected``, ``revise`` or ``lapsed``."""
    asked_at: datetime
    expires_at: datetime
    answered_at: datetime | None
    answered_by: str | None
    answered_digest: str | None
    comment: str


class ApprovalRead(ApprovalLine):
    """The question with everything that is needed to decide."""

    packet: dict[str, JsonValue]


def approvals(
    connection: Connection, state: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[ApprovalLine]:
    """Approvals, the oldest first: what waits longest is answered first."""
    query = _rows().order_by(approval.c.id).limit(limit + 1)
    if state is not None:
        query = query.where(approval.c.state == state)
    if cursor is not None:
        (last,) = parts_of(cursor, (str,))
        query = query.where(approval.c.id > last)
    return page_of(
        connection.execute(query).all(),
        limit,
        lambda row: ApprovalLine(**_values(row)),
        lambda row: (row.id,),
    )


def approval_read(connection: Connection, approval_id: str) -> ApprovalRead:
    """One approval with its packet; raises NotFound."""
    row = connection.execute(_rows().where(approval.c.id == approval_id)).one_or_none()
    if row is None:
        raise NotFound(f"no approval {approval_id} is in the ledger")
    return ApprovalRead(**_values(row), packet=row.packet)


def _rows() -> Any:
    return (
        select(approval, subtask.c.name, job.c.workflow)
        .join(subtask, subtask.c.id == approval.c.subtask_id)
        .join(job, job.c.id == approval.c.job_id)
    )


def _values(row: Any) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in ApprovalLine.model_fields}
    return values | {
        "asked_at": moment(row.asked_at),
        "expires_at": moment(row.expires_at),
        "answered_at": moment_or_none(row.answered_at),
    }
