"""Claims: who may work on an attempt, proven by its fence and kept by its lease."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Double, Select, bindparam, exists, select, tuple_, update

from contracts.handoffs import Handoff
from contracts.states import AttemptState, SubtaskState
from orchestrator.ledger.clock import wall_clock
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.moves import MovedMeanwhile, SubtaskMove, move_subtasks
from orchestrator.ledger.tables import attempt, job, subtask


@dataclass(frozen=True)
class Claim:
    """The right to work on one attempt and to report on it, for as long as its fence stands."""

    attempt: str
    subtask: str
    job: str
    fence: int
    token: str
    handoff: Handoff


@dataclass(frozen=True)
class Refusal:
    """Nothing to do for this doorbell, and why."""

    why: str


class FencedOut(Exception):
    """The attempt was taken away; whatever its worker still does counts for nothing."""


_CLAIM = (
    update(attempt)
    .where(
        attempt.c.id == bindparam("_id"),
        attempt.c.state == AttemptState.DISPATCHED,
        attempt.c.start_by >= wall_clock(),
        exists().where(subtask.c.id == attempt.c.subtask_id, subtask.c.state == SubtaskState.DISPATCHED),
    )
    .values(
        state=AttemptState.RUNNING,
        fence=attempt.c.fence + 1,
        worker=bindparam("_worker"),
        claim_token=bindparam("_token"),
        claimed_at=wall_clock(),
        lease_until=wall_clock() + bindparam("_lease", type_=Double),
        deadline_at=wall_clock() + attempt.c.allowed_seconds,
        queue_seconds=attempt.c.queue_seconds + wall_clock() - attempt.c.granted_at,
    )
    .returning(attempt.c.subtask_id, attempt.c.job_id, attempt.c.fence, attempt.c.claimed_at)
)
_HANDOFF = select(subtask.c.handoff).where(subtask.c.id == bindparam("_id"))


def claim(
    ledger: Ledger, attempt_id: str, worker_id: str, token: str, lease_seconds: float
) -> Claim | Refusal:
    """Takes an attempt that is still to be started. `token` names this delivery of the doorbell: claiming
    again with it after a lost answer succeeds, and a second delivery does not."""
    try:
        return _take(ledger, attempt_id, worker_id, token, lease_seconds)
    except MovedMeanwhile:
        return Refusal("its subtask was cancelled at this very moment")


def _take(
    ledger: Ledger, attempt_id: str, worker_id: str, token: str, lease_seconds: float
) -> Claim | Refusal:
    with ledger.write() as connection:
        taken = connection.execute(
            _CLAIM,
            {"_id": attempt_id, "_worker": worker_id, "_token": token, "_lease": lease_seconds},
        ).one_or_none()
        if taken is None:
            return _claimed_before(connection, attempt_id, token)
        move = SubtaskMove(
            taken.subtask_id,
            taken.job_id,
            SubtaskState.DISPATCHED,
            SubtaskState.RUNNING,
            "claimed",
            attempt_id=attempt_id,
        )
        handoff = connection.execute(_HANDOFF, {"_id": taken.subtask_id}).scalar_one()
        move_subtasks(connection, [move], worker_id, taken.claimed_at)
        return _claim(attempt_id, taken, token, handoff)


def heartbeat(ledger: Ledger, held: Iterable[Claim], lease_seconds: float) -> frozenset[str]:
    """Extends the leases of all held attempts with one statement. Answers the attempts to stop: those
    fenced out, past their own deadline, or of a job that is being cancelled."""
    fences = {claim.attempt: claim.fence for claim in held}
    if not fences:
        return frozenset()
    with ledger.write() as connection:
        connection.execute(
            update(attempt)
            .where(
                tuple_(attempt.c.id, attempt.c.fence).in_(list(fences.items())),
                attempt.c.state == AttemptState.RUNNING,
                attempt.c.deadline_at > wall_clock(),
            )
            .values(lease_until=wall_clock() + lease_seconds)
        )
        alive = connection.execute(
            select(attempt.c.id, attempt.c.fence)
            .join(job, job.c.id == attempt.c.job_id)
            .where(
                attempt.c.id.in_(fences),
                attempt.c.state == AttemptState.RUNNING,
                attempt.c.deadline_at > wall_clock(),
                job.c.cancel_requested_by.is_(None),
            )
        ).all()
    going = {row.id for row in alive if fences[row.id] == row.fence}
    return frozenset(fences) - going


def standing(claim: Claim) -> Select[str]:
    """The claim's attempt, as long as its fence stands."""
    return select(attempt.c.id).where(
        attempt.c.id == claim.attempt,
        attempt.c.fence == claim.fence,
        attempt.c.state == AttemptState.RUNNING,
    )


def _claimed_before(connection: Connection, attempt_id: str, token: str) -> Claim | Refusal:
    """Why there was nothing to take: this very claim had succeeded before, or somebody else was first."""
    row = connection.execute(
        select(attempt, subtask.c.handoff)
        .join(subtask, subtask.c.id == attempt.c.subtask_id)
        .where(attempt.c.id == attempt_id)
    ).one_or_none()
    if row is None:
        return Refusal("no such attempt")
    if row.state == AttemptState.RUNNING and row.claim_token == token:
        return _claim(attempt_id, row, token, row.handoff)
    if row.state == AttemptState.DISPATCHED:
        return Refusal("its start-by has passed or its subtask was cancelled")
    return Refusal(f"the attempt is {row.state}")


def _claim(attempt_id: str, row: Any, token: str, handoff: Any) -> Claim:
    return Claim(attempt_id, row.subtask_id, row.job_id, row.fence, token, Handoff.model_validate(handoff))
