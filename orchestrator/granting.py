"""Granting: one walk over the candidates, with what is known and what is left at its moment.

A candidate needs a slot of its lane, an account that pays for it, and room below every spending cap; it
follows whoever already answers the same question. What it is refused costs it nothing.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, update

from contracts.purposes import Purpose
from contracts.states import AttemptState, SubtaskState
from orchestrator import purses, spending
from orchestrator.batch import Batch
from orchestrator.calibrations import Known
from orchestrator.candidates import Candidate
from orchestrator.deciders import slots
from orchestrator.deciders.charging import NOT_A_TOKEN
from orchestrator.deciders.estimating import UNKNOWN, expected_input, expected_output
from orchestrator.deciders.funding import Funded, Wish, fund
from orchestrator.deciders.handing import purpose_of_try
from orchestrator.deciders.offers import Flow, Offer
from orchestrator.deciders.pacing import Held, Purse
from orchestrator.deciders.slots import Pool
from orchestrator.deciders.spending import Cap, Parked, Waits, afford, taken
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.moves import SubtaskMove
from orchestrator.ledger.tables import subtask
from orchestrator.repeats import Questions


@dataclass(frozen=True)
class Granted:
    """It has its attempt."""


@dataclass(frozen=True)
class NoSlot:
    """Its lane is full."""


@dataclass(frozen=True)
class NoBudget:
    """No account can pay for it yet."""

    seconds: float
    """Until one can, as far as time alone decides; infinite where it does not."""


@dataclass(frozen=True)
class PassedOver:
    """It alone has to wait: for another's answer, or below a spending cap."""


@dataclass(frozen=True)
class Stopped:
    """A spending cap leaves no room for it; it is parked, and there may be work behind it that can be paid."""


Outcome = Granted | NoSlot | NoBudget | PassedOver | Stopped


@dataclass
class Round:
    """What is left while candidates are granted, and what will be written of it."""

    batch: Batch
    pools: list[Pool]
    funds: dict[str, Purse]
    """Every account's budget, by key."""
    known: Known
    caps: dict[str, Cap]
    questions: Questions
    start_by_seconds: float
    refused: Mapping[str, float]
    """When a pool of fairness was last refused by its budget."""
    _before: dict[str, Purse] = field(init=False)
    _accounts: dict[str, list[str]] = field(init=False)
    _held: list[tuple[Any, str, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._before = dict(self.funds)
        self._accounts = defaultdict(list)
        for key, purse in self.funds.items():
            self._accounts[purse.scope].append(key)

    def offer_of(self, candidate: Candidate) -> Offer:
        """The candidate as fairness sees it."""
        row = candidate.row
        known = self.known.get((row.model, row.lane), UNKNOWN)
        cost = expected_input(known, row.reserve_input_tokens) + expected_output(
            known, row.reserve_output_tokens, row.most_output_tokens
        )
        flow = Flow(Purpose(row.purpose), row.lane, row.tenant)
        return Offer(row.id, flow, pool_of(row), row.priority, row.place, cost if row.budget else 0)

    def grant(self, candidate: Candidate) -> Outcome:
        """Grants the candidate an attempt, or says what stands against it."""
        row = candidate.row
        if not slots.room(self.pools, row.lane):
            return NoSlot()
        if self.questions.follows(row):
            return PassedOver()
        if row.budget is None:
            self._attempt(candidate, None, 0)
        else:
            refusal = self._pay(candidate)
            if refusal:
                return refusal
        slots.take(self.pools, row.lane)
        self.questions.lead(row)
        return Granted()

    def _pay(self, candidate: Candidate) -> NoBudget | PassedOver | Stopped | None:
        row = candidate.row
        paying = [self.funds[key] for key in self._accounts[row.budget]]
        paid = fund(_wish(row), paying, self.known.get((row.model, row.lane), UNKNOWN))
        if isinstance(paid, Held):
            self._held.append((row, paid.why, None))
            return NoBudget(paid.seconds)
        charge = spending.charge_of(row, paid.reserved, self.batch.at)
        match afford(self.caps, charge):
            case Waits(cap=cap, why=why):
                self._held.append((row, why, cap.key))
                return PassedOver()
            case Parked() as parked:
                self.batch.moves.append(spending.park(row, parked, charge))
                return Stopped()
        self.caps = taken(self.caps, charge)
        self.funds[paid.purse.key] = paid.purse
        self._attempt(candidate, paid, charge.worst)
        return None

    def write(self, connection: Connection) -> int:
        """Keeps the round, and answers how many were granted or began to follow another."""
        changed = {key: purse for key, purse in self.funds.items() if purse is not self._before[key]}
        purses.write_levels(connection, changed, self.batch.at)
        for row, why, cap in self._held:
            if row.held_by != why[:200]:
                holding = update(subtask).where(subtask.c.id == row.id)
                connection.execute(holding.values(held_by=why[:200], capped_by=cap))
        self.batch.write(connection)
        return len(self.batch.attempts) + self.questions.write(connection)

    def _attempt(self, candidate: Candidate, paid: Funded | None, worst_nano_usd: int) -> None:
        row, attempt_id, at = candidate.row, new_id(), self.batch.at
        reserved = paid.reserved if paid else NOT_A_TOKEN
        by_budget = row.held_by or self.refused.get(pool_of(row), 0.0) >= row.ready_at
        self.batch.attempts.append(
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
                "reserved_nano_usd": worst_nano_usd,
                "granted_at": at,
                "start_by": at + self.start_by_seconds,
                "allowed_seconds": row.allowed_seconds,
                "backoff_seconds": candidate.backoff_seconds,
                "budget_seconds": candidate.waited_seconds if by_budget else 0.0,
                "queue_seconds": 0.0 if by_budget else candidate.waited_seconds,
            }
        )
        sets = {"held_by": None, "capped_by": None}
        self.batch.moves.append(
            SubtaskMove(
                row.id, row.job_id, SubtaskState.READY, SubtaskState.DISPATCHED, "granted", sets, attempt_id
            )
        )
        self.batch.doorbells.append(
            {
                "attempt_id": attempt_id,
                "lane": row.lane,
                "label": f"{row.job_id}, {row.name}, {attempt_id}",
                "created_at": at,
            }
        )


def pool_of(row: Any) -> str:
    """What a subtask contends for: the accounts it draws on, or the workers of its lane."""
    return str(row.budget) if row.budget else f"lane {row.lane}"


def _wish(row: Any) -> Wish:
    return Wish(
        scope=row.budget,
        raw_input_tokens=row.reserve_input_tokens,
        declared_output_tokens=row.reserve_output_tokens,
        most_output_tokens=row.most_output_tokens,
        whole_promise=row.tries + row.repairs > 0,
    )
