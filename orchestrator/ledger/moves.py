"""Moves of jobs and subtasks: the only way a state changes, checked, counted and told.

A move names the state it starts from. Where a row has moved on meanwhile, the whole batch of moves raises,
and its transaction changes nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, Update, bindparam, update

from contracts.states import (
    JOB_ENDS,
    JOB_MOVES,
    SUBTASK_ENDS,
    SUBTASK_MOVES,
    JobState,
    SubtaskState,
    check_move,
)
from orchestrator.ledger import events
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.tables import job, subtask


class MovedMeanwhile(Exception):
    """A row was no longer in the state a move starts from."""


@dataclass(frozen=True)
class SubtaskMove:
    """One subtask from one state to another, with the columns that change with it."""

    id: str
    job_id: str
    old: SubtaskState
    new: SubtaskState
    why: str
    sets: dict[str, Any] = field(default_factory=dict)
    attempt_id: str | None = None


@dataclass(frozen=True)
class JobMove:
    id: str
    old: JobState
    new: JobState
    why: str
    sets: dict[str, Any] = field(default_factory=dict)


def move_subtasks(connection: Connection, moves: Iterable[SubtaskMove], actor: str, at: float) -> None:
    """Applies the moves and writes their events; raises MovedMeanwhile if any row had moved on."""
    groups: dict[tuple[int, SubtaskState, SubtaskState, tuple[str, ...]], list[SubtaskMove]] = defaultdict(
        list
    )
    told: list[Event] = []
    before = Counter[str]()
    for move in moves:
        check_move(move.old, move.new, SUBTASK_MOVES)
        groups[(before[move.id], move.old, move.new, tuple(sorted(move.sets)))].append(move)
        before[move.id] += 1  # every first move of a subtask is made before any second one
        told.append(
            Event(
                at=at,
                kind=EventKind.SUBTASK_MOVED,
                actor=actor,
                job_id=move.job_id,
                subtask_id=move.id,
                attempt_id=move.attempt_id,
                old=move.old,
                new=move.new,
                sentence=move.why,
            )
        )
    for (_, old, new, columns), group in sorted(groups.items(), key=lambda entry: entry[0][0]):
        rows = [
            {"_id": m.id, "_why": m.why, "_at": at, **{f"_{c}": m.sets[c] for c in columns}} for m in group
        ]
        changed = connection.execute(_moving(old, new, columns), rows).rowcount
        if changed != len(rows):
            raise MovedMeanwhile(f"{len(rows)} subtasks should move from {old} to {new}, {changed} did")
    events.record(connection, *told)


@cache
def _moving(old: SubtaskState, new: SubtaskState, columns: tuple[str, ...]) -> Update:
    """The statement of one kind of move, built once: building it costs more than running it."""
    ended: dict[str, Any] = {"ended_at": bindparam("_at")} if new in SUBTASK_ENDS else {}
    return (
        update(subtask)
        .where(subtask.c.id == bindparam("_id"), subtask.c.state == old)
        .values(state=new, why=bindparam("_why"), **{c: bindparam(f"_{c}") for c in columns}, **ended)
    )


def move_jobs(connection: Connection, moves: Iterable[JobMove], actor: str, at: float) -> None:
    """Applies the moves and writes their events; raises MovedMeanwhile if any row had moved on."""
    told = []
    for move in moves:
        check_move(move.old, move.new, JOB_MOVES)
        ended = {"ended_at": at} if move.new in JOB_ENDS else {}
        changed = connection.execute(
            update(job)
            .where(job.c.id == move.id, job.c.state == move.old)
            .values(state=move.new, why=move.why, **move.sets, **ended)
        ).rowcount
        if changed != 1:
            raise MovedMeanwhile(f"job {move.id} was no longer {move.old}")
        told.append(
            Event(
                at=at,
                kind=EventKind.JOB_MOVED,
                actor=actor,
                job_id=move.id,
                old=move.old,
                new=move.new,
                sentence=move.why,
            )
        )
    events.record(connection, *told)
