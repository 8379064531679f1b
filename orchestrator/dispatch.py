"""Dispatch: ready subtasks are granted attempts, as far as slots and budgets reach."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, or_, select, update

from contracts.purposes import Purpose
from contracts.states import AttemptState, SubtaskState
from orchestrator import purses
from orchestrator.batch import Batch
from orchestrator.deciders import slots
from orchestrator.deciders.handing import purpose_of_try
from orchestrator.deciders.pacing import Amount, Held, Purse, reserve
from orchestrator.deciders.slots import Pool
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.leadership import Leadership
from orchestrator.ledger.moves import SubtaskMove
from orchestrator.ledger.tables import attempt, subtask, worker
from orchestrator.settings import Settings

ACTOR = "orchestrator.dispatch"
BATCH = 200
FIRST_MEAN_SECONDS = 1.0
"""How long an attempt of a lane is taken to last before any was seen."""
OPEN = (AttemptState.DISPATCHED, AttemptState.RUNNING)


@dataclass(frozen=True)
class Candidate:
    """A ready subtask whose time has come."""

    row: Any
    waited_seconds: float
    backoff_seconds: float


class Dispatcher:
    """The verb that grants attempts."""

    def __init__(self, leadership: Leadership, settings: Settings) -> None:
        self._leadership = leadership
        self._settings = settings
        self._mean_seconds: dict[str, float] = {}

    def learn(self, lane: str, seconds: float) -> None:
        """Tells how long an attempt of a lane took, for the length of its short queue."""
        mean = self._mean_seconds.get(lane, FIRST_MEAN_SECONDS)
        self._mean_seconds[lane] = 0.9 * mean + 0.1 * seconds

    def run(self) -> int:
        """Grants a batch and answers how many attempts."""
        with self._leadership.decide() as (connection, at):
            lanes = _ready_lanes(connection, at)
            if not lanes:
                return 0
            in_flight = _in_flight(connection)
            pools = self._pools(connection, at, in_flight)
            candidates = _candidates(connection, at, lanes, pools)
            if not candidates:
                return 0
            return self._grant(connection, at, candidates, pools, in_flight)

    def _pools(self, connection: Connection, at: float, in_flight: list[Any]) -> list[Pool]:
        silent = at - 4 * self._settings.heartbeat_seconds
        alive = select(worker.c.lanes, worker.c.slots).where(
            worker.c.beat_at > silent, worker.c.stopped_at.is_(None)
        )
        workers = [(frozenset(row.lanes), row.slots) for row in connection.execute(alive)]
        ahead = {
            lane: slots.ahead_of(count, self._mean_seconds.get(lane, FIRST_MEAN_SECONDS), self._ahead_seconds)
            for lanes, count in workers
            for lane in lanes
        }
        by_lane = Counter[str]()
        for row in in_flight:
            by_lane[row.lane] += row.count
        return slots.pools_of(workers, by_lane, ahead)

    @property
    def _ahead_seconds(self) -> float:
        return self._settings.queue_ahead_seconds

    def _grant(
        self,
        connection: Connection,
        at: float,
        candidates: list[Candidate],
        pools: list[Pool],
        in_flight: list[Any],
    ) -> int:
        by_budget = Counter[str]()
        for row in in_flight:
            if row.budget:
                by_budget[row.budget] += row.count
        funds = purses.read_purses(connection, at, by_budget) if any(c.row.budget for c in candidates) else {}
        before = dict(funds)
        batch, held = Batch(at, ACTOR), []
        for candidate in candidates:
            if not slots.room(pools, candidate.row.lane):
                continue
            refused = _pay(candidate.row, funds)
            if refused:
                held.append((candidate.row, refused.why))
                continue
            slots.take(pools, candidate.row.lane)
            self._attempt(candidate, batch)
        for key, purse in funds.items():
            if purse.levels != before[key].levels:
                purses.write_levels(connection, key, purse.levels, at)
        _write_held(connection, held)
        batch.write(connection)
        return len(batch.attempts)

    def _attempt(self, candidate: Candidate, batch: Batch) -> None:
        row, attempt_id = candidate.row, new_id()
        batch.attempts.append(
            {
                "id": attempt_id,
                "subtask_id": row.id,
                "job_id": row.job_id,
                "lane": row.lane,
                "purpose": purpose_of_try(Purpose(row.purpose), row.tries + row.crashes),
                "number": row.tries + row.crashes + 1,
                "state": AttemptState.DISPATCHED,
                "budget": row.budget,
                "reserved_input_tokens": row.reserve_input_tokens,
                "reserved_output_tokens": row.reserve_output_tokens,
                "granted_at": batch.at,
                "start_by": batch.at + self._settings.start_by_seconds,
                "allowed_seconds": row.allowed_seconds,
                "backoff_seconds": candidate.backoff_seconds,
                "budget_seconds": candidate.waited_seconds if row.held_by else 0.0,
                "queue_seconds": 0.0 if row.held_by else candidate.waited_seconds,
            }
        )
        batch.moves.append(
            SubtaskMove(
                row.id,
                row.job_id,
                SubtaskState.READY,
                SubtaskState.DISPATCHED,
                "granted",
                {"held_by": None},
                attempt_id,
            )
        )
        batch.doorbells.append(
            {
                "attempt_id": attempt_id,
                "lane": row.lane,
                "label": f"{row.job_id}, {row.name}, {attempt_id}",
                "created_at": batch.at,
            }
        )


def _due(at: float) -> Any:
    return (subtask.c.state == SubtaskState.READY) & or_(
        subtask.c.not_before.is_(None), subtask.c.not_before <= at
    )


def _ready_lanes(connection: Connection, at: float) -> list[str]:
    return list(connection.execute(select(subtask.c.lane).where(_due(at)).distinct()).scalars())


def _in_flight(connection: Connection) -> list[Any]:
    query = (
        select(attempt.c.lane, attempt.c.budget, func.count().label("count"))
        .where(attempt.c.state.in_(OPEN), attempt.c.ended_at.is_(None))
        .group_by(attempt.c.lane, attempt.c.budget)
    )
    return list(connection.execute(query))


def _candidates(connection: Connection, at: float, lanes: list[str], pools: list[Pool]) -> list[Candidate]:
    """The first ready subtasks of every lane that has room: by priority, then by age."""
    columns = (
        subtask.c.id,
        subtask.c.job_id,
        subtask.c.name,
        subtask.c.lane,
        subtask.c.purpose,
        subtask.c.priority,
        subtask.c.tries,
        subtask.c.crashes,
        subtask.c.budget,
        subtask.c.reserve_input_tokens,
        subtask.c.reserve_output_tokens,
        subtask.c.allowed_seconds,
        subtask.c.not_before,
        subtask.c.ready_at,
        subtask.c.held_by,
    )
    found = []
    for lane in lanes:
        room = min(slots.room(pools, lane), BATCH)
        if room:
            query = (
                select(*columns)
                .where(_due(at), subtask.c.lane == lane)
                .order_by(subtask.c.priority.desc(), subtask.c.ready_at, subtask.c.id)
                .limit(room)
            )
            found += [_candidate(row, at) for row in connection.execute(query)]
    return sorted(found, key=lambda c: (-c.row.priority, c.row.ready_at, c.row.id))


def _candidate(row: Any, at: float) -> Candidate:
    backoff = max((row.not_before or 0.0) - row.ready_at, 0.0)
    return Candidate(row, max(at - row.ready_at - backoff, 0.0), backoff)


def _pay(row: Any, funds: dict[str, Purse]) -> Held | None:
    """Takes the reservation from its purse, or says what it waits for."""
    if row.budget is None:
        return None
    if row.budget not in funds:
        return Held(f"no budget {row.budget} is known; work without a budget is refused")
    amount = Amount(1, row.reserve_input_tokens, row.reserve_output_tokens)
    match reserve(funds[row.budget], amount):
        case Held() as held:
            return held
        case purse:
            funds[row.budget] = purse
            return None


def _write_held(connection: Connection, held: list[tuple[Any, str]]) -> None:
    for row, why in held:
        if row.held_by != why:
            connection.execute(update(subtask).where(subtask.c.id == row.id).values(held_by=why[:200]))
