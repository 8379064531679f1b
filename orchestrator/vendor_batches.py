"""Vendor batches as the loop sees them: what may go by one, what waits in them, and which were given up."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select, update

from contracts.states import AttemptState, SubtaskState
from orchestrator.deciders.batching import Pool
from orchestrator.ledger.tables import attempt, job, subtask, vendor_batch, worker

MOST = 1000
"""So many candidates are looked at in one turn."""
REFUSAL_SECONDS = 3600.0
"""So long a vendor that did not take a batch is not offered another one."""
NOT_TAKEN = ("refused", "lost")

READY = (
    subtask.c.state == SubtaskState.READY,
    subtask.c.batch_scope.is_not(None),
    subtask.c.follows.is_(None),
)
WAITING = exists().where(*READY)
"""Whether anything that may go by batch is ready."""


_COLUMNS = (
    subtask.c.id,
    subtask.c.job_id,
    subtask.c.tenant,
    subtask.c.lane,
    subtask.c.purpose,
    subtask.c.vendor,
    subtask.c.model,
    subtask.c.batch_scope,
    subtask.c.reserve_input_tokens,
    subtask.c.reserve_output_tokens,
    subtask.c.most_output_tokens,
    subtask.c.tries,
    subtask.c.crashes,
    subtask.c.ready_at,
    job.c.max_cost_nano_usd,
)


def scope_of(vendor: str, model: str) -> str:
    """What a batch is made of: the work of one model."""
    return f"{vendor}/{model}"


def waiting(connection: Connection, at: float, free: ColumnElement[bool]) -> dict[str, list[Any]]:
    """The candidates by scope that no switch holds, those that waited longest first."""
    due = or_(subtask.c.not_before.is_(None), subtask.c.not_before <= at)
    query = (
        select(*_COLUMNS)
        .join(job, job.c.id == subtask.c.job_id)
        .where(*READY, due, free, job.c.cancel_requested_by.is_(None))
        .order_by(subtask.c.ready_at, subtask.c.id)
        .limit(MOST)
    )
    found: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.batch_scope].append(row)
    return found


def pools(connection: Connection, at: float, vendor: str, model: str, accounts: Sequence[str]) -> list[Pool]:
    """What waits in the batches of each account for this model."""
    of_model = vendor_batch.c.vendor == vendor, vendor_batch.c.model == model
    rows = connection.execute(
        select(
            vendor_batch.c.account,
            func.count().label("requests"),
            func.sum(attempt.c.reserved_input_tokens).label("input_tokens"),
        )
        .join(attempt, attempt.c.vendor_batch_id == vendor_batch.c.id)
        .where(*of_model, vendor_batch.c.ended_at.is_(None), attempt.c.ended_at.is_(None))
        .group_by(vendor_batch.c.account)
    )
    queued = {row.account: row for row in rows}
    late = vendor_batch.c.state.in_(NOT_TAKEN), vendor_batch.c.ended_at > at - REFUSAL_SECONDS
    refused = set(connection.execute(select(vendor_batch.c.account).where(*of_model, *late)).scalars())
    return [
        Pool(
            account,
            requests=queued[account].requests if account in queued else 0,
            input_tokens=int(queued[account].input_tokens) if account in queued else 0,
            refused=account in refused,
        )
        for account in accounts
    ]


def served(connection: Connection, since: float) -> frozenset[str]:
    """The lanes of the workers that were heard since then."""
    alive = select(worker.c.lanes).where(worker.c.beat_at > since, worker.c.stopped_at.is_(None))
    return frozenset(lane for lanes in connection.execute(alive).scalars() for lane in lanes)


def give_up(connection: Connection, at: float) -> int:
    """Ends the batches whose job ended without an end of theirs: the claims on their members run out at once, and
    what nobody claimed is returned. Answers how many."""
    orphans = select(vendor_batch.c.id).join(job, job.c.id == vendor_batch.c.job_id)
    orphans = orphans.where(vendor_batch.c.ended_at.is_(None), job.c.ended_at.is_not(None))
    ids = list(connection.execute(orphans).scalars())
    if not ids:
        return 0
    members = attempt.c.vendor_batch_id.in_(ids), attempt.c.ended_at.is_(None)
    for state, end in ((AttemptState.RUNNING, "lease_until"), (AttemptState.DISPATCHED, "start_by")):
        over = update(attempt).where(*members, attempt.c.state == state)
        connection.execute(over.values({end: attempt.c.granted_at - 1}))
    ended = {"state": "abandoned", "ended_at": at, "why": "the job that carried it has ended"}
    connection.execute(update(vendor_batch).where(vendor_batch.c.id.in_(ids)).values(**ended))
    return len(ids)
