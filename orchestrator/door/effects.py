"""Effects: an intent before anything is applied, a result after, each key once."""

from typing import Any

from sqlalchemy import select, update

from contracts.handoffs import EffectGrant
from orchestrator.door.claims import Claim, FencedOut, standing
from orchestrator.ledger import events
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.tables import effect


def begin(ledger: Ledger, claim: Claim, grant: EffectGrant, intent: dict[str, Any]) -> dict[str, Any] | None:
    """Writes the intent down before anything is applied; answers an earlier result of this key, if any.
    Raises FencedOut where the attempt was taken away meanwhile."""
    with ledger.write() as connection:
        at = now(connection)
        if connection.execute(standing(claim).with_for_update()).one_or_none() is None:
            raise FencedOut(f"attempt {claim.attempt} was taken away before {grant.target} was touched")
        intended = {
            "key": grant.key,
            "subtask_id": claim.subtask,
            "attempt_id": claim.attempt,
            "target": grant.target,
            "intent": intent,
            "intended_at": at,
        }
        insert_missing(connection, effect, [intended])
        earlier = select(effect.c.result).where(effect.c.key == grant.key)
        result: dict[str, Any] | None = connection.execute(earlier).scalar_one()
        if result is None:
            events.record(connection, _event(claim, grant, EventKind.EFFECT_INTENDED, at))
        return result


def finish(ledger: Ledger, claim: Claim, grant: EffectGrant, result: dict[str, Any]) -> None:
    """Writes the result down, once, and only at the claim's own fence."""
    with ledger.write() as connection:
        at = now(connection)
        applied = connection.execute(
            update(effect)
            .where(effect.c.key == grant.key, effect.c.result.is_(None), standing(claim).exists())
            .values(result=result, applied_at=at, attempt_id=claim.attempt)
        ).rowcount
        if applied:
            events.record(connection, _event(claim, grant, EventKind.EFFECT_APPLIED, at))


def _event(claim: Claim, grant: EffectGrant, kind: EventKind, at: float) -> Event:
    return Event(
        at=at,
        kind=kind,
        actor=claim.handoff.assignment.lane,
        job_id=claim.job,
        subtask_id=claim.subtask,
        attempt_id=claim.attempt,
        sentence=f"{grant.target} by key {grant.key[:19]}…",
    )
