"""Gathering: ready work that can wait goes by a vendor's batch, which a job of its own hands in and collects."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from contracts.catalog import Catalog
from contracts.jobs import JobRequest
from contracts.purposes import Purpose
from contracts.states import AttemptState, SubtaskState
from contracts.vendor_batches import Inputs
from contracts.vendors import Vendor
from orchestrator import pauses, spending, vendor_batches
from orchestrator.batch import Batch
from orchestrator.deciders.batching import Gather, Waiting, decide
from orchestrator.deciders.charging import Reserved
from orchestrator.deciders.spending import afford, taken
from orchestrator.intake import Intake
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.leadership import Leadership
from orchestrator.ledger.moves import SubtaskMove
from orchestrator.ledger.tables import vendor_batch
from orchestrator.liveness import BEATS_MISSED
from orchestrator.prices import batch_share
from orchestrator.settings import Settings

ACTOR = "orchestrator.gathering"
TENANT = PORTFOLIO = "fleet"
BEGIN_SECONDS = 300.0
"""What is not handed in by then returns, and goes live."""
MOST_SECONDS = 26 * 3600.0
"""A day at the vendor, an hour to be handed in and another to be collected."""


class Gatherer:
    """The verb that makes batches of what may go by one. What it leaves is dispatched as ever."""

    def __init__(
        self,
        ledger: Ledger,
        leadership: Leadership,
        catalog: Catalog,
        intake: Intake,
        settings: Settings,
    ) -> None:
        self._ledger = ledger
        self._leadership = leadership
        self._catalog = catalog
        self._intake = intake
        self._silent_seconds = BEATS_MISSED * settings.heartbeat_seconds

    def run(self) -> int:
        """Gathers, and answers how many subtasks go by batch. Each does so at most once."""
        # Most of the time nothing is there, and the leader's row need not be locked to see that.
        with self._ledger.read() as reading:
            if not reading.execute(select(vendor_batches.WAITING)).scalar_one():
                return 0
        with self._leadership.decide() as (connection, at):
            found = vendor_batches.waiting(connection, at, pauses.free(pauses.standing(connection, at)))
            if not found:
                return 0
            batch = Batch(at, ACTOR)
            served = vendor_batches.served(connection, at - self._silent_seconds)
            for rows in found.values():
                self._gather(connection, at, rows, served, batch)
            batch.write(connection)
            return len(batch.attempts)

    def _gather(
        self, connection: Connection, at: float, rows: Sequence[Any], served: frozenset[str], batch: Batch
    ) -> None:
        vendor = self._catalog.vendors.get(rows[0].vendor)
        if vendor is None or vendor.batch is None or not self._is_carried(vendor, served):
            return
        worst = _affordable(connection, at, rows)
        affordable = [row for row in rows if row.id in worst]
        pools = vendor_batches.pools(connection, at, vendor.vendor, rows[0].model, vendor.accounts)
        waiting = [Waiting(row.id, row.reserve_input_tokens, at - row.ready_at) for row in affordable]
        decision = decide(waiting, pools, vendor.batch)
        if isinstance(decision, Gather):
            members = [row for row in affordable if row.id in decision.subtasks]
            self._open(connection, vendor, decision, members, worst, batch)

    def _is_carried(self, vendor: Vendor, served: frozenset[str]) -> bool:
        """Whether live workers serve every step of the workflow that would carry it."""
        assert vendor.batch is not None
        steps = self._catalog.workflows[vendor.batch.workflow].steps.values()
        return {step.lane for step in steps} <= served

    def _open(
        self,
        connection: Connection,
        vendor: Vendor,
        gathered: Gather,
        members: Sequence[Any],
        worst: dict[str, int],
        batch: Batch,
    ) -> None:
        assert vendor.batch is not None
        batch_id, model = new_id(), members[0].model
        inputs = Inputs(
            batch=batch_id,
            vendor=vendor.vendor,
            account=gathered.account,
            model=model,
            requests=len(members),
        )
        request = JobRequest(
            tenant=TENANT,
            portfolio=PORTFOLIO,
            workflow=vendor.batch.workflow,
            inputs=inputs.model_dump(mode="json"),
            purpose=Purpose.MAINTENANCE,
            reason=f"Carries requests to {model} by batch: {gathered.why}.",
            requested_by=ACTOR,
        )
        row = {
            "id": batch_id,
            "job_id": self._intake.open(connection, request, ACTOR),
            "vendor": vendor.vendor,
            "account": gathered.account,
            "model": model,
            "requests": len(members),
            "state": "gathered",
            "why": gathered.why,
            "gathered_at": batch.at,
        }
        connection.execute(insert(vendor_batch).values(**row))
        for member in members:
            _join(member, batch_id, worst[member.id], f"gathered for a batch: {gathered.why}", batch)


def _affordable(connection: Connection, at: float, rows: Sequence[Any]) -> dict[str, int]:
    """Those that every spending cap has room for, with what each may cost by batch, in nano-dollars. The others
    are held by dispatch, which says why."""
    caps = spending.caps_for(connection, at, rows)
    found = {}
    for row in rows:
        charge = spending.charge_of(row, row.reserve_input_tokens, at, batch_share(row.vendor, row.model))
        if afford(caps, charge) is None:
            caps = taken(caps, charge)
            found[row.id] = charge.worst
    return found


def _reserved(row: Any) -> Reserved:
    return Reserved(row.reserve_input_tokens, row.reserve_output_tokens, row.most_output_tokens)


def _join(row: Any, batch_id: str, worst_nano_usd: int, why: str, batch: Batch) -> None:
    """The attempt of a member. No doorbell rings for it: who carries its batch claims it."""
    attempt_id, reserved = new_id(), _reserved(row)
    batch.attempts.append(
        {
            "id": attempt_id,
            "subtask_id": row.id,
            "job_id": row.job_id,
            "lane": row.lane,
            "purpose": row.purpose,
            "number": row.tries + row.crashes + 1,
            "state": AttemptState.DISPATCHED,
            "vendor_batch_id": batch_id,
            "estimated_input_tokens": row.reserve_input_tokens,
            "reserved_input_tokens": reserved.input_tokens,
            "reserved_output_tokens": reserved.output_tokens,
            "promised_output_tokens": reserved.promised_tokens,
            "reserved_nano_usd": worst_nano_usd,
            "granted_at": batch.at,
            "start_by": batch.at + BEGIN_SECONDS,
            "allowed_seconds": MOST_SECONDS,
            "queue_seconds": max(batch.at - row.ready_at, 0.0),
        }
    )
    sets = {"held_by": None, "batch_scope": None}
    batch.moves.append(
        SubtaskMove(row.id, row.job_id, SubtaskState.READY, SubtaskState.DISPATCHED, why, sets, attempt_id)
    )
