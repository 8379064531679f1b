"""Invariants: what the clock found broken in the ledger is looked at as a whole, written down, and told a person."""

from typing import Any

from sqlalchemy import Connection

from contracts.maintenance import Findings
from orchestrator import escalations
from orchestrator.ledger import events
from orchestrator.ledger.clock import now
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.promises import Promise, promises
from orchestrator.upkeep.operations import ACTOR, Duty, subjects_of


def about(name: str) -> str:
    """The subject of a call about a promise."""
    return escalations.ABOUT_PROMISES + name


def tell(duty: Duty) -> Findings:
    """Writes an event for every promise that is still broken, and calls a person about each, unless somebody was
    called who has not taken note of it yet."""
    names = subjects_of(duty.handoff)
    with duty.ledger.read() as connection:
        found = {promises()[name]: promises()[name].broken(connection) for name in names}
    broken = {promise: rows for promise, rows in found.items() if rows}
    with duty.ledger.write() as connection:
        at, known = now(connection), escalations.called(connection, escalations.ABOUT_PROMISES)
        opened = [
            _call(connection, at, duty, promise, rows)
            for promise, rows in broken.items()
            if about(promise.name) not in known
        ]
    escalations.tell(duty.ledger, duty.escalation_log)
    return Findings(
        sentence=f"{len(broken)} promise(s) of the ledger are broken",
        subjects=tuple(names),
        opened=tuple(opened),
    )


def _call(connection: Connection, at: float, duty: Duty, promise: Promise, rows: list[Any]) -> str:
    sentence = (
        f"the ledger breaks its promise {promise.name} ({promise.says}) in {len(rows)} place(s), "
        f"first: {tuple(rows[0])}"
    )[:2000]
    job_id = duty.handoff.assignment.job
    events.record(connection, Event(at, EventKind.INVARIANT_BROKEN, ACTOR, job_id, sentence=sentence))
    return escalations.call(connection, at, ACTOR, sentence, job_id, subject=about(promise.name))
