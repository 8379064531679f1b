"""Taint: which results were found wrong, and which were built on them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from orchestrator.ledger.tables import subtask, taint
from orchestrator.reads.base import Read, moment


class TaintRead(Read):
    """A result that cannot be trusted, and why."""

    subtask_id: str
    subtask: str
    cause: str
    """The subtask whose result was found wrong; itself, or one that it was built on."""
    sentence: str
    because: str
    """The same without the name, so that what has one cause can be told together."""
    by: str
    why: str
    at: datetime


class TaintedRead(Read):
    """What was marked when a result was found wrong."""

    cause: str
    results: int
    jobs: int
    effects: int
    """Applied ones among them."""
    replay: str
    """The command that shows what making it anew would do."""


def taint_in(connection: Connection, job_id: str, subtask_id: str | None = None) -> tuple[TaintRead, ...]:
    """The tainted results of a job, or of the subtask named, in the order in which they were marked."""
    wrong = subtask.alias("wrong")
    query = (
        select(taint, subtask.c.name, wrong.c.name.label("wrong_name"), wrong.c.job_id.label("wrong_job"))
        .join(subtask, subtask.c.id == taint.c.subtask_id)
        .join(wrong, wrong.c.id == taint.c.cause)
        .where(taint.c.job_id == job_id)
        .order_by(taint.c.at, taint.c.subtask_id)
    )
    if subtask_id is not None:
        query = query.where(taint.c.subtask_id == subtask_id)
    return tuple(
        TaintRead(
            subtask_id=row.subtask_id,
            subtask=row.name,
            cause=row.cause,
            sentence=f"{row.name} was {_because(row, job_id)}",
            because=_because(row, job_id),
            by=row.by,
            why=row.why,
            at=moment(row.at),
        )
        for row in connection.execute(query)
    )


def _because(row: Any, job_id: str) -> str:
    at = f"at {moment(row.at):%Y-%m-%d %H:%M} UTC: {row.why}"
    if row.subtask_id == row.cause:
        return f"found wrong by {row.by} {at}"
    where = "" if row.wrong_job == job_id else f" of job {row.wrong_job}"
    return f"built on {row.wrong_name}{where}, which {row.by} found wrong {at}"


def making_anew(cause: str) -> str:
    """The command that shows what making everything anew that was built on a wrong result would do."""
    return f"fleet replay --downstream-of {cause}"
