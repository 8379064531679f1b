"""Vouching: a person has looked, and says whether an effect was applied whose end nobody knew."""

from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, delete, exists, select, update

from contracts.handoffs import Handoff
from contracts.registry import contract
from contracts.workflows import ReplayClass
from orchestrator.effects import called_about, raise_version
from orchestrator.ledger import events
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.tables import attempt, effect, escalation, subtask
from orchestrator.problems import Conflict, Malformed, NotFound, faults
from orchestrator.wake import ring


def settle(
    ledger: Ledger, key: str, applied: bool, by: str, why: str, result: dict[str, Any] | None = None
) -> str:
    """Writes down what a person found, and answers the effect's target. One that was `applied` counts as such, with
    `result` for what it came to, by the contract that its step delivers; else its intent is taken back, so that a
    replay applies it. Raises a Problem; an effect that somebody is still at, or whose end is known, is refused."""
    person, reason = by.strip(), why.strip()
    if not person or len(person) > 100:
        raise Malformed("by: name who looked, in 1 to 100 characters")
    if not reason:
        raise Malformed("why: say where you looked and what you found")
    if result is not None and not applied:
        raise Malformed("result: what was not applied has come to nothing; leave it out")
    with ledger.write() as connection:
        row = _unknown(connection, key)
        at, handoff = now(connection), Handoff.model_validate(row.handoff)
        if applied:
            _count(connection, row, handoff, _fitting(handoff, result or {}), person, reason, at)
        else:
            connection.execute(delete(effect).where(effect.c.key == key))
        found = "it was applied" if applied else "it was not applied"
        sentence = f"{row.target} by key {key[:19]}…: {found}: {reason}"
        kind, of = EventKind.EFFECT_SETTLED, (row.job_id, row.subtask_id, row.attempt_id)
        events.record(connection, Event(at, kind, person, *of, sentence=sentence))
        noted = escalation.c.subject == called_about(key), escalation.c.acknowledged_at.is_(None)
        connection.execute(
            update(escalation).where(*noted).values(acknowledged_at=at, acknowledged_by=person)
        )
        ring(connection)
        return str(row.target)


def _unknown(connection: Connection, key: str) -> Any:
    """The effect, locked, with its job and handoff. Raises NotFound, or Conflict where its end is known or somebody
    is at it."""
    row = connection.execute(
        select(effect, subtask.c.job_id, subtask.c.handoff)
        .join(subtask, subtask.c.id == effect.c.subtask_id)
        .where(effect.c.key == key)
        .with_for_update(of=effect)
    ).one_or_none()
    if row is None:
        raise NotFound(f"no effect {key[:100]} was begun; give the whole key")
    if row.applied_at is not None:
        raise Conflict(f"the effect on {row.target} was applied, and its result is in the ledger")
    if row.replay_class == ReplayClass.READ_ONLY:
        raise Conflict(f"the effect on {row.target} changes nothing, so there is nothing to find out")
    under_way = exists().where(attempt.c.subtask_id == row.subtask_id, attempt.c.ended_at.is_(None))
    if connection.execute(select(under_way)).scalar_one():
        raise Conflict(f"an attempt is at the effect on {row.target} just now; wait until it has ended")
    return row


def _fitting(handoff: Handoff, result: dict[str, Any]) -> dict[str, Any]:
    """The result as its contract reads it; whoever does this effect again reports it."""
    try:
        return contract(handoff.desired_output).model_validate(result).model_dump(mode="json")
    except ValidationError as error:
        raise Malformed(
            f"result: give what it came to as a {handoff.desired_output}: {faults(error.errors(), 'result')}"
        ) from None


def _count(
    connection: Connection,
    row: Any,
    handoff: Handoff,
    result: dict[str, Any],
    person: str,
    reason: str,
    at: float,
) -> None:
    looked = {"verified_at": at, "verification": f"{person} looked: {reason}", "settled_by": person}
    values = looked | {"result": result, "applied_at": at}
    connection.execute(update(effect).where(effect.c.key == row.key).values(values))
    if handoff.effect is not None:
        raise_version(connection, handoff.effect, row.subtask_id, at)
