"""Waited: what subtasks waited for in a trailing window, over and still going on, cut to the part inside it."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, literal, select

from contracts.purposes import Purpose
from contracts.states import AttemptState, SubtaskState
from orchestrator import pauses
from orchestrator.deciders.diagnosing import PATIENCE_SECONDS
from orchestrator.deciders.losses import Cause, Wait
from orchestrator.ledger.tables import approval, attempt, subtask, vendor_batch
from orchestrator.reads.ids import first_id

LONGEST_WHY = 200
PAUSED = "paused, as `fleet pauses` lists"
"""What holds the work of every switch, in a few words."""
Number = ColumnElement[float]


def granted(connection: Connection, since: float, at: float) -> list[Any]:
    """Attempts granted between `since` and `at`, with what came before the grant and between grant and claim,
    by lane, purpose and budget."""
    return list(connection.execute(_granted(since, at)))


def ready(connection: Connection, since: float, at: float) -> list[Any]:
    """What is ready and was not granted yet, by lane, purpose, scope and what holds it; not what waits for the
    answer of another. What a switch holds is told apart from what waits for workers."""
    free = pauses.free(pauses.standing(connection, at))
    return list(connection.execute(_ready(since, at, free)))


def _granted(since: float, at: float) -> Any:
    taken = func.coalesce(attempt.c.claimed_at, attempt.c.ended_at, literal(at))
    before = attempt.c.queue_seconds - case(
        (attempt.c.claimed_at.is_not(None), attempt.c.claimed_at - attempt.c.granted_at), else_=0.0
    )
    queue, budget = before + taken - attempt.c.granted_at, attempt.c.budget_seconds
    rested = attempt.c.granted_at - before - budget
    return (
        select(
            attempt.c.lane,
            attempt.c.purpose,
            attempt.c.budget,
            func.count().label("total"),
            func.count(case((attempt.c.state == AttemptState.RETURNED, 1))).label("returned"),
            func.sum(within(_in_vain(attempt.c.job_id, attempt.c.backoff_seconds), rested, since)).label("backoff"),
            func.count(case((and_(attempt.c.claimed_at.is_(None), attempt.c.ended_at.is_(None), _long(queue)), 1)))
            .label("still"),
            *_long_waits("queue", queue, taken, since),
            *_long_waits("held", budget, attempt.c.granted_at, since),
        )
        .where(attempt.c.id >= first_id(since), attempt.c.granted_at >= since)
        .group_by(attempt.c.lane, attempt.c.purpose, attempt.c.budget)
    )  # fmt: skip


def _ready(since: float, at: float, free: ColumnElement[bool]) -> Any:
    due = case((subtask.c.not_before > subtask.c.ready_at, subtask.c.not_before), else_=subtask.c.ready_at)
    begun = case((due > at, literal(at)), else_=due)
    paused = case((free, 0), else_=1).label("paused")
    keys = subtask.c.lane, subtask.c.purpose, subtask.c.budget, _why(subtask.c.held_by), paused
    return (
        select(
            *keys,
            func.sum(within(_in_vain(subtask.c.job_id, begun - subtask.c.ready_at), begun, since)).label(
                "backoff"
            ),
            *_long_waits("wait", literal(at) - begun, literal(at), since),
        )
        .where(
            subtask.c.state == SubtaskState.READY,
            subtask.c.ended_at.is_(None),
            subtask.c.follows.is_(None),
        )
        .group_by(*keys)
    )


def _in_vain(job_id: ColumnElement[str], seconds: Number) -> Number:
    """The pause after a failure; between two looks at a vendor's batch nothing has failed."""
    return case((exists().where(vendor_batch.c.job_id == job_id), 0.0), else_=seconds)


def parked(connection: Connection, since: float, at: float) -> Iterator[Wait]:
    """What is parked and asks nobody. Nothing keeps the moment of parking, so it counts from the time it was
    ready."""
    asks = exists().where(approval.c.subtask_id == subtask.c.id)
    keys = subtask.c.lane, subtask.c.purpose, subtask.c.capped_by, _why(subtask.c.why)
    rows = connection.execute(
        select(
            *keys,
            *_long_waits("wait", literal(at) - subtask.c.ready_at, literal(at), since),
        )
        .where(
            subtask.c.state == SubtaskState.PARKED,
            subtask.c.ended_at.is_(None),
            subtask.c.ready_at.is_not(None),
            subtask.c.lane.is_not(None),
            ~asks,
        )
        .group_by(*keys)
    )
    return (
        _wait(Cause.HOLD, row, "wait", None, row.wait_count, row.held_by, row.capped_by or "")
        for row in rows
        if row.wait_count
    )


def waits_of_granted(rows: list[Any], scopes: dict[str, str]) -> Iterator[Wait]:
    """The waits in what `granted` read; `scopes` are the budgets' by key."""
    for row in rows:
        scope = scopes.get(row.budget, row.budget)
        if row.queue_count:
            yield _wait(Cause.WORKERS, row, "queue", scope, row.still)
        if row.held_count:
            yield _wait(Cause.BUDGET, row, "held", scope)


def waits_of_ready(rows: list[Any]) -> Iterator[Wait]:
    """The waits in what `ready` read."""
    for row in rows:
        if row.wait_count and row.paused:
            yield _wait(Cause.HOLD, row, "wait", None, row.wait_count, PAUSED)
        elif row.wait_count:
            cause = Cause.BUDGET if row.held_by else Cause.WORKERS
            yield _wait(cause, row, "wait", row.budget, row.wait_count, row.held_by or "")


def _wait(
    cause: Cause, row: Any, name: str, scope: str | None, still: int = 0, held_by: str = "", cap: str = ""
) -> Wait:
    return Wait(
        cause=cause,
        lane=row.lane,
        purpose=Purpose(row.purpose),
        scope=scope,
        count=getattr(row, f"{name}_count"),
        seconds=float(getattr(row, f"{name}_sum")),
        longest_seconds=float(getattr(row, f"{name}_longest")),
        still=still,
        held_by=held_by,
        cap=cap,
    )


def _why(told: ColumnElement[Any]) -> ColumnElement[Any]:
    """The reason, without the amounts that a spending cap tells and that differ from row to row."""
    return case((subtask.c.capped_by.is_not(None), ""), else_=func.substr(told, 1, LONGEST_WHY)).label(
        "held_by"
    )


def _long_waits(name: str, seconds: Number, ended_at: Number, since: float) -> list[ColumnElement[Any]]:
    """How many waits were longer than pacing explains, their seconds in the window and the longest."""
    return [
        func.count(case((_long(seconds), 1))).label(f"{name}_count"),
        func.sum(case((_long(seconds), within(seconds, ended_at, since)), else_=0.0)).label(f"{name}_sum"),
        func.max(seconds).label(f"{name}_longest"),
    ]


def _long(seconds: Number) -> ColumnElement[bool]:
    return seconds > PATIENCE_SECONDS


def within(seconds: Number, ended_at: Number, since: float) -> Number:
    """The part of a stretch of time, known by its length and its end, that lies behind `since`."""
    behind = ended_at - since
    return case((behind <= 0, 0.0), (seconds < behind, seconds), else_=behind)
