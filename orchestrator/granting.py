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
from orchestrator.candidates import Candidate, pool_of
from orchestrator.deciders.charging import NOT_A_TOKEN
from orchestrator.deciders.estimating import UNKNOWN, expected_billed_input, expected_input, expected_output
from orchestrator.deciders.funding import Funded, Wish, fund
from orchestrator.deciders.handing import purpose_of_try
from orchestrator.deciders.offers import Flow, Offer
from orchestrator.deciders.pacing import Held, Purse
from orchestrator.deciders.slots import Slots
from orchestrator.deciders.spending import Cap, afford, taken
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
    """It alone has to wait: for another's answer, for a process without a suspect, or for what it changes to be
    free."""


@dataclass(frozen=True)
class Stopped:
    """A spending cap leaves no room for it; it is parked, and there may be work behind it that can be paid."""


Outcome = Granted | NoSlot | NoBudget | PassedOver | Stopped


@dataclass
class Round:
    """What is left while candidates are granted, and what will be written of it."""

    batch: Batch
    free: Slots
    apart: Slots
    """How many suspects may be granted: one for each process that holds none."""
    funds: dict[str, Purse]
    """Every account's budget, by key."""
    known: Known
    caps: dict[str, Cap]
    questions: Questions
    start_by_seconds: float
    refused: Mapping[str, float]
    """When a pool of fairness was last refused by its budget."""
    changing: set[str] = field(default_factory=set)
    """The subjects that were granted in this round; what others change already is no candidate."""
    _before: dict[str, Purse] = field(init=False)
    _accounts: dict[str, list[str]] = field(init=False)
    _held: list[tuple[Any, str]] = field(default_factory=list)

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
        return Offer(
            row.id, flow, pool_of(row.lane, row.budget), row.priority, row.place, cost if row.budget else 0
        )

    def grant(self, candidate: Candidate) -> Outcome:
        """Grants the candidate an attempt, or says what stands against it."""
        row = candidate.row
        if not self.free.room(row.lane):
            return NoSlot()
        if row.suspect and not self.apart.room(row.lane):
            return PassedOver()
        if row.subject is not None and row.subject in self.changing:
            return PassedOver()
        if self.questions.follows(row):
            return PassedOver()
        if row.budget is None:
            self._attempt(candidate, None, 0)
        else:
            refusal = self._pay(candidate)
            if refusal:
                return refusal
        self.free.take(row.lane)
        if row.suspect:
            self.apart.take(row.lane)
        if row.subject is not None:
            self.changing.add(row.subject)
        self.questions.lead(row)
        return Granted()

    def _pay(self, candidate: Candidate) -> NoBudget | Stopped | None:
        row = candidate.row
        paying = [self.funds[key] for key in self._accounts[row.budget]]
        known = self.known.get((row.model, row.lane), UNKNOWN)
        paid = fund(_wish(row), paying, known)
        if isinstance(paid, Held):
            self._held.append((row, paid.why))
            return NoBudget(paid.seconds)
        billed = expected_billed_input(known, row.reserve_input_tokens)
        charge = spending.charge_of(row, billed, self.batch.at)
        parked = afford(self.caps, charge)
        if parked:
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
        for row, why in self._held:
            if row.held_by != why[:200]:
                connection.execute(update(subtask).where(subtask.c.id == row.id).values(held_by=why[:200]))
        self.batch.write(connection)
        return len(self.batch.attempts) + self.questions.write(connection)

    def _attempt(self, candidate: Candidate, paid: Funded | None, worst_nano_usd: int) -> None:
        row, attempt_id, at = candidate.row, new_id(), self.batch.at
        reserved = paid.reserved if paid else NOT_A_TOKEN
        # Who led before keeps its refusals to itself; what it held back was held until here.
        unknown = at if row.held_by else 0.0
        budget_seconds = _by_budget(candidate, self.refused.get(pool_of(row.lane, row.budget), unknown))
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
                "suspect": row.suspect,
                "backoff_seconds": candidate.backoff_seconds,
                "budget_seconds": budget_seconds,
                "queue_seconds": candidate.waited_seconds - budget_seconds,
            }
        )
        self.batch.moves.append(
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
        self.batch.doorbells.append(
            {
                "attempt_id": attempt_id,
                "lane": row.lane,
                "label": f"{row.job_id}, {row.name}, {attempt_id}",
                "created_at": at,
            }
        )


def _by_budget(candidate: Candidate, refused_at: float) -> float:
    """Of the seconds that it waited, those until its pool was last refused; what came after was the queue."""
    due_at: float = candidate.row.ready_at + candidate.backoff_seconds
    return min(max(refused_at - due_at, 0.0), candidate.waited_seconds)


def _wish(row: Any) -> Wish:
    return Wish(
        scope=row.budget,
        raw_input_tokens=row.reserve_input_tokens,
        declared_output_tokens=row.reserve_output_tokens,
        most_output_tokens=row.most_output_tokens,
        whole_promise=row.tries + row.repairs > 0,
    )
