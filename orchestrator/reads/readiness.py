"""Readiness: whether the ledger can carry work now."""

from sqlalchemy import Connection, select

from orchestrator.ledger import schema
from orchestrator.ledger.clock import now, wall_clock
from orchestrator.ledger.leadership import NAME
from orchestrator.ledger.tables import leader
from orchestrator.pauses import standing
from orchestrator.reads.base import Read


class Readiness(Read):
    """Whether work that is accepted now will also be done, and what is in the way."""

    ready: bool
    migrated: bool
    led: bool
    """Whether an orchestrator leads."""
    missing: tuple[str, ...]
    """What is in the way, a sentence each."""


def readiness(connection: Connection) -> Readiness:
    """Looks at the ledger's version and at the leader's lease."""
    sentence = schema.misfit(connection)
    if sentence:
        return Readiness(ready=False, migrated=False, led=False, missing=(sentence,))
    led = leads(connection)
    missing: tuple[str, ...] = () if led else ("no orchestrator leads: start one with `fleet orchestrator`",)
    missing += standing(connection, now(connection)).broken
    return Readiness(ready=not missing, migrated=True, led=led, missing=missing)


def leads(connection: Connection) -> bool:
    """Whether an orchestrator holds the lead by a lease that has not run out."""
    query = select(leader.c.name).where(leader.c.name == NAME, leader.c.lease_until > wall_clock())
    return connection.execute(query).first() is not None
