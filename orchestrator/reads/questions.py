"""Questions: what steps ask people, how long it takes them and what they say."""

from collections import defaultdict
from statistics import median
from typing import Any

from sqlalchemy import Connection, select

from orchestrator.deciders.diagnosing import PATIENCE_OF_PEOPLE_SECONDS
from orchestrator.deciders.losses import Questions
from orchestrator.ledger.tables import approval, job, subtask
from orchestrator.reads.ids import first_id

LOOK_BACK_SECONDS = 7 * 86_400.0
"""People answer too seldom for a short window to tell how they do."""
MOST_ANSWERS = 500
"""The latest, which is enough for a median."""


def questions(connection: Connection, since: float, at: float) -> tuple[Questions, ...]:
    """By step, with the time lost between `since` and `at`."""
    asked: dict[str, list[Any]] = defaultdict(list)
    for row in (*_waiting(connection), *_answered(connection, at)):
        asked[f"{row.workflow}/{row.step}"].append(row)
    return tuple(_read(where, rows, since, at) for where, rows in asked.items())


def _waiting(connection: Connection) -> list[Any]:
    return list(connection.execute(_SHOWN.where(approval.c.state == "waiting")))


def _answered(connection: Connection, at: float) -> list[Any]:
    """The latest answers that people gave; a question that lapsed has none."""
    query = _SHOWN.where(
        approval.c.id >= first_id(at - LOOK_BACK_SECONDS),
        approval.c.answered_at.is_not(None),
        approval.c.answered_by.is_not(None),
    )
    return list(connection.execute(query.order_by(approval.c.id.desc()).limit(MOST_ANSWERS)))


_SHOWN = (
    select(approval.c.state, approval.c.asked_at, approval.c.answered_at, job.c.workflow, subtask.c.step)
    .join(job, job.c.id == approval.c.job_id)
    .join(subtask, subtask.c.id == approval.c.subtask_id)
)


def _read(where: str, rows: list[Any], since: float, at: float) -> Questions:
    answered = [row for row in rows if row.answered_at is not None]
    took = [row.answered_at - row.asked_at for row in answered]
    slow = [
        (row.asked_at, row.answered_at or at)
        for row in rows
        if (row.answered_at or at) - row.asked_at > PATIENCE_OF_PEOPLE_SECONDS
        and (row.answered_at or at) > since
    ]
    return Questions(
        where=where,
        waiting=sum(
            row.answered_at is None and at - row.asked_at > PATIENCE_OF_PEOPLE_SECONDS for row in rows
        ),
        seconds=sum(until - max(begun, since) for begun, until in slow),
        longest_seconds=max((until - begun for begun, until in slow), default=0.0),
        answers=len(answered),
        approved=sum(row.state == "approved" for row in answered),
        median_seconds=median(took) if took else None,
    )
