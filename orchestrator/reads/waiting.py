"""Waiting: what each open subtask waits for now, and until when."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from math import isinf
from typing import Any

from sqlalchemy import Connection, func, select

from contracts.failures import Code
from contracts.states import SUBTASK_ENDS, AttemptState, SubtaskState
from contracts.workflows import Workflow
from orchestrator import pauses, spending
from orchestrator.candidates import changing
from orchestrator.deciders.spending import Cap, Period, Scope, may_settle, told
from orchestrator.deciders.switches import Standing, Work
from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import approval, attempt, subtask, vendor_batch
from orchestrator.reads.base import Read, moment_or_none
from orchestrator.reads.blockers import standing_in
from orchestrator.reads.lineage import workflow_of
from orchestrator.reads.turns import Wait, turns


class Waiting(Read):
    """One open subtask, and what has to happen before it can move."""

    subtask_id: str
    subtask: str
    state: SubtaskState
    waits_for: str
    until: datetime | None
    """When the wait ends by itself, or is looked at again; None where that is open."""


@dataclass(frozen=True)
class _View:
    """What the sentences are made of."""

    at: float
    workflow: Workflow
    subtasks: list[Any]
    attempts: dict[str, Any]
    """The open attempt by subtask."""
    approvals: dict[str, Any]
    """The waiting approval by subtask."""
    batches: dict[str, Any]
    """The vendor batches that subtasks wait for, by id."""
    turns: dict[str, Wait]
    """When a budget lets them pass, by ready subtask."""
    caps: dict[str, Cap]
    """The spending caps that hold any of them, by key."""
    switches: Standing
    blockers: dict[str, str]
    """What those lack that a blocker holds, in a few words, by the blocker's id."""
    changing: dict[str, str]
    """Who is changing what ready ones want to change, by subject."""


_Answer = tuple[str, float | None]


def waiting_in(connection: Connection, job_id: str, subtask_id: str | None = None) -> tuple[Waiting, ...]:
    """The open subtasks of a job, or the one named, with what they wait for."""
    view = _view(connection, job_id)
    return tuple(
        _waiting(view, row)
        for row in view.subtasks
        if row.state not in SUBTASK_ENDS and subtask_id in (None, row.id)
    )


def _view(connection: Connection, job_id: str) -> _View:
    at = now(connection)
    subtasks = connection.execute(
        select(subtask).where(subtask.c.job_id == job_id).order_by(subtask.c.id)
    ).all()
    attempts = connection.execute(
        select(attempt).where(attempt.c.job_id == job_id, attempt.c.ended_at.is_(None))
    ).all()
    approvals = connection.execute(
        select(approval).where(
            approval.c.subtask_id.in_([row.id for row in subtasks if row.state == SubtaskState.PARKED]),
            approval.c.state == "waiting",
        )
    )
    capped = {row.capped_by for row in subtasks if row.capped_by and row.ended_at is None}
    return _View(
        at=at,
        workflow=workflow_of(connection, job_id),
        subtasks=list(subtasks),
        attempts={row.subtask_id: row for row in attempts},
        approvals={row.subtask_id: row for row in approvals},
        batches=_batches(connection, {row.vendor_batch_id for row in attempts if row.vendor_batch_id}),
        turns=turns(connection, subtasks, at),
        caps=spending.caps_of(connection, at, capped) if capped else {},
        switches=pauses.standing(connection, at),
        blockers=standing_in(connection, {row.blocked_by for row in subtasks if row.blocked_by}),
        changing=_changing(connection, list(subtasks)),
    )


def _changing(connection: Connection, subtasks: list[Any]) -> dict[str, str]:
    """What these want to change and somebody is changing now, each with who that is."""
    ready = [row for row in subtasks if row.subject and row.state == SubtaskState.READY]
    return {
        row.subject: f"{row.name} of job {row.job_id} to have changed {row.subject}"
        for row in changing(connection, ready)
    }


def _batches(connection: Connection, ids: set[str]) -> dict[str, Any]:
    """With how often each was looked at in vain."""
    if not ids:
        return {}
    looked = attempt.c.job_id == vendor_batch.c.job_id, attempt.c.code == Code.UNFINISHED
    looks = select(func.count()).select_from(attempt).where(*looked).scalar_subquery()
    query = select(vendor_batch, looks.label("looks")).where(vendor_batch.c.id.in_(ids))
    return {row.id: row for row in connection.execute(query)}


def _waiting(view: _View, row: Any) -> Waiting:
    sentence, until = _ANSWERS[SubtaskState(row.state)](view, row)
    return Waiting(
        subtask_id=row.id, subtask=row.name, state=row.state, waits_for=sentence, until=moment_or_none(until)
    )


