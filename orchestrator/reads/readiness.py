"""Readiness: whether the ledger can carry work now."""

from functools import cache

from sqlalchemy import Connection, select

from orchestrator.ledger import schema
from orchestrator.ledger.clock import wall_clock
from orchestrator.ledger.leadership import NAME
from orchestrator.ledger.tables import leader
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
    found, needed = schema.version(connection), _needed()
    if found != needed:
        sentence = (
            f"the ledger is of version {found or 'none'} and this code needs {needed}: run `fleet migrate`"
        )
        return Readiness(ready=False, migrated=False, led=False, missing=(sentence,))
    led = leads(connection)
    missing = () if led else ("no orchestrator leads: start one with `fleet orchestrator`",)
    return Readiness(ready=led, migrated=True, led=led, missing=missing)


@cache
def _needed() -> str:
    """The version this code needs; it cannot change while the process runs."""
    return schema.newest()


def leads(connection: Connection) -> bool:
    """Whether an orchestrator holds the lead by a lease that has not run out."""
    query = select(leader.c.name).where(leader.c.name == NAME, leader.c.lease_until > wall_clock())
    return connection.execute(query).first() is not None
