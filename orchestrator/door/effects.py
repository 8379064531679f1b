"""Effects: an intent before anything is applied, a result after, each key once; and what an effect may not follow.

An intent without a result is an end that nobody knows. Whoever begins the same effect again reads the world first
and writes down what it shows; until then the effect is another attempt's, and no result of it is taken. A result
answers only for what it came of: who was handed something else is told so, and not that it was applied. What the
world refuses has an end that is known, and its intent is taken back.
"""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, select, update

from contracts.artifacts import digest_of
from contracts.failures import Code
from contracts.handoffs import EffectGrant
from contracts.workflows import ReplayClass
from orchestrator import taints
from orchestrator.door.claims import Claim, FencedOut, standing
from orchestrator.effects import how_to_settle, raise_version
from orchestrator.ledger import events
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.tables import attempt, effect, subject
from orchestrator.pauses import TOLD_TO_STOP

HANDED = "handed"
"""In an intent: the digest of what is to be applied. What older code began has none."""


@dataclass(frozen=True)
class Begun:
    """An effect whose intent is written down."""

    result: dict[str, Any] | None = None
    """What came of it before: it is applied already."""
    ambiguous: bool = False
    """An earlier attempt may have applied it: read the world and write down what it shows, before anything else."""


class EffectRefused(Exception):
    """The effect may not be applied; nothing was written down."""

    def __init__(self, code: Code, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def begin(ledger: Ledger, claim: Claim, grant: EffectGrant, intent: dict[str, Any]) -> Begun:
    """Writes the intent down before anything is applied. Raises FencedOut where the attempt was taken away
    meanwhile, and EffectRefused where what it changes is not as it was handed over, where it may have been done and
    must not be done twice, or where something else was applied by its key."""
    with ledger.write() as connection:
        at = now(connection)
        if connection.execute(standing(claim).with_for_update()).one_or_none() is None:
            raise FencedOut(f"attempt {claim.attempt} was taken away before {grant.target} was touched")
        if connection.execute(select(TOLD_TO_STOP).where(attempt.c.id == claim.attempt)).scalar_one():
            raise FencedOut(
                f"attempt {claim.attempt} was killed by a switch before {grant.target} was touched"
            )
        begun = _begin(connection, claim, grant, intent, at)
        if begun.result is None:
            _check_version(connection, grant, at)
            _check_taint(connection, claim, grant)
            events.record(connection, _event(claim, grant, EventKind.EFFECT_INTENDED, at))
        return begun


def _begin(
    connection: Connection, claim: Claim, grant: EffectGrant, intent: dict[str, Any], at: float
) -> Begun:
    intent = intent | {HANDED: _handed(claim, grant)}
    intended = {
        "key": grant.key,
        "subtask_id": claim.subtask,
        "attempt_id": claim.attempt,
        "target": grant.target,
        "intent": intent,
        "intended_at": at,
        "replay_class": grant.replay_class,
    }
    insert_missing(connection, effect, [intended])
    row = connection.execute(select(effect).where(effect.c.key == grant.key).with_for_update()).one()
    if row.result is not None:
        _check_same(row, claim, grant, intent[HANDED])
        return Begun(result=row.result)
    ambiguous = row.attempt_id != claim.attempt and grant.replay_class is not ReplayClass.READ_ONLY
    if ambiguous and ReplayClass.UNSAFE in (grant.replay_class, row.replay_class):
        raise EffectRefused(
            Code.GATE_REFUSED,
            f"attempt {row.attempt_id} may have changed {grant.changes} and never said so, and doing it twice would "
            f"do harm: {how_to_settle(grant.key)}, and a replay goes on from there",
        )
    taken: dict[str, Any] = {
        "subtask_id": claim.subtask,
        "intent": intent,
        "replay_class": grant.replay_class,
    }
    taken["called_at"] = None
    if not ambiguous:
        taken["attempt_id"] = claim.attempt
    connection.execute(update(effect).where(effect.c.key == grant.key).values(taken))
    return Begun(ambiguous=ambiguous)


def _handed(claim: Claim, grant: EffectGrant) -> str:
    """The digest of what is to be applied: of what a person approved or, where nobody had to, of all that it is made
    of, by whatever round or replay that was made."""
    if grant.approved_digest is not None:
        return grant.approved_digest
    parts = [
        (item.name, item.artifact.digest if item.artifact else item.value) for item in claim.handoff.context
    ]
    return digest_of(json.dumps(parts, sort_keys=True).encode())


def _check_same(row: Any, claim: Claim, grant: EffectGrant, handed: str) -> None:
    """What was applied by this key is what would be applied now."""
    before = row.intent.get(HANDED, handed)
    if before != handed:
        raise EffectRefused(
            Code.GATE_REFUSED,
            f"subtask {row.subtask_id} has applied {before[:19]}… to {grant.changes} in the place of this, which is "
            f"{handed[:19]}…; `fleet replay {claim.job} --from STEP` with the step that made it applies it anew, "
            "beside that",
        )


def _check_version(connection: Connection, grant: EffectGrant, at: float) -> None:
    """Under the lock of what is to change, so that of two at once only one goes on."""
    if grant.version is None:
        return
    insert_missing(connection, subject, [{"name": grant.changes, "version": 0, "changed_at": at}])
    row = connection.execute(select(subject).where(subject.c.name == grant.changes).with_for_update()).one()
    if row.version > grant.version:
        raise EffectRefused(
            Code.STATE_CHANGED,
            f"{grant.changes} was changed by subtask {row.changed_by} (version {row.version}) since the state that "
            f"this was built on (version {grant.version})",
        )


def _check_taint(connection: Connection, claim: Claim, grant: EffectGrant) -> None:
    wrong = taints.behind(connection, claim.job, claim.handoff)
    if wrong is not None:
        sentence = (
            f"{grant.changes} would be changed by what was built on {wrong.told}; "
            f"`fleet replay --downstream-of {wrong.subtask_id}` makes it anew"
        )
        raise EffectRefused(Code.GATE_REFUSED, sentence[:2000])


def verified(ledger: Ledger, claim: Claim, grant: EffectGrant, verification: str) -> None:
    """Writes down what the world shows of an effect whose end nobody knew; from here on it may be applied. Raises
    FencedOut."""
    with ledger.write() as connection:
        at = now(connection)
        if connection.execute(standing(claim).with_for_update()).one_or_none() is None:
            raise FencedOut(f"attempt {claim.attempt} was taken away while it read {grant.target}")
        read = {"verified_at": at, "verification": verification, "attempt_id": claim.attempt}
        connection.execute(
            update(effect).where(effect.c.key == grant.key, effect.c.result.is_(None)).values(read)
        )
        events.record(connection, _event(claim, grant, EventKind.EFFECT_VERIFIED, at, verification))


def finish(ledger: Ledger, claim: Claim, grant: EffectGrant, result: dict[str, Any]) -> None:
    """Writes the result down, once, and only at the claim's own fence and by the attempt that may apply it; what it
    changed is of a new version from here on."""
    with ledger.write() as connection:
        at = now(connection)
        applied = connection.execute(
            update(effect)
            .where(*_unfinished(claim, grant), standing(claim).exists())
            .values(result=result, applied_at=at)
        ).rowcount
        if applied:
            if grant.replay_class is not ReplayClass.READ_ONLY:
                raise_version(connection, grant, claim.subtask, at)
            events.record(connection, _event(claim, grant, EventKind.EFFECT_APPLIED, at))


def withdraw(ledger: Ledger, claim: Claim, grant: EffectGrant, why: str) -> None:
    """Takes the intent back, since the world refused the effect and nothing of it stands there, only at the claim's
    own fence and by the attempt that may apply it. Whoever begins the effect next begins it anew."""
    with ledger.write() as connection:
        at = now(connection)
        if connection.execute(standing(claim).with_for_update()).one_or_none() is None:
            return  # whoever took the attempt away looks at the world
        if connection.execute(delete(effect).where(*_unfinished(claim, grant))).rowcount:
            events.record(connection, _event(claim, grant, EventKind.EFFECT_WITHDRAWN, at, why))


def _unfinished(claim: Claim, grant: EffectGrant) -> tuple[ColumnElement[bool], ...]:
    """The effect, where it has no result and is the claim's to apply."""
    return effect.c.key == grant.key, effect.c.result.is_(None), effect.c.attempt_id == claim.attempt


def _event(claim: Claim, grant: EffectGrant, kind: EventKind, at: float, more: str = "") -> Event:
    return Event(
        at=at,
        kind=kind,
        actor=claim.handoff.assignment.lane,
        job_id=claim.job,
        subtask_id=claim.subtask,
        attempt_id=claim.attempt,
        sentence=f"{grant.target} by key {grant.key[:19]}…" + (f": {more}" if more else ""),
    )
