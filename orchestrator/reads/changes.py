"""Changes: what operators changed while the fleet ran, who, when and why."""

from datetime import datetime

from sqlalchemy import Connection, select

from orchestrator.ledger.tables import setting_change
from orchestrator.reads.base import Read, moment
from orchestrator.reads.paging import DEFAULT_LIMIT, Page, page_of, parts_of


class ChangeRead(Read):
    """One change of one setting."""

    seq: int
    at: datetime
    by: str
    what: str
    old: str
    new: str
    reason: str


def setting_changes(
    connection: Connection, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[ChangeRead]:
    """Changes, the latest first."""
    query = select(setting_change).order_by(setting_change.c.seq.desc()).limit(limit + 1)
    if cursor is not None:
        (last,) = parts_of(cursor, (int,))
        query = query.where(setting_change.c.seq < last)
    return page_of(
        connection.execute(query).all(),
        limit,
        lambda row: ChangeRead(
            seq=row.seq,
            at=moment(row.at),
            by=row.actor,
            what=row.what,
            old=row.old,
            new=row.new,
            reason=row.reason,
        ),
        lambda row: (row.seq,),
    )
