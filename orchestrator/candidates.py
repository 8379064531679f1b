"""Candidates: the ready subtasks whose time has come, a few from the head of every queue."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, or_, select

from contracts.states import SubtaskState
from orchestrator.deciders import slots
from orchestrator.deciders.slots import Pool
from orchestrator.ledger.tables import job, subtask

HEADS = 50
"""So many are looked at in each queue at a time; the next turn of the loop sees the next ones."""


@dataclass(frozen=True)
class Queue:
    """The ready work of one lane, purpose and tenant."""

    lane: str
    purpose: str
    tenant: str


@dataclass(frozen=True)
class Candidate:
    """A ready subtask whose time has come, and what it has waited for."""

    row: Any
    waited_seconds: float
    backoff_seconds: float


def queues(connection: Connection, at: float) -> list[Queue]:
    """Every queue that has work whose time has come."""
    columns = subtask.c.lane, subtask.c.purpose, subtask.c.tenant
    rows = connection.execute(select(*columns).where(_due(at)).distinct().order_by(*columns))
    return [Queue(row.lane, row.purpose, row.tenant) for row in rows]


def heads(
    connection: Connection, at: float, found: Iterable[Queue], pools: list[Pool], most: int
) -> list[Candidate]:
    """The heads of the queues whose lanes have room: by priority, then by who was ready first."""
    candidates = []
    for queue in found:
        room = min(slots.room(pools, queue.lane), max(HEADS, most))
        if room:
            query = (
                select(*_COLUMNS)
                .join(job, job.c.id == subtask.c.job_id)
                .where(
                    _due(at),
                    subtask.c.lane == queue.lane,
                    subtask.c.purpose == queue.purpose,
                    subtask.c.tenant == queue.tenant,
                )
                .order_by(subtask.c.priority.desc(), subtask.c.place, subtask.c.id)
                .limit(room)
            )
            candidates += [_candidate(row, at) for row in connection.execute(query)]
    return candidates


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
    subtask.c.budget,
    subtask.c.model,
    subtask.c.vendor,
    subtask.c.reserve_input_tokens,
    subtask.c.reserve_output_tokens,
    subtask.c.most_output_tokens,
    subtask.c.repeat_key,
    subtask.c.repeat_within_seconds,
    subtask.c.allowed_seconds,
    subtask.c.not_before,
    subtask.c.ready_at,
    subtask.c.place,
    subtask.c.held_by,
    job.c.max_cost_nano_usd,
)


def _due(at: float) -> Any:
    """Ready, and neither backing off nor waiting for the answer of another."""
    free = (subtask.c.state == SubtaskState.READY) & subtask.c.follows.is_(None)
    return free & or_(subtask.c.not_before.is_(None), subtask.c.not_before <= at)


def _candidate(row: Any, at: float) -> Candidate:
    backoff = max((row.not_before or 0.0) - row.ready_at, 0.0)
    return Candidate(row, max(at - row.ready_at - backoff, 0.0), backoff)
