"""The inbox: what people answer, discard and take note of. It writes answers down; the loop acts on them."""

from typing import Any, Literal

from sqlalchemy import Connection, insert, select, update

from orchestrator.ledger import events
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.tables import approval, dead_letter, escalation, gate_event
from orchestrator.problems import Conflict, Forbidden, Malformed, NotFound
from orchestrator.selections import requesters
from orchestrator.wake import ring

Decision = Literal["approve", "reject", "revise"]

STATE_OF: dict[Decision, str] = {"approve": "approved", "reject": "rejected", "revise": "revise"}
"""The state an approval is in after each answer."""
GATE = "approval"


def answer(
    ledger: Ledger,
    approval_id: str,
    decision: Decision,
    by: str,
    comment: str = "",
    digest: str | None = None,
) -> None:
    """Writes a person's answer down. `digest` says what they saw; without one the answer is bound to what the
    approval itself names, which never changes. Whoever asked for its job, or for any of the same chain of replays,
    cannot answer. Raises a Problem where the answer is refused; nothing but the refusal of a requester is written
    then."""
    person, comment = _named(by), comment.strip()
    try:
        with ledger.write() as connection:
            row = _waiting(connection, approval_id)
            _check(row, requesters(connection, row.job_id), decision, person, comment, digest)
            _answer(connection, row, decision, person, comment)
            ring(connection)
    except Forbidden as refusal:
        _record_refusal(ledger, approval_id, decision, person, str(refusal))
        raise


def discard(ledger: Ledger, subtask_id: str, by: str, why: str) -> None:
    """Marks a dead letter as settled by a person; it is kept. Raises a Problem."""
    person, reason = _named(by), why.strip()
    if not reason:
        raise Malformed("why: say why this dead letter needs nobody any more")
    with ledger.write() as connection:
        at = now(connection)
        row = connection.execute(
            select(dead_letter).where(dead_letter.c.subtask_id == subtask_id).with_for_update()
        ).one_or_none()
        if row is None:
            raise NotFound(f"no dead letter {subtask_id} is in the ledger")
        if row.discarded_at is not None:
            raise Conflict(f"dead letter {subtask_id} was already discarded by {row.discarded_by}")
        connection.execute(
            update(dead_letter)
            .where(dead_letter.c.subtask_id == subtask_id)
            .values(discarded_at=at, discarded_by=person, discarded_why=reason)
        )
        kind = EventKind.DEAD_LETTER_DISCARDED
        events.record(connection, Event(at, kind, person, row.job_id, subtask_id, sentence=reason))


def acknowledge(ledger: Ledger, escalation_id: str, by: str) -> None:
    """Writes down that a person took note of an escalation. Raises a Problem."""
    person = _named(by)
    with ledger.write() as connection:
        at = now(connection)
        row = connection.execute(
            select(escalation).where(escalation.c.id == escalation_id).with_for_update()
        ).one_or_none()
        if row is None:
            raise NotFound(f"no escalation {escalation_id} is in the ledger")
        if row.acknowledged_at is not None:
            raise Conflict(f"escalation {escalation_id} was already acknowledged by {row.acknowledged_by}")
        connection.execute(
            update(escalation)
            .where(escalation.c.id == escalation_id)
            .values(acknowledged_at=at, acknowledged_by=person)
        )
        event = Event(at, EventKind.ACKNOWLEDGED, person, row.job_id, sentence=row.sentence)
        events.record(connection, event)
        ring(connection)


def _named(by: str) -> str:
    person = by.strip()
    if not person or len(person) > 100:
        raise Malformed("by: name the person who answers, in 1 to 100 characters")
    return person


def _waiting(connection: Connection, approval_id: str) -> Any:
    row = connection.execute(
        select(approval).where(approval.c.id == approval_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound(f"no approval {approval_id} is in the ledger")
    if row.answered_at is not None:
        raise Conflict(f"approval {approval_id} was already answered by {row.answered_by}: {row.state}")
    if row.state != "waiting" or row.expires_at <= now(connection):
        raise Conflict(
            f"approval {approval_id} has lapsed: silence never approves, and its job ended without it"
        )
    return row


def _check(
    row: Any, asked: set[str], decision: Decision, person: str, comment: str, digest: str | None
) -> None:
    if person.casefold() == row.requested_by.strip().casefold():
        raise Forbidden(f"{person} asked for this job and cannot answer for it; another person must")
    if person.casefold() in {name.strip().casefold() for name in asked}:
        raise Forbidden(
            f"{person} asked for a job of the same chain of replays and cannot answer for this one; another person "
            "must"
        )
    if digest is not None and digest != row.digest:
        raise Conflict(f"digest: what is asked about is {row.digest}, not {digest}; look at it again")
    if decision == "revise" and not comment:
        raise Malformed("comment: say what is to be revised")
    if decision == "revise" and not row.packet.get("may_revise", True):
        raise Conflict(f"approval {row.id} cannot be sent back, as no revision is left: approve or reject it")


def _answer(connection: Connection, row: Any, decision: Decision, person: str, comment: str) -> None:
    at, state = now(connection), STATE_OF[decision]
    connection.execute(
        update(approval)
        .where(approval.c.id == row.id)
        .values(state=state, answered_at=at, answered_by=person, answered_digest=row.digest, comment=comment)
    )
    event = Event(
        at=at,
        kind=EventKind.APPROVAL_ANSWERED,
        actor=person,
        job_id=row.job_id,
        subtask_id=row.subtask_id,
        old=row.state,
        new=state,
        sentence=comment,
    )
    events.record(connection, event)
    _gate(connection, row, decision, person, "allowed", comment or "answered by another than the requester")


def _record_refusal(ledger: Ledger, approval_id: str, decision: Decision, person: str, reason: str) -> None:
    with ledger.write() as connection:
        row = connection.execute(select(approval).where(approval.c.id == approval_id)).one()
        _gate(connection, row, decision, person, "refused", reason)


def _gate(connection: Connection, row: Any, decision: str, person: str, result: str, reason: str) -> None:
    connection.execute(
        insert(gate_event).values(
            at=now(connection),
            gate=GATE,
            actor=person,
            attempted=f"{decision} {row.digest} by approval {row.id}",
            result=result,
            reason=reason,
            job_id=row.job_id,
            subtask_id=row.subtask_id,
        )
    )
