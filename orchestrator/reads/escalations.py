"""Escalations: what was put before a person, and whether one has taken note."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from orchestrator.ledger.tables import escalation
from orchestrator.problems import NotFound
from orchestrator.reads.base import Read, moment, moment_or_none
from orchestrator.reads.paging import DEFAULT_LIMIT, Page, page_of, parts_of


class EscalationRead(Read):
    """One call for a person."""

    id: str
    route: str
    drill: bool
    """Whether it only exercises the path."""
    sentence: str
    job_id: str | None
    opened_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None


def escalations(
    connection: Connection, open_only: bool = False, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[EscalationRead]:
    """Escalations, newest first."""
    query = select(escalation).order_by(escalation.c.id.desc()).limit(limit + 1)
    if open_only:
        query = query.where(escalation.c.acknowledged_at.is_(None))
    if cursor is not None:
        (last,) = parts_of(cursor, (str,))
        query = query.where(escalation.c.id < last)
    return page_of(
        connection.execute(query).all(),
        limit,
        _read,
        lambda row: (row.id,),
    )


def escalation_read(connection: Connection, escalation_id: str) -> EscalationRead:
    """One escalation; raises NotFound."""
    row = connection.execute(select(escalation).where(escalation.c.id == escalation_id)).one_or_none()
    if row is None:
        raise NotFound(f"no escalation {escalation_id} is in the ledger")
    return _read(row)


def _read(row: Any) -> EscalationRead:
    times = {"opened_at": moment(row.opened_at), "acknowledged_at": moment_or_none(row.acknowledged_at)}
    return EscalationRead(**dict(row._mapping) | times)
