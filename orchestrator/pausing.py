"""Pausing: an operator holds a lane, a vendor, a tenant, a workflow or the whole fleet, and lets it go on.

What is held stays ready and loses nothing. Ticks of what is paused make no job; the newest one that was skipped
can be caught up with."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from contracts.catalog import Catalog
from orchestrator.deciders.switches import LATEST, Scope, called, skipped
from orchestrator.ledger import changes, events
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.tables import job, pause, share, tenant, tick
from orchestrator.pauses import note_killed
from orchestrator.problems import Malformed, NotFound
from orchestrator.wake import ring

MOST_NAMED = 20
"""So many of the known tenants are told to whoever names an unknown one."""


@dataclass(frozen=True)
class Wish:
    """What an operator wants held."""

    scope: Scope
    name: str
    """Empty for the fleet."""
    by: str
    why: str
    kills: bool = False
    """Whether what runs is stopped as well."""
    for_seconds: float | None = None
    """After which it goes on by itself; None until somebody resumes it."""


def hold(ledger: Ledger, catalog: Catalog, wish: Wish) -> None:
    """Pauses or kills a scope from the next grant, claim, heartbeat and effect on; what was set for it before is
    replaced. Raises a Problem for a scope that is not known."""
    try:
        _hold(ledger, catalog, wish)
    except IntegrityError:
        _hold(ledger, catalog, wish)  # somebody else held the same a moment before; the later word counts


def _hold(ledger: Ledger, catalog: Catalog, wish: Wish) -> None:
    with ledger.write() as connection:
        _check(connection, catalog, wish.scope, wish.name)
        at = now(connection)
        until = None if wish.for_seconds is None else at + wish.for_seconds
        if until is not None and until > LATEST:
            raise Malformed("for_seconds: a pause ends before the year 3000, or not by itself")
        row = {"kills": wish.kills, "by": wish.by, "why": wish.why, "at": at, "until": until}
        old = connection.execute(select(pause).where(*_this(wish.scope, wish.name)).with_for_update()).first()
        if old is None:
            connection.execute(insert(pause).values(scope=wish.scope, name=wish.name, **row))
        else:
            # Since when it is held counts for the ticks that were skipped.
            since = old.at if _is_in_force(old, at) else at
            note_killed(connection)
            connection.execute(update(pause).where(*_this(wish.scope, wish.name)).values(row | {"at": since}))
        new = "killed" if wish.kills else "paused"
        _tell(
            connection,
            EventKind.PAUSED,
            wish.scope,
            wish.name,
            wish.by,
            (_was(old, at), new),
            wish.why,
            until,
        )


def release(ledger: Ledger, scope: str, name: str, by: str, why: str, catch_up: bool = False) -> int:
    """Lets a scope go on; answers how many skipped ticks fire again, the newest of each, where it catches up.
    Raises NotFound where nothing of this scope is held. A row that cannot be read is removed by the same words."""
    with ledger.write() as connection:
        at = now(connection)
        old = connection.execute(select(pause).where(*_this(scope, name)).with_for_update()).first()
        if old is None:
            raise NotFound(f"{called(scope, name)} is not paused; {_listed(connection)}")
        note_killed(connection)
        connection.execute(delete(pause).where(*_this(scope, name)))
        fired = _catch_up(connection, scope, name) if catch_up else 0
        _tell(connection, EventKind.RESUMED, scope, name, by, (_was(old, at), "resumed"), why)
        return fired


def _this(scope: str, name: str) -> tuple[Any, ...]:
    return pause.c.scope == scope, pause.c.name == name


def _is_in_force(row: Any, at: float) -> bool:
    """Whether a row that may be broken still holds what it names."""
    return isinstance(row.at, float) and row.at <= at and (row.until is None or row.until > at)


def _was(old: Any, at: float) -> str:
    if old is None or not _is_in_force(old, at):
        return "going on"
    return "killed" if old.kills else "paused"


def _tell(
    connection: Connection,
    kind: EventKind,
    scope: str,
    name: str,
    by: str,
    change: tuple[str, str],
    why: str,
    until: float | None = None,
) -> None:
    """Writes down who did what, and until when, and wakes the loop."""
    words, (was, becomes) = called(scope, name), change
    changes.record(connection, by, words, was, becomes, why, until)
    sentence = f"{words} is {becomes}{f': {why}' if why else ''}"
    events.record(connection, Event(now(connection), kind, by, sentence=sentence))
    ring(connection)


def _check(connection: Connection, catalog: Catalog, scope: Scope, name: str) -> None:
    match scope:
        case Scope.FLEET:
            if name:
                raise Malformed(f"name: there is one fleet, and it has no name; it is “{name}” here")
        case Scope.LANE:
            _known(scope, name, catalog.lanes)
        case Scope.VENDOR:
            _known(scope, name, catalog.vendors)
        case Scope.WORKFLOW:
            _known(scope, name, catalog.workflows)
        case Scope.TENANT:
            if not _has_tenant(connection, name):
                _known(scope, name, _tenants(connection))


def _known(scope: Scope, name: str, known: Collection[str]) -> None:
    if name not in known:
        listing = ", ".join(sorted(known)) or "none"
        missing = f"no {scope} “{name}”" if name else f"say which {scope}"
        raise Malformed(f"name: {missing}; known are: {listing}")


def _has_tenant(connection: Connection, name: str) -> bool:
    """Whether anybody has heard of this tenant: by a job, a webhook or a weight."""
    heard = (
        exists().where(job.c.tenant == name)
        | exists().where(tenant.c.name == name)
        | exists().where(share.c.kind == "tenant", share.c.name == name)
    )
    return bool(connection.execute(select(heard)).scalar_one())


def _tenants(connection: Connection) -> list[str]:
    query = select(job.c.tenant).distinct().order_by(job.c.tenant).limit(MOST_NAMED)
    return list(connection.execute(query).scalars())


def _listed(connection: Connection) -> str:
    rows = connection.execute(select(pause.c.scope, pause.c.name).order_by(pause.c.scope, pause.c.name))
    held = ", ".join(f"{row.scope} {row.name}".strip() for row in rows)
    return f"paused are: {held}" if held else "nothing is"


def _catch_up(connection: Connection, scope: str, name: str) -> int:
    """Lets the newest skipped slot of each tick be looked after again, once, unless a later one has been."""
    outcome = skipped(called(scope, name))
    newest = select(tick.c.name, func.max(tick.c.slot).label("slot")).where(tick.c.looked_at.is_not(None))
    fired = 0
    for row in connection.execute(newest.group_by(tick.c.name)).all():
        this = tick.c.name == row.name, tick.c.slot == row.slot, tick.c.outcome == outcome
        again = update(tick).where(*this).values(looked_at=None, outcome="")
        fired += connection.execute(again).rowcount
    return fired
