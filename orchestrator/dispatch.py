"""Dispatch: ready subtasks are granted attempts, as far as slots and budgets reach."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select, update

from contracts.purposes import Purpose
from contracts.states import AttemptState, SubtaskState
from orchestrator import calibrations, purses, repeats, spending
from orchestrator.batch import Batch
from orchestrator.candidates import Candidate, heads, queues
from orchestrator.deciders import slots
from orchestrator.deciders.charging import NOT_A_TOKEN
from orchestrator.deciders.estimating import UNKNOWN
from orchestrator.deciders.funding import Funded, Wish, fund
from orchestrator.deciders.handing import purpose_of_try
from orchestrator.deciders.pacing import Held, Purse
from orchestrator.deciders.slots import Pool
from orchestrator.deciders.spending import Parked, Waits, afford, taken
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.leadership import Leadership
from orchestrator.ledger.moves import SubtaskMove
from orchestrator.ledger.tables import attempt, subtask, worker
from orchestrator.settings import Settings

ACTOR = "orchestrator.dispatch"
BATCH = 200
FIRST_MEAN_SECONDS = 1.0
"""How long an attempt of a lane is taken to last before any was seen."""
SHORTEST_PAUSE_SECONDS = 0.05
"""What becomes affordable within it is granted together; a lane has seconds of granted work in front of it."""
OPEN = (AttemptState.DISPATCHED, AttemptState.RUNNING)


class Dispatcher:
    """The verb that grants attempts."""

    def __init__(self, leadership: Leadership, settings: Settings) -> None:
        self._leadership = leadership
        self._settings = settings
        self._mean_seconds: dict[str, float] = {}
        self._affordable_in = float("inf")

    @property
    def pause_seconds(self) -> float:
        """Until something that was refused can be granted, as far as time alone decides; infinite where
        nothing was refused, or only time cannot help."""
        return max(self._affordable_in, SHORTEST_PAUSE_SECONDS)

    def learn(self, lane: str, seconds: float) -> None:
        """Tells how long an attempt of a lane took, for the length of its short queue."""
        mean = self._mean_seconds.get(lane, FIRST_MEAN_SECONDS)
        self._mean_seconds[lane] = 0.9 * mean + 0.1 * seconds

    def run(self) -> int:
        """Grants a batch and answers how many attempts, with those that are left to the answer of another."""
        self._affordable_in = float("inf")
        with self._leadership.decide() as (connection, at):
            waiting = queues(connection, at)
            if not waiting:
                return 0
            in_flight = _in_flight(connection)
            pools = self._pools(connection, at, in_flight)
            candidates = heads(connection, at, waiting, pools, BATCH)
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
        funds = _funds(connection, at, candidates, in_flight)
        known = calibrations.read(connection, {(c.row.model, c.row.lane) for c in candidates if c.row.model})
        before, accounts = dict(funds), _accounts(funds)
        caps = spending.caps_for(connection, at, [candidate.row for candidate in candidates])
        questions = repeats.Questions(connection, at, [candidate.row for candidate in candidates])
        batch = Batch(at, ACTOR)
        held: list[tuple[Any, str, str | None]] = []
        for candidate in sorted(candidates, key=_order):
            row = candidate.row
            if not slots.room(pools, row.lane) or questions.follows(row):
                continue
            if row.budget is None:
                self._attempt(candidate, None, 0, batch)
            else:
                paying = [funds[key] for key in accounts[row.budget]]
                paid = fund(_wish(row), paying, known.get((row.model, row.lane), UNKNOWN))
                if isinstance(paid, Held):
                    held.append((row, paid.why, None))
                    self._affordable_in = min(self._affordable_in, paid.seconds)
                    continue
                charge = spending.charge_of(row, paid.reserved, at)
                match afford(caps, charge):
                    case Waits(cap=cap, why=why):
                        held.append((row, why, cap.key))
                        continue
                    case Parked() as parked:
                        batch.moves.append(spending.park(row, parked, charge))
                        self._affordable_in = 0.0  # there may be work behind it that can be paid
                        continue
                caps = taken(caps, charge)
                funds[paid.purse.key] = paid.purse
                self._attempt(candidate, paid, charge.worst, batch)
            slots.take(pools, row.lane)
            questions.lead(row)
        purses.write_levels(
            connection, {key: purse for key, purse in funds.items() if purse is not before[key]}, at
        )
        _write_held(connection, held)
        batch.write(connection)
        return len(batch.attempts) + questions.write(connection)

    def _attempt(self, candidate: Candidate, paid: Funded | None, worst: int, batch: Batch) -> None:
        row, attempt_id = candidate.row, new_id()
        reserved = paid.reserved if paid else NOT_A_TOKEN
        batch.attempts.append(
            {
                "id": attempt_id,
                "subtask_id": row.id,
                "job_id": row.job_id,
                "lane": row.lane,
                "purpose": purpose_of_try(Purpose(row.purpose), row.tries + row.crashes),
                "number": row.tries + row.crashes + 1,
                "state": AttemptState.DISPATCHED,
                "budget": paid.purse.key if paid else None,
                "estimated_input_tokens": row.reserve_input_tokens,
                "reserved_input_tokens": reserved.input_tokens,
                "reserved_output_tokens": reserved.output_tokens,
                "promised_output_tokens": reserved.promised_tokens,
                "reserved_nano_usd": worst,
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
                {"held_by": None, "capped_by": None},
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


def _in_flight(connection: Connection) -> list[Any]:
    query = (
        select(attempt.c.lane, attempt.c.budget, func.count().label("count"))
        .where(attempt.c.state.in_(OPEN), attempt.c.ended_at.is_(None))
        .group_by(attempt.c.lane, attempt.c.budget)
    )
    return list(connection.execute(query))


def _order(candidate: Candidate) -> tuple[int, float, str]:
    return -candidate.row.priority, candidate.row.place, candidate.row.id


def _funds(
    connection: Connection, at: float, candidates: list[Candidate], in_flight: list[Any]
) -> dict[str, Purse]:
    """All budgets as they stand now; none where nobody asks for any."""
    if not any(candidate.row.budget for candidate in candidates):
        return {}
    by_budget = Counter[str]()
    for row in in_flight:
        if row.budget:
            by_budget[row.budget] += row.count
    return purses.read_purses(connection, at, by_budget)


def _accounts(funds: Mapping[str, Purse]) -> Mapping[str, list[str]]:
    """The budgets that may pay for work, by what the work draws on."""
    found: dict[str, list[str]] = defaultdict(list)
    for key, purse in funds.items():
        found[purse.scope].append(key)
    return found


def _wish(row: Any) -> Wish:
    return Wish(
        scope=row.budget,
        raw_input_tokens=row.reserve_input_tokens,
        declared_output_tokens=row.reserve_output_tokens,
        most_output_tokens=row.most_output_tokens,
        whole_promise=row.tries + row.repairs > 0,
    )


def _write_held(connection: Connection, held: list[tuple[Any, str, str | None]]) -> None:
    for row, why, cap in held:
        if row.held_by != why[:200]:
            holding = update(subtask).where(subtask.c.id == row.id)
            connection.execute(holding.values(held_by=why[:200], capped_by=cap))