def _for_needs(view: _View, row: Any) -> _Answer:
    needed = view.workflow.steps[row.step].needs if row.step in view.workflow.steps else {}
    names = [
        f"{o.name} ({o.state})" for o in view.subtasks if o.step in needed and o.state not in SUBTASK_ENDS
    ]
    if not names:
        return "the orchestrator's next look at its job", None
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"what it needs: {shown}", None


def _for_dispatch(view: _View, row: Any) -> _Answer:
    held = view.switches.holder(Work(row.lane, row.vendor, row.tenant, view.workflow.workflow))
    if held is not None:
        return f"a switch to be lifted: {held}", None
    if row.not_before is not None and row.not_before > view.at:
        return "its backoff to pass", row.not_before
    if row.suspect:
        return f"its turn among the suspects of lane {row.lane}, of which no process runs two at once", None
    if row.subject in view.changing:
        return view.changing[row.subject], None
    turn = view.turns.get(row.id)
    if turn is not None:
        return turn.sentence, None if isinf(turn.seconds) else view.at + turn.seconds
    if row.held_by is None:
        return f"its turn in lane {row.lane}", None
    return row.held_by, None


def _for_worker(view: _View, row: Any) -> _Answer:
    granted = view.attempts.get(row.id)
    if granted and granted.vendor_batch_id:
        return _for_batch(view, row)
    return f"a worker of lane {row.lane} to take it", granted.start_by if granted else None


def _for_report(view: _View, row: Any) -> _Answer:
    running = view.attempts.get(row.id)
    if running and running.vendor_batch_id:
        return _for_batch(view, row)
    if running is None or running.state != AttemptState.RUNNING:
        return "its worker's report", None
    until = (
        running.deadline_at if running.lease_until is None else min(running.deadline_at, running.lease_until)
    )
    return f"the report of {running.worker}, whose lease is renewed while it lives", until


def _for_batch(view: _View, row: Any) -> _Answer:
    member = view.attempts.get(row.id)
    batch = view.batches.get(member.vendor_batch_id) if member else None
    if batch is None:
        return "the orchestrator to take it back from its batch", None
    if batch.name is None:
        return f"a batch of {batch.vendor} to be handed in by job {batch.job_id}", None
    times = "once" if batch.looks == 1 else f"{batch.looks} times"
    return f"batch {batch.name} of {batch.vendor}, looked at {times} by job {batch.job_id}", batch.expires_at


def _for_decision(view: _View, row: Any) -> _Answer:
    siblings = view.workflow.steps[row.step].sealed_with if row.step in view.workflow.steps else ()
    late = [o.name for o in view.subtasks if o.step in siblings and o.round == row.round and not _in(o)]
    if late:
        return f"{', '.join(late)}, with which its verdict is sealed", None
    return "the orchestrator to apply its report", None


def _for_release(view: _View, row: Any) -> _Answer:
    asked = view.approvals.get(row.id)
    if row.capped_by is not None:
        return _for_money(view, row)
    if row.blocked_by is not None:
        return view.blockers.get(row.blocked_by, row.why), None
    if asked is None:
        return row.why or "whoever holds it", None
    return f"a person's answer to approval {asked.id}, other than {asked.requested_by}", asked.expires_at


def _for_money(view: _View, row: Any) -> _Answer:
    """At its cap. A day's cap has room again with the next day; any other once somebody raises it, or work under
    way has cost less than it may."""
    scope, _, name = row.capped_by.partition("/")
    name, _, period = name.rpartition("/")
    command = f"`fleet budgets cap {f'{scope} {name}'.strip()} --per {period}`"
    cap = view.caps.get(row.capped_by)
    room = f"room under its spending cap: {told(cap, row.worst_nano_usd) if cap else row.why}"
    if cap and may_settle(cap, row.worst_nano_usd):
        room += "; work under way to cost less than it may"
    if period == Period.DAY:
        return f"{room}; the next day in UTC or {command}", spending.next_day(view.at)
    otherwise = ", or the job is cancelled" if scope == Scope.JOB else ""
    return f"{room}; until {command} raises it{otherwise}", None


def _in(other: Any) -> bool:
    return other.state in SUBTASK_ENDS or other.state == SubtaskState.REPORTED


_ANSWERS: dict[SubtaskState, Callable[[_View, Any], _Answer]] = {
    SubtaskState.WAITING: _for_needs,
    SubtaskState.READY: _for_dispatch,
    SubtaskState.DISPATCHED: _for_worker,
    SubtaskState.RUNNING: _for_report,
    SubtaskState.SUBMITTED: _for_batch,
    SubtaskState.REPORTED: _for_decision,
    SubtaskState.PARKED: _for_release,
}
