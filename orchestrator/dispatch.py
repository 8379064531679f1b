"""Dispatch: ready subtasks are granted attempts in fair order, as far as slots and budgets reach."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, select

from contracts.states import AttemptState
from orchestrator import calibrations, liveness, pauses, purses, shares, spending, suspects
from orchestrator.batch import Batch
from orchestrator.candidates import Candidate, heads, queues
from orchestrator.deciders.charging import NOT_A_TOKEN, Reserved, reservation
from orchestrator.deciders.fairness import Fairness
from orchestrator.deciders.liveness import Serving
from orchestrator.deciders.pacing import Amount, Purse, beside, on_top
from orchestrator.deciders.shares import Shares
from orchestrator.deciders.slots import Slots, Takings, ahead_of
from orchestrator.granting import Granted, NoBudget, NoSlot, PassedOver, Round, Stopped
from orchestrator.ledger.leadership import Leadership
from orchestrator.ledger.tables import attempt
from orchestrator.repeats import Questions
from orchestrator.settings import Settings

ACTOR = "orchestrator.dispatch"
BATCH = 200
FIRST_MEAN_SECONDS = 1.0
"""How long an attempt of a lane is taken to last before any was seen."""
SHORTEST_PAUSE_SECONDS = 0.05
"""What becomes affordable within it is granted together; a lane has seconds of granted work in front of it."""
OPEN = (AttemptState.DISPATCHED, AttemptState.RUNNING)
_UNCLAIMED = attempt.c.state == AttemptState.DISPATCHED


class Dispatcher:
    """The verb that grants attempts."""

    def __init__(self, leadership: Leadership, settings: Settings) -> None:
        self._leadership = leadership
        self._settings = settings
        self._mean_seconds: dict[str, float] = {}
        self._takings = Takings()
        self._fairness, self._epoch = Fairness(Shares()), leadership.epoch
        self._refused: dict[str, float] = {}
        self._affordable_in = float("inf")

    @property
    def pause_seconds(self) -> float:
        """Until something that was refused can be granted, as far as time alone decides; infinite where
        nothing was refused, or only time cannot help."""
        return max(self._affordable_in, SHORTEST_PAUSE_SECONDS)

    def learn(self, lane: str, seconds: float) -> None:
        """Tells that an attempt of a lane was reported and how long it took, for the length of its short
        queue and for what is usually under way."""
        self._takings.count(lane)
        mean = self._mean_seconds.get(lane, FIRST_MEAN_SECONDS)
        self._mean_seconds[lane] = 0.9 * mean + 0.1 * seconds

    def correct(self, subtask_id: str, used_tokens: float) -> None:
        """Tells what a granted attempt really used, for the turn of its tenant: 0 where it never ran."""
        self._fairness.correct(subtask_id, used_tokens)

    def run(self) -> int:
        """Grants a batch and answers how many attempts, with those that are left to the answer of another."""
        self._affordable_in = float("inf")
        charged: list[str] = []
        try:
            with self._leadership.decide() as (connection, at):
                return self._dispatch(connection, at, charged)
        except BaseException:
            for subtask_id in charged:  # nothing of it was granted
                self._fairness.correct(subtask_id, 0)
            raise

    def _dispatch(self, connection: Connection, at: float, charged: list[str]) -> int:
        """`charged` is told every subtask that fairness has charged."""
        unheld = pauses.free(pauses.standing(connection, at))
        waiting = queues(connection, at, unheld)
        if not waiting:
            return 0
        in_flight = _in_flight(connection)
        workers = liveness.serving(connection, at, self._settings.heartbeat_seconds)
        free, unclaimed = self._slots(workers, at, in_flight), _unclaimed_suspects(in_flight)
        apart = suspects.room_for(connection, workers, unclaimed)
        if unclaimed is not None:
            unheld &= suspects.only_in(lane for lane in _served(workers) if apart.room(lane))
        candidates = heads(connection, at, waiting, free, BATCH, unheld)
        if not candidates:
            return 0
        self._remember(shares.read(connection))
        granting = self._round(connection, at, candidates, free, apart, in_flight)
        self._walk(granting, candidates, charged)
        return granting.write(connection)

    def _remember(self, current: Shares) -> None:
        """Who led in between has granted what is not remembered here, so that all begin evenly again."""
        if self._epoch != self._leadership.epoch:
            self._fairness, self._epoch = Fairness(current), self._leadership.epoch
        self._fairness.shares = current

    def _round(
        self,
        connection: Connection,
        at: float,
        candidates: list[Candidate],
        free: Slots,
        apart: Slots,
        in_flight: list[Any],
    ) -> Round:
        rows = [candidate.row for candidate in candidates]
        return Round(
            batch=Batch(at, ACTOR),
            free=free,
            apart=apart,
            funds=_funds(connection, at, rows, in_flight, self._mean_seconds),
            known=calibrations.read(connection, {(row.model, row.lane) for row in rows if row.model}),
            caps=spending.caps_for(connection, at, rows),
            questions=Questions(connection, at, rows),
            start_by_seconds=self._settings.start_by_seconds,
            refused=self._refused,
        )

    def _walk(self, granting: Round, candidates: list[Candidate], charged: list[str]) -> None:
        """Offers the candidates in fair order, until there is nothing left to give or nobody left to take."""
        by_id = {candidate.row.id: candidate for candidate in candidates}
        order = self._fairness.order((granting.offer_of(each) for each in candidates), granting.batch.at)
        for offer in order:
            match granting.grant(by_id[offer.subtask]):
                case Granted():
                    order.charge()
                    charged.append(offer.subtask)
                case NoSlot():
                    order.drop_lane(offer.flow.lane)
                case NoBudget(seconds=seconds):
                    order.drop_pool(offer.pool)
                    self._refused[offer.pool] = granting.batch.at
                    self._affordable_in = min(self._affordable_in, seconds)
                case Stopped():
                    self._affordable_in = 0.0
                case PassedOver():
                    pass

    def _slots(self, workers: list[Serving], at: float, in_flight: list[Any]) -> Slots:
        serving, by_lane = Counter[str](), Counter[str]()
        for each in workers:
            serving.update(dict.fromkeys(each.lanes, each.slots))
        for row in in_flight:
            by_lane[row.lane] += row.count
        seconds, per_second = self._settings.queue_ahead_seconds, self._takings.per_second(at)
        ahead = {
            lane: ahead_of(
                count, self._mean_seconds.get(lane, FIRST_MEAN_SECONDS), seconds, per_second.get(lane)
            )
            for lane, count in serving.items()
        }
        return Slots([(each.lanes, each.slots) for each in workers], by_lane, ahead)


UNSENT = {
    "unsent_input": attempt.c.reserved_input_tokens,
    "unsent_output": attempt.c.reserved_output_tokens,
    "unsent_promised": attempt.c.promised_output_tokens,
}
"""What is reserved by attempts that are granted and not claimed."""


def _in_flight(connection: Connection) -> list[Any]:
    query = (
        select(
            attempt.c.lane,
            attempt.c.budget,
            func.count().label("count"),
            func.count(case((attempt.c.suspect, 1))).label("suspects"),
            func.count(case((_UNCLAIMED & attempt.c.suspect, 1))).label("unclaimed_suspects"),
            func.sum(attempt.c.reserved_output_tokens).label("reserved_output"),
            *(func.sum(case((_UNCLAIMED, column), else_=0)).label(name) for name, column in UNSENT.items()),
        )
        .where(
            attempt.c.state.in_(OPEN),
            attempt.c.ended_at.is_(None),
            attempt.c.vendor_batch_id.is_(None),  # what waits for a batch takes no slot and no call
        )
        .group_by(attempt.c.lane, attempt.c.budget)
    )
    return list(connection.execute(query))


def _unclaimed_suspects(in_flight: list[Any]) -> Counter[str] | None:
    """The suspects by lane that are granted and not claimed; None where no suspect is under way at all."""
    if not any(row.suspects for row in in_flight):
        return None
    by_lane = Counter[str]()
    for row in in_flight:
        by_lane[row.lane] += row.unclaimed_suspects
    return by_lane


def _served(workers: list[Serving]) -> set[str]:
    return {lane for each in workers for lane in each.lanes}


@dataclass
class _UnderWay:
    """What the attempts that a budget pays for hold of it."""

    calls: int = 0
    unsent: Reserved = NOT_A_TOKEN
    claimed_output: float = 0.0
    output_seconds: float = 0.0
    """Of what is claimed, the tokens times how long an attempt of their lane takes."""

    def uncounted_by(self, purse: Purse) -> tuple[Amount, ...]:
        mean_seconds = self.output_seconds / self.claimed_output if self.claimed_output else 0.0
        return reservation(purse.charging, self.unsent), on_top(purse, self.claimed_output, mean_seconds)


def _funds(
    connection: Connection,
    at: float,
    rows: Iterable[Any],
    in_flight: list[Any],
    mean_seconds: Mapping[str, float],
) -> dict[str, Purse]:
    """All budgets as they stand now; none where nobody asks for any."""
    if not any(row.budget for row in rows):
        return {}
    under_way: dict[str, _UnderWay] = defaultdict(_UnderWay)
    for row in in_flight:
        if row.budget:
            of, claimed = under_way[row.budget], float(row.reserved_output - row.unsent_output)
            of.calls += row.count
            of.unsent += Reserved(int(row.unsent_input), int(row.unsent_output), int(row.unsent_promised))
            of.claimed_output += claimed
            of.output_seconds += claimed * mean_seconds.get(row.lane, FIRST_MEAN_SECONDS)
    found = purses.read_purses(connection, at, {key: of.calls for key, of in under_way.items()})
    lowered: dict[str, Purse] = {}
    for key, of in under_way.items():
        purse = found.get(key)
        less = purse and beside(purse, *of.uncounted_by(purse))
        if less and less is not purse:
            lowered[key] = less
    purses.write_levels(connection, lowered, at)
    return found | lowered
