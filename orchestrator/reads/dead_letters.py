"""Dead letters: subtasks that ended unwell, one by one and by what they died of."""

import re
from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Select, case, func, or_, select

from orchestrator.ledger.tables import dead_letter, job, subtask
from orchestrator.problems import Conflict, NotFound
from orchestrator.reads.base import Read, moment, moment_or_none
from orchestrator.reads.paging import DEFAULT_LIMIT, Page, page_of, parts_of
from orchestrator.selections import not_taken_up, replayable

_PREFIX = "sha256:"
_SHORTEST_SIGNATURE = 6
_SIGNATURE = re.compile(rf"[0-9a-f]{{{_SHORTEST_SIGNATURE},64}}")
_OF_THE_JOB = ("workflow", "replay_id")
_BEYOND = "g"
"""The letter after the last hexadecimal digit."""


class DeadLetterFilter(Read):
    """Which dead letters are listed; what is None does not narrow."""

    lane: str | None = None
    category: str | None = None
    code: str | None = None
    tenant: str | None = None
    workflow: str | None = None
    job_id: str | None = None
    replay_id: str | None = None
    """Of the jobs that this replay made."""
    signature: str | None = None
    """The whole of it, as `whole_signature` answers it."""
    discarded: bool | None = False
    replayed: bool | None = False
    """Whether a replay has made a new job of theirs."""


class DeadLetterLine(Read):
    """A dead letter, and the sentence that says why it died."""

    subtask_id: str
    """It is also the dead letter's id."""
    job_id: str
    workflow: str
    name: str
    tenant: str
    lane: str | None
    vendor: str | None
    """Whose model was to answer; None where no model was asked."""
    category: str
    code: str
    sentence: str
    signature: str
    """What it has in common with others that died of the same."""
    at: datetime
    discarded_at: datetime | None
    discarded_by: str | None
    discarded_why: str | None


class DeadLetterGroup(Read):
    """Dead letters that died of the same thing: same category, code, lane and vendor, and sentences that differ
    only in ids, numbers, times and the like."""

    signature: str
    lane: str | None
    vendor: str | None
    category: str
    code: str
    count: int
    replayable: int
    """Those of them that a replay by this signature would take up: nobody discarded or replayed them, and their jobs
    have ended, were not cancelled, and are not done with what they applied standing."""
    tenants: tuple[str, ...]
    workflows: tuple[str, ...]
    oldest_at: datetime
    latest_at: datetime
    example_id: str
    """The latest subtask among them; `sentence` is its own."""
    sentence: str


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


def dead_letter_groups(
    connection: Connection, wanted: DeadLetterFilter, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[DeadLetterGroup]:
    """The same, counted by what they died of, the largest group first."""
    letter = dead_letter.c
    same = (letter.signature, letter.lane, letter.vendor, letter.category, letter.code)
    whose = (letter.tenant, job.c.workflow)
    query = select(
        *same,
        *whose,
        func.count().label("total"),
        func.sum(case((replayable(), 1), else_=0)).label("replayable"),
        func.min(letter.at).label("oldest"),
        func.max(letter.at).label("latest"),
        func.max(letter.subtask_id).label("example"),
    ).join(job, job.c.id == letter.job_id)
    rows = connection.execute(_narrowed(query, wanted).group_by(*same, *whose)).all()
    groups = sorted(_gathered(rows), key=_size, reverse=True)
    if cursor is not None:
        last = parts_of(cursor, (int, str))
        groups = [each for each in groups if _size(each) < last]
    told = _told(connection, groups[: limit + 1])
    return page_of(told, limit, lambda group: group, lambda group: (group.count, group.example_id))


def whole_signature(connection: Connection, given: str) -> str:
    """The signature that begins so; raises NotFound, or Conflict where several do."""
    digits = given.strip().lower().removeprefix(_PREFIX)
    if not _SIGNATURE.fullmatch(digits):
        raise NotFound(
            f"no signature {given[:80]!r}: give at least its first {_SHORTEST_SIGNATURE} hexadecimal digits"
        )
    column = dead_letter.c.signature
    begins = column.between(_PREFIX + digits, _PREFIX + digits + _BEYOND)
    found = connection.execute(select(column).where(begins).distinct().limit(2)).scalars().all()
    if not found:
        raise NotFound(f"no dead letter has a signature that begins with {digits}")
    if len(found) > 1:
        raise Conflict(f"several signatures begin with {digits}; give more digits of it")
    return str(found[0])


def _gathered(rows: Iterable[Any]) -> Iterable[dict[str, Any]]:
    """One entry for each group, whichever tenants and workflows its letters belong to."""

    def same(row: Any) -> tuple[str, ...]:
        return tuple(part or "" for part in row[:5])

    for _, parts in groupby(sorted(rows, key=same), key=same):
        members = list(parts)
        latest = max(members, key=lambda row: (row.latest, row.example))
        yield {
            **{name: getattr(latest, name) for name in ("signature", "lane", "vendor", "category", "code")},
            "count": sum(row.total for row in members),
            "replayable": sum(row.replayable for row in members),
            "tenants": tuple(sorted({row.tenant for row in members})),
            "workflows": tuple(sorted({row.workflow for row in members})),
            "oldest_at": moment(min(row.oldest for row in members)),
            "latest_at": moment(latest.latest),
            "example_id": latest.example,
        }


def _size(group: dict[str, Any]) -> tuple[int, str]:
    return group["count"], group["example_id"]


def _told(connection: Connection, groups: list[dict[str, Any]]) -> tuple[DeadLetterGroup, ...]:
    """With the sentence of each one's example."""
    ids = [group["example_id"] for group in groups]
    query = select(dead_letter.c.subtask_id, dead_letter.c.sentence).where(dead_letter.c.subtask_id.in_(ids))
    sentences = {row.subtask_id: row.sentence for row in connection.execute(query)}
    return tuple(DeadLetterGroup(**group, sentence=sentences[group["example_id"]]) for group in groups)


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
    for name, value in wanted.model_dump(exclude={"discarded", "replayed"}, exclude_none=True).items():
        column = (job if name in _OF_THE_JOB else dead_letter).c[name]
        query = query.where(column == value)
    if wanted.discarded is not None:
        query = query.where(dead_letter.c.discarded_at.is_not(None) == wanted.discarded)
    if wanted.replayed is not None:
        waits = not_taken_up(dead_letter.c.job_id)
        query = query.where(~waits if wanted.replayed else waits)
    return query
