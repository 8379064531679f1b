"""Pauses: what is held, since when and by whom, how much of it waits, and which ticks were skipped."""

from datetime import datetime

from sqlalchemy import Connection, func, select

from contracts.states import SubtaskState
from orchestrator import pauses
from orchestrator.deciders.switches import Scope, Switch, skipped
from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import job, subtask, tick
from orchestrator.reads.base import Read, moment, moment_or_none


class PauseRead(Read):
    """One switch."""

    scope: Scope
    name: str
    """Empty for the fleet."""
    in_force: bool
    """False where its time has passed: it holds nothing any more, and is kept for the ticks it skipped."""
    kills: bool
    """Whether what runs is stopped as well."""
    by: str
    why: str
    since: datetime
    until: datetime | None
    ready: int
    """Subtasks that could be granted without it."""
    skipped_ticks: tuple[str, ...]
    """Ticks of which the latest slot made no job; resuming can let each fire once."""
    sentence: str


class PausesRead(Read):
    """Everything that is held."""

    stopped: bool
    """Whether the whole fleet is."""
    items: tuple[PauseRead, ...]
    broken: tuple[str, ...]
    """A sentence for each row that cannot be read; any of them stops the fleet."""


class Released(Read):
    """What came of letting something go on."""

    ticks_to_fire: int
    """Skipped ticks that fire once again."""
    pauses: PausesRead
    """What is still held."""


def pauses_read(connection: Connection) -> PausesRead:
    """All switches, the widest first."""
    at = now(connection)
    found = pauses.standing(connection, at)
    every = [(switch, True) for switch in found.switches] + [(switch, False) for switch in found.over]
    last = _latest_outcomes(connection)
    return PausesRead(
        stopped=found.all_stopped,
        items=tuple(_read(connection, switch, in_force, last) for switch, in_force in every),
        broken=found.broken,
    )


def _read(connection: Connection, switch: Switch, in_force: bool, last: dict[str, str]) -> PauseRead:
    return PauseRead(
        scope=switch.scope,
        name=switch.name,
        in_force=in_force,
        kills=switch.kills,
        by=switch.by,
        why=switch.why,
        since=moment(switch.at),
        until=moment_or_none(switch.until),
        ready=_ready(connection, switch) if in_force else 0,
        skipped_ticks=tuple(name for name, outcome in last.items() if outcome == skipped(switch.words)),
        sentence=switch.sentence,
    )


def _ready(connection: Connection, switch: Switch) -> int:
    query = select(func.count()).select_from(subtask).where(subtask.c.state == SubtaskState.READY)
    match switch.scope:
        case Scope.LANE:
            query = query.where(subtask.c.lane == switch.name)
        case Scope.VENDOR:
            query = query.where(subtask.c.vendor == switch.name)
        case Scope.TENANT:
            query = query.where(subtask.c.tenant == switch.name)
        case Scope.WORKFLOW:
            of_it = select(job.c.id).where(job.c.workflow == switch.name, job.c.ended_at.is_(None))
            query = query.where(subtask.c.job_id.in_(of_it))
        case Scope.FLEET:
            pass
    return connection.execute(query).scalar_one()


def _latest_outcomes(connection: Connection) -> dict[str, str]:
    """What came of the latest slot of each tick that was looked after, by its name."""
    looked = tick.c.looked_at.is_not(None)
    newest = select(tick.c.name, func.max(tick.c.slot).label("slot")).where(looked).group_by(tick.c.name)
    latest = newest.subquery()
    query = select(tick.c.name, tick.c.outcome).join(
        latest, (latest.c.name == tick.c.name) & (latest.c.slot == tick.c.slot)
    )
    return {row.name: row.outcome for row in connection.execute(query.order_by(tick.c.name))}
