"""Candidates: the ready subtasks whose time has come, a few from the head of every queue."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, or_, select

from contracts.states import SubtaskState
from orchestrator.deciders.slots import Slots
from orchestrator.ledger.tables import job, subtask

CHANGING = (SubtaskState.DISPATCHED, SubtaskState.RUNNING, SubtaskState.REPORTED)
"""While one with a subject is in one of these, no other may change it."""
_other = subtask.alias("other")
_ALONE = or_(
    subtask.c.subject.is_(None),
    ~exists().where(
        _other.c.subject == subtask.c.subject, _other.c.state.in_(CHANGING), _other.c.ended_at.is_(None)
    ),
)
"""Nobody is changing what it would change: who has to wait for that takes no place among the heads."""
FEWEST_HEADS = 2
"""Seen of each queue at least, however many there are; the next turn of the loop sees the next ones."""


@dataclass(frozen=True)
class Queue:
    """The ready work of one lane, purpose and tenant that draws on the same accounts and is equally urgent."""

    lane: str
    purpose: str
    tenant: str
    budget: str | None
    priority: int


def pool_of(lane: str, budget: str | None) -> str:
    """What work contends for: the accounts it draws on, or the workers of its lane."""
    return budget or f"lane {lane}"


@dataclass(frozen=True)
class Candidate:
    """A ready subtask whose time has come, and what it has waited for."""

    row: Any
    waited_seconds: float
    backoff_seconds: float


def queues(connection: Connection, at: float, free: ColumnElement[bool]) -> list[Queue]:
    """Every queue that has work whose time has come, and that is free: no switch holds it."""
    columns = subtask.c.lane, subtask.c.purpose, subtask.c.tenant, subtask.c.budget, subtask.c.priority
    rows = connection.execute(select(*columns).where(due(at), free).distinct().order_by(*columns))
    return [Queue(row.lane, row.purpose, row.tenant, row.budget, row.priority) for row in rows]


def heads(
    connection: Connection,
    at: float,
    found: Sequence[Queue],
    slots: Slots,
    most: int,
    free: ColumnElement[bool],
) -> list[Candidate]:
    """The heads of the queues whose lanes have room, about `most` together: who was ready first, and is free to
    change what it would change."""
    candidates = []
    for queue in found:
        room = min(slots.room(queue.lane), max(most // len(found), FEWEST_HEADS))
        if room:
            query = (
                select(*_COLUMNS)
                .join(job, job.c.id == subtask.c.job_id)
                .where(due(at), free, _ALONE, *_of(queue))
                .order_by(subtask.c.place, subtask.c.id)
                .limit(room)
            )
            candidates += [_candidate(row, at) for row in connection.execute(query)]
    return candidates


def _of(queue: Queue) -> tuple[ColumnElement[bool], ...]:
    paid = subtask.c.budget.is_(None) if queue.budget is None else subtask.c.budget == queue.budget
    return (
        subtask.c.lane == queue.lane,
        subtask.c.purpose == queue.purpose,
        subtask.c.tenant == queue.tenant,
        paid,
        subtask.c.priority == queue.priority,
    )


_COLUMNS = (
    subtask.c.id,
    subtask.c.job_id,
    subtask.c.tenant,
    subtask.c.name,
    subtask.c.lane,
    subtask.c.purpose,
    subtask.c.priority,
    subtask.c.tries,
    subtask.c.crashes,
    subtask.c.repairs,
    subtask.c.suspect,
    subtask.c.budget,
    subtask.c.model,
    subtask.c.vendor,
    subtask.c.reserve_input_tokens,
    subtask.c.reserve_output_tokens,
    subtask.c.most_output_tokens,
    subtask.c.repeat_key,
    subtask.c.subject,
    subtask.c.repeat_within_seconds,
    subtask.c.allowed_seconds,
    subtask.c.not_before,
    subtask.c.ready_at,
    subtask.c.place,
    subtask.c.held_by,
    job.c.max_cost_nano_usd,
)


def due(at: float) -> ColumnElement[bool]:
    """Ready, and neither backing off nor waiting for the answer of another."""
    free = (subtask.c.state == SubtaskState.READY) & subtask.c.follows.is_(None)
    return free & or_(subtask.c.not_before.is_(None), subtask.c.not_before <= at)


def _candidate(row: Any, at: float) -> Candidate:
    backoff = max((row.not_before or 0.0) - row.ready_at, 0.0)
    return Candidate(row, max(at - row.ready_at - backoff, 0.0), backoff)


def changing(connection: Connection, rows: Iterable[Any]) -> list[Any]:
    """Who is changing a subject now that one of these wants to change: name, job and subject."""
    wanted = {row.subject for row in rows if row.subject}
    if not wanted:
        return []
    query = select(subtask.c.name, subtask.c.job_id, subtask.c.subject).where(
        subtask.c.subject.in_(wanted), subtask.c.state.in_(CHANGING), subtask.c.ended_at.is_(None)
    )
    return list(connection.execute(query))
