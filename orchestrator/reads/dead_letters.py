"""Dead letters: subtasks that ended unwell, listed and grouped."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, or_, select

from orchestrator.ledger.tables import dead_letter, job, subtask
from orchestrator.reads.base import Read, moment, moment_or_none
from orchestrator.reads.paging import DEFAULT_LIMIT, Page, page_of, parts_of


class DeadLetterFilter(Read):
    """Which dead letters are listed; what is None does not narrow."""

    lane: str | None = None
    category: str | None = None
    code: str | None = None
    tenant: str | None = None
    job_id: str | None = None
    discarded: bool | None = False


class DeadLetterLine(Read):
    """A dead letter, and the sentence that says why it died."""

    subtask_id: str
    """It is also the dead letter's id."""
    job_id: str
    workflow: str
    name: str
    tenant: str
    lane: str | None
    category: str
    code: str
    sentence: str
    at: datetime
    discarded_at: datetime | None
    discarded_by: str | None
    discarded_why: str | None


class DeadLetterGroup(Read):
    """Dead letters that died of the same thing in the same lane."""

    lane: str | None
    category: str
    code: str
    count: int
    oldest_at: datetime
    latest_at: datetime


def dead_letters(
    connection: Connection, wanted: DeadLetterFilter, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[DeadLetterLine]:
    """Dead letters, the latest first."""
    letter = dead_letter.c
    query = _narrowed(dead_letter_rows(), wanted)
    if cursor is not None:
        at, last = parts_of(cursor, (float, str))
        query = query.where(or_(letter.at < at, (letter.at == at) & (letter.subtask_id < last)))
    query = query.order_by(letter.at.desc(), letter.subtask_id.desc()).limit(limit + 1)
    return page_of(
        connection.execute(query).all(),
        limit,
        lambda row: DeadLetterLine(**dead_letter_values(row)),
        lambda row: (row.at, row.subtask_id),
    )


def dead_letter_groups(connection: Connection, wanted: DeadLetterFilter) -> tuple[DeadLetterGroup, ...]:
    """The same, counted by lane, category and code, the largest group first."""
    letter = dead_letter.c
    same = (letter.lane, letter.category, letter.code)
    query = select(
        *same,
        func.count().label("count"),
        func.min(letter.at).label("oldest"),
        func.max(letter.at).label("latest"),
    ).group_by(*same)
    rows = connection.execute(_narrowed(query, wanted).order_by(func.count().desc(), *same))
    return tuple(
        DeadLetterGroup(
            lane=row.lane,
            category=row.category,
            code=row.code,
            count=row._mapping["count"],
            oldest_at=moment(row.oldest),
            latest_at=moment(row.latest),
        )
        for row in rows
    )


def dead_letter_rows() -> Select[Any]:
    """Dead letters with the name of the subtask and the workflow of the job."""
    return (
        select(dead_letter, subtask.c.name, job.c.workflow)
        .join(subtask, subtask.c.id == dead_letter.c.subtask_id)
        .join(job, job.c.id == dead_letter.c.job_id)
    )


def dead_letter_values(row: Any) -> dict[str, Any]:
    """The fields of a line out of one of `dead_letter_rows`."""
    values = {name: getattr(row, name) for name in DeadLetterLine.model_fields}
    return values | {"at": moment(row.at), "discarded_at": moment_or_none(row.discarded_at)}


def _narrowed(query: Select[Any], wanted: DeadLetterFilter) -> Select[Any]:
    for name, value in wanted.model_dump(exclude={"discarded"}, exclude_none=True).items():
        query = query.where(dead_letter.c[name] == value)
    if wanted.discarded is None:
        return query
    return query.where(dead_letter.c.discarded_at.is_not(None) == wanted.discarded)
