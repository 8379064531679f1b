"""Escalations: a person is called by a row in the ledger, and told by a line in the log route.

The row stands in the transaction of what it is about. The line is written afterwards, by whoever looks next,
and may be written twice after a crash in between: it carries the escalation's id.
"""

import json
from pathlib import Path

from sqlalchemy import Connection, insert, select, update

from orchestrator.ledger import events
from orchestrator.ledger.clock import wall_clock
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.tables import escalation

ABOUT_PROMISES = "invariant/"
"""How the subjects begin of calls about what the ledger promises; what follows is the promise's name."""


def call(
    connection: Connection,
    at: float,
    actor: str,
    sentence: str,
    job_id: str | None = None,
    drill: bool = False,
    subject: str | None = None,
) -> str:
    """Calls a person, and answers the escalation's id. About a subject one call at a time is made: see `called`."""
    escalation_id = new_id()
    connection.execute(
        insert(escalation).values(
            id=escalation_id,
            route="log",
            drill=drill,
            sentence=sentence,
            job_id=job_id,
            subject=subject,
            opened_at=at,
        )
    )
    events.record(connection, Event(at, EventKind.ESCALATED, actor, job_id, sentence=sentence))
    return escalation_id


def call_once(
    connection: Connection, at: float, actor: str, sentence: str, subject: str, job_id: str | None = None
) -> None:
    """Calls a person about a subject, unless somebody was called about it who has not taken note yet."""
    if subject not in called(connection, subject):
        call(connection, at, actor, sentence, job_id, subject=subject)


def called(connection: Connection, about: str) -> set[str]:
    """The subjects beginning so about which somebody was called who has not taken note of it."""
    query = select(escalation.c.subject).where(
        escalation.c.acknowledged_at.is_(None), escalation.c.subject.startswith(about, autoescape=True)
    )
    return set(connection.execute(query).scalars())


def tell(ledger: Ledger, route: Path) -> int:
    """Writes a line for every escalation that nobody was told of yet; answers how many."""
    with ledger.read() as connection:
        query = select(escalation).where(escalation.c.told_at.is_(None)).order_by(escalation.c.opened_at)
        untold = connection.execute(query).all()
    if not untold:
        return 0
    with route.open("a", encoding="utf-8") as lines:
        for row in untold:
            line = {"escalation": row.id, "drill": row.drill, "sentence": row.sentence, "job": row.job_id}
            lines.write(json.dumps(line) + "\n")
    with ledger.write() as connection:
        told = escalation.c.id.in_([row.id for row in untold])
        connection.execute(update(escalation).where(told).values(told_at=wall_clock()))
    return len(untold)
