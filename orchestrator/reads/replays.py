"""Replays: what was asked to be run again, how far it is, what failed anew, and where it stands in a chain."""

from datetime import datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, func, select

from contracts.replays import ItemState, ReplayState
from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import job, replay, replay_item
from orchestrator.reads import ids
from orchestrator.reads.base import Read, moment, moment_or_none
from orchestrator.reads.dead_letters import DeadLetterFilter, DeadLetterGroup, dead_letter_groups
from orchestrator.reads.holds import holding
from orchestrator.reads.paging import DEFAULT_LIMIT, Page, page_of, parts_of

ENDED = (ItemState.DONE, ItemState.FAILED)
MOST_REFUSALS = 10


class ReplayLine(Read):
    """A replay, and how many of its jobs are in which state."""

    id: str
    state: ReplayState
    why: str
    requested_by: str
    reason: str
    approved_by: str | None
    total: int
    items: dict[ItemState, int]
    created_at: datetime
    ended_at: datetime | None


class RefusedJobs(Read):
    """Jobs that could not be released for the same reason."""

    jobs: int
    why: str
    example_id: str


class ReplayRead(ReplayLine):
    """A replay with everything it was asked for."""

    selection: dict[str, JsonValue]
    edit: tuple[dict[str, JsonValue], ...] | None
    from_step: str | None
    per_minute: float | None
    most_open: int
    minutes_left: float | None
    """At the pace so far, and no sooner than its own pace allows; None before anything ended, and where nothing is
    left."""
    failures: tuple[DeadLetterGroup, ...]
    """What its new jobs died of, the largest group first."""
    refused: tuple[RefusedJobs, ...]
    """Why jobs of it were not released, the most frequent reasons first."""
    held: tuple[str, ...]
    """What keeps its jobs from going on at this moment: pauses, and spending caps without room."""
    again_of: tuple[str, ...]
    """Earlier replays whose jobs this one runs again."""
    again_in: tuple[str, ...]
    """Later replays that run jobs of this one again."""


class ItemRead(Read):
    """One job of a replay."""

    job_id: str
    subtask_id: str | None
    """From which it is made anew, where one was named."""
    state: ItemState
    why: str
    new_job_id: str | None
    released_at: datetime | None


def replay_lines(
    connection: Connection, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[ReplayLine]:
    """Replays, the latest first."""
    query = select(replay).order_by(replay.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        (last,) = parts_of(cursor, (str,))
        query = query.where(replay.c.id < last)
    rows = connection.execute(query).all()
    counts = _counts(connection, [row.id for row in rows])
    return page_of(
        rows, limit, lambda row: ReplayLine(**_line(row, counts.get(row.id, {}))), lambda row: (row.id,)
    )


def progress(connection: Connection, given: str) -> ReplayRead:
    """One replay, by id or unique prefix; raises NotFound or Conflict."""
    replay_id = ids.replay_id(connection, given)
    row = connection.execute(select(replay).where(replay.c.id == replay_id)).one()
    items = _counts(connection, [replay_id]).get(replay_id, {})
    anew = DeadLetterFilter(replay_id=replay_id, discarded=None, replayed=None)
    return ReplayRead(
        **_line(row, items),
        selection=row.selection,
        edit=row.edit,
        from_step=row.from_step,
        per_minute=row.per_minute,
        most_open=row.most_open,
        minutes_left=_minutes_left(connection, row, items),
        failures=dead_letter_groups(connection, anew).items,
        refused=_refused(connection, replay_id),
        held=holding(connection, replay_id) if row.ended_at is None else (),
        again_of=_again_of(connection, replay_id),
        again_in=_again_in(connection, replay_id),
    )


def items_of(
    connection: Connection,
    replay_id: str,
    state: ItemState | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[ItemRead]:
    """The jobs of a replay, the oldest first."""
    item = replay_item.c
    query = select(replay_item).where(item.replay_id == replay_id)
    if state is not None:
        query = query.where(item.state == state)
    if cursor is not None:
        (last,) = parts_of(cursor, (str,))
        query = query.where(item.job_id > last)
    return page_of(
        connection.execute(query.order_by(item.job_id).limit(limit + 1)).all(),
        limit,
        lambda row: ItemRead(
            job_id=row.job_id,
            subtask_id=row.subtask_id,
            state=row.state,
            why=row.why,
            new_job_id=row.new_job_id,
            released_at=moment_or_none(row.released_at),
        ),
        lambda row: (row.job_id,),
    )


def _line(row: Any, items: dict[ItemState, int]) -> dict[str, Any]:
    names = ("id", "state", "why", "requested_by", "reason", "approved_by", "total")
    return {
        **{name: getattr(row, name) for name in names},
        "items": items,
        "created_at": moment(row.created_at),
        "ended_at": moment_or_none(row.ended_at),
    }


def _counts(connection: Connection, replay_ids: list[str]) -> dict[str, dict[ItemState, int]]:
    item = replay_item.c
    query = (
        select(item.replay_id, item.state, func.count().label("jobs"))
        .where(item.replay_id.in_(replay_ids))
        .group_by(item.replay_id, item.state)
    )
    found: dict[str, dict[ItemState, int]] = {}
    for row in connection.execute(query):
        found.setdefault(row.replay_id, {})[ItemState(row.state)] = row.jobs
    return found


def _minutes_left(connection: Connection, row: Any, items: dict[ItemState, int]) -> float | None:
    ended = sum(items.get(state, 0) for state in ENDED)
    left = items.get(ItemState.WAITING, 0) + items.get(ItemState.RELEASED, 0)
    if not ended or not left or row.state != ReplayState.RUNNING:
        return None
    took: float = max(now(connection) - row.created_at, 0.0)
    own = items.get(ItemState.WAITING, 0) / row.per_minute if row.per_minute else 0.0
    return max(took / ended * left / 60, own)


def _refused(connection: Connection, replay_id: str) -> tuple[RefusedJobs, ...]:
    item, jobs = replay_item.c, func.count().label("jobs")
    query = (
        select(item.why, jobs, func.min(item.job_id).label("example_id"))
        .where(item.replay_id == replay_id, item.state == ItemState.REFUSED)
        .group_by(item.why)
        .order_by(jobs.desc(), item.why)
        .limit(MOST_REFUSALS)
    )
    return tuple(RefusedJobs(**row._mapping) for row in connection.execute(query))


def _again_of(connection: Connection, replay_id: str) -> tuple[str, ...]:
    query = (
        select(job.c.replay_id)
        .join(replay_item, replay_item.c.job_id == job.c.id)
        .where(replay_item.c.replay_id == replay_id, job.c.replay_id.is_not(None))
        .distinct()
        .order_by(job.c.replay_id)
    )
    return tuple(connection.execute(query).scalars())


def _again_in(connection: Connection, replay_id: str) -> tuple[str, ...]:
    query = (
        select(replay_item.c.replay_id)
        .join(job, job.c.id == replay_item.c.job_id)
        .where(job.c.replay_id == replay_id)
        .distinct()
        .order_by(replay_item.c.replay_id)
    )
    return tuple(connection.execute(query).scalars())
