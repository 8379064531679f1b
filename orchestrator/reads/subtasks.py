"""Subtasks of a job, a line each."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from contracts.reports import Summary
from contracts.states import SubtaskState
from orchestrator.ledger.tables import subtask
from orchestrator.reads.base import Read, moment, moment_or_none
from orchestrator.reads.costs import Cost, costs_by_subtask
from orchestrator.reads.seals import sealed
from orchestrator.reads.waits import Waits, own_waits, waits_by_subtask


class SubtaskLine(Read):
    """A subtask as it stands."""

    id: str
    name: str
    step: str
    item: int
    round: int
    lane: str | None
    purpose: str
    state: SubtaskState
    why: str
    held_by: str | None
    """What it waits for while it is ready."""
    not_before: datetime | None
    tries: int
    sealed: bool
    """Whether its report is hidden until the verdicts it is sealed with are in."""
    summary: Summary | None
    waits: Waits
    cost: Cost
    created_at: datetime
    ready_at: datetime | None
    ended_at: datetime | None


def subtasks_of(connection: Connection, job_id: str) -> tuple[SubtaskLine, ...]:
    """All subtasks of a job in the order in which they were planned."""
    rows = connection.execute(select(subtask).where(subtask.c.job_id == job_id).order_by(subtask.c.id)).all()
    costs = costs_by_subtask(connection, job_id)
    waits = waits_by_subtask(connection, job_id)
    return tuple(
        _line(row, costs.get(row.id, Cost()), own_waits(row) + waits.get(row.id, Waits())) for row in rows
    )


def _line(row: Any, cost: Cost, waits: Waits) -> SubtaskLine:
    hidden = sealed(row.state)
    return SubtaskLine(
        id=row.id,
        name=row.name,
        step=row.step,
        item=row.item,
        round=row.round,
        lane=row.lane,
        purpose=row.purpose,
        state=row.state,
        why=row.why,
        held_by=row.held_by,
        not_before=moment_or_none(row.not_before),
        tries=row.tries,
        sealed=hidden,
        summary=None if hidden else row.summary,
        waits=waits,
        cost=cost,
        created_at=moment(row.created_at),
        ready_at=moment_or_none(row.ready_at),
        ended_at=moment_or_none(row.ended_at),
    )
