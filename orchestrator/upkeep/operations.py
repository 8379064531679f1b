"""What the upkeep lane can do. Each operation reads the ledger, writes its finding, and opens what it calls for."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, exists, func, literal, select

from contracts.artifacts import ArtifactRef
from contracts.base import Fact
from contracts.catalog import Catalog
from contracts.handoffs import Handoff
from contracts.jobs import JobRequest
from contracts.maintenance import Findings
from contracts.purposes import Purpose
from contracts.states import SubtaskState
from contracts.verdicts import Decision, Verdict
from orchestrator import escalations
from orchestrator.artifacts import ArtifactStore
from orchestrator.intake import Intake
from orchestrator.ledger import events
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.tables import budget, escalation, event, job, subtask, worker

log = logging.getLogger(__name__)

ACTOR = "upkeep"


@dataclass(frozen=True)
class Duty:
    """One attempt of upkeep, as its operation sees it."""

    handoff: Handoff
    ledger: Ledger
    catalog: Catalog
    intake: Intake
    store: ArtifactStore
    escalation_log: Path


Operation = Callable[[Duty], Findings]


def snapshot(duty: Duty) -> Findings:
    """How many jobs and subtasks stand where, which workers live, and what the budgets hold."""
    with duty.ledger.read() as connection:
        at = now(connection)
        found: dict[str, Fact] = {
            **{f"jobs {state}": count for state, count in _counts(connection, job.c.state)},
            **{f"subtasks {state}": count for state, count in _counts(connection, subtask.c.state)},
        }
        alive = select(func.count()).where(worker.c.stopped_at.is_(None), worker.c.beat_at > at - 30)
        found["workers alive"] = connection.execute(alive).scalar_one()
        closed = select(func.count()).where(budget.c.closed_until > at)
        found["budgets closed"] = connection.execute(closed).scalar_one()
    return Findings(
        sentence=f"{found['workers alive']} worker(s) alive", found=dict(list(found.items())[:30])
    )


def _counts(connection: Connection, column: Column[str]) -> list[tuple[str, int]]:
    query = select(column, func.count().label("number")).group_by(column)
    return [(row[0], row.number) for row in connection.execute(query)]


def stalled(duty: Duty) -> Findings:
    """Writes an event for every subject that still waits and was not told before, and calls a person once for
    all of them."""
    subjects = subjects_of(duty.handoff)
    with duty.ledger.write() as connection:
        at = now(connection)
        waiting, drills = _waiting(connection, subjects), _unanswered(connection, subjects)
        told = [
            Event(at, EventKind.STALLED, ACTOR, row.job_id, row.id, sentence=row.sentence)
            for row in (*waiting, *drills)
        ]
        events.record(connection, *told)
        sentence = f"{len(waiting)} subtask(s) wait too long, {len(drills)} drill(s) are unanswered"
        opened = _call(connection, duty, sentence, drill=False) if told else None
    escalations.tell(duty.ledger, duty.escalation_log)
    return Findings(sentence=sentence, subjects=tuple(subjects), opened=(opened,) if opened else ())


def _waiting(connection: Connection, subjects: list[str]) -> list[Any]:
    waits_for = literal("waits for ") + func.coalesce(subtask.c.held_by, subtask.c.state)
    query = select(subtask.c.id, subtask.c.job_id, waits_for.label("sentence")).where(
        subtask.c.id.in_(subjects),
        subtask.c.state.in_([SubtaskState.READY, SubtaskState.PARKED]),
        ~_told(subtask.c.id),
    )
    return list(connection.execute(query))


def _unanswered(connection: Connection, subjects: list[str]) -> list[Any]:
    nobody = literal("nobody acknowledged this drill").label("sentence")
    query = select(escalation.c.id, escalation.c.job_id, nobody).where(
        escalation.c.id.in_(subjects), escalation.c.acknowledged_at.is_(None), ~_told(escalation.c.id)
    )
    return list(connection.execute(query))


def _told(subject: Column[str]) -> ColumnElement[bool]:
    return exists().where(event.c.kind == EventKind.STALLED, event.c.subtask_id == subject)


def reopen(duty: Duty) -> Findings:
    """Opens a new job, linked to the closed one, where the re-review objects."""
    verdict = _verdict(duty)
    origin_id = subjects_of(duty.handoff)[0]
    if verdict.decision is Decision.APPROVE:
        return Findings(sentence=f"job {origin_id} holds: {verdict.headline()}", subjects=(origin_id,))
    with duty.ledger.read() as connection:
        origin = connection.execute(select(job).where(job.c.id == origin_id)).one()
    request = JobRequest(
        tenant=origin.tenant,
        portfolio=origin.portfolio,
        workflow=origin.workflow,
        inputs=origin.inputs,
        purpose=Purpose.REWORK,
        reason=f"a re-review of job {origin_id} {verdict.headline()}"[:500],
        requested_by=ACTOR,
        kpi=origin.kpi,
        priority=origin.priority,
    )
    accepted = duty.intake.accept(request, f"reopen/{origin_id}", origin=origin_id, actor=ACTOR)
    sentence = f"job {origin_id} was closed too early; job {accepted.job_id} does it again"
    return Findings(sentence=sentence, subjects=(origin_id,), opened=(accepted.job_id,))


def drill(duty: Duty) -> Findings:
    """Sends a drill by the log route; whoever follows the log acknowledges it."""
    opened = escalate(duty, "this is a drill: acknowledge it to show that somebody listens", drill=True)
    return Findings(sentence=f"drill {opened} was sent by the log route", opened=(opened,))


def escalate(duty: Duty, sentence: str, drill: bool) -> str:
    """Calls a person: a row in the ledger, and a line in the log route that carries its id."""
    with duty.ledger.write() as connection:
        escalation_id = _call(connection, duty, sentence, drill)
    escalations.tell(duty.ledger, duty.escalation_log)
    return escalation_id


def _call(connection: Connection, duty: Duty, sentence: str, drill: bool) -> str:
    job_id = duty.handoff.assignment.job
    return escalations.call(connection, now(connection), ACTOR, sentence, job_id, drill)


def subjects_of(handoff: Handoff) -> list[str]:
    """What the tick's look found, as the handoff gives it."""
    item = next(item for item in handoff.context if item.name == "subjects")
    assert isinstance(item.value, list)
    return [str(subject) for subject in item.value]


def _verdict(duty: Duty) -> Verdict:
    item = next(item for item in duty.handoff.context if item.name == "verdict")
    assert isinstance(item.artifact, ArtifactRef)
    return Verdict.model_validate_json(duty.store.get(item.artifact.digest))
