"""Claims: who may work on an attempt, proven by its fence and kept by its lease."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Double, Select, bindparam, exists, or_, select, tuple_, update

from contracts.handoffs import Handoff
from contracts.states import AttemptState, SubtaskState
from orchestrator.ledger.clock import wall_clock
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.moves import SubtaskMove, move_subtasks
from orchestrator.ledger.tables import attempt, budget, job, subtask, worker
from orchestrator.pauses import HELD, TOLD_TO_STOP, note_killed
from orchestrator.problems import faults
from orchestrator.purses import account_of


@dataclass(frozen=True)
class Delivery:
    """One doorbell that reached a worker, named by its token."""

    attempt: str
    worker: str
    token: str


@dataclass(frozen=True)
class Claim:
    """The right to work on one attempt and to report on it, for as long as its fence stands."""

    attempt: str
    subtask: str
    job: str
    fence: int
    token: str
    handoff: Handoff
    submitted: bool = False
    """Whether its subtask waits for a vendor's batch, instead of running."""


@dataclass(frozen=True)
class Refusal:
    """Nothing to do for this doorbell, and why."""

    why: str


@dataclass(frozen=True)
class Unreadable:
    """A claim on an attempt whose handoff this code cannot read: it was written by newer code."""

    attempt: str
    subtask: str
    job: str
    fence: int
    token: str
    why: str
    submitted: bool = False


class FencedOut(Exception):
    """The attempt was taken away; whatever its worker still does counts for nothing."""


_CLOSED = exists().where(budget.c.key == attempt.c.budget, budget.c.closed_until > wall_clock())
"""Its account was closed after it was granted: nothing of it starts before the account opens again."""
_beside = attempt.alias("beside")
_IN_COMPANY = exists().where(
    _beside.c.worker == bindparam("_worker"),
    _beside.c.state == AttemptState.RUNNING,
    _beside.c.suspect,
    _beside.c.ended_at.is_(None),
    _beside.c.vendor_batch_id.is_(None),
)
"""Another suspect runs in this process: if it is lost with both, nobody knows whose crash that is."""
_GIVE_BACK = (
    update(attempt)
    .where(
        attempt.c.id == bindparam("_id"),
        attempt.c.state == AttemptState.DISPATCHED,
        or_(_CLOSED, HELD, attempt.c.suspect & _IN_COMPANY),
    )
    .values(start_by=attempt.c.granted_at - 1)
)
_ANY_CLAIM = (
    update(attempt)
    .where(
        attempt.c.id == bindparam("_id"),
        attempt.c.state == AttemptState.DISPATCHED,
        attempt.c.start_by >= wall_clock(),
        exists().where(subtask.c.id == attempt.c.subtask_id, subtask.c.state == SubtaskState.DISPATCHED),
        ~_CLOSED,
        ~HELD,
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
)
_CLAIM = _ANY_CLAIM.where(~attempt.c.suspect)
_CLAIM_SUSPECT = _ANY_CLAIM.where(attempt.c.suspect, ~_IN_COMPANY)
_FOUND = (
    select(
        attempt.c.id,
        attempt.c.subtask_id,
        attempt.c.job_id,
        attempt.c.state,
        attempt.c.suspect,
        attempt.c.fence,
        attempt.c.claim_token,
        attempt.c.claimed_at,
        attempt.c.budget,
        attempt.c.promised_output_tokens,
        subtask.c.state.label("subtask_state"),
        subtask.c.handoff,
    )
    .join(subtask, subtask.c.id == attempt.c.subtask_id)
    .where(attempt.c.id.in_(bindparam("_ids", expanding=True)))
)


def claim(
    ledger: Ledger, deliveries: Sequence[Delivery], lease_seconds: float
) -> list[Claim | Refusal | Unreadable]:
    """Takes the attempts that are still to be started; answers every delivery in its place. Raises
    MovedMeanwhile where a subtask was cancelled at this very moment, and then nothing is taken."""
    # In one order for everybody, so that two groups with the same attempts cannot wait for each other.
    asked: list[dict[str, Any]] = [
        {"_id": each.attempt, "_worker": each.worker, "_token": each.token, "_lease": lease_seconds}
        for each in sorted(deliveries, key=lambda each: each.attempt)
    ]
    with ledger.write() as connection:
        connection.execute(_CLAIM, asked)
        found = _find(connection, asked)
        suspects = [each for each in asked if _waits(found, each) and found[each["_id"]].suspect]
        if suspects:
            _claim_suspects(connection, suspects)
            found |= _find(connection, suspects)
        _start_subtasks(connection, deliveries, found)
        refused = [each for each in asked if _waits(found, each)]
        if refused:
            connection.execute(_GIVE_BACK, refused)
    return [_answer(each, found.get(each.attempt)) for each in deliveries]


def _find(connection: Connection, asked: Iterable[dict[str, Any]]) -> dict[str, Any]:
    ids = {each["_id"] for each in asked}
    return {row.id: row for row in connection.execute(_FOUND, {"_ids": list(ids)})}


def _waits(found: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether nobody has taken it yet."""
    row = found.get(asked["_id"])
    return row is not None and row.state == AttemptState.DISPATCHED


def _claim_suspects(connection: Connection, asked: list[dict[str, Any]]) -> None:
    """Takes one of them for each process that holds none. A second transaction of the same process, whose first
    answer was lost, waits at its worker's row until this one is over, and then sees what it took."""
    names = sorted({each["_worker"] for each in asked})
    rows = select(worker.c.id).where(worker.c.id.in_(names)).order_by(worker.c.id)
    connection.execute(rows.with_for_update()).all()
    connection.execute(_CLAIM_SUSPECT, asked)


def _start_subtasks(connection: Connection, deliveries: Iterable[Delivery], found: dict[str, Any]) -> None:
    """Moves the subtasks of what was just taken; those of an earlier claim with the same token have moved."""
    taken: dict[str, dict[str, Any]] = defaultdict(dict)
    for each in deliveries:
        row: Any = found.get(each.attempt)
        if _is_held(each, row) and row.subtask_state != SubtaskState.RUNNING:
            taken[each.worker][row.id] = row
    for worker_id, rows in taken.items():
        at = max(row.claimed_at for row in rows.values())
        move_subtasks(connection, [_move(row) for row in rows.values()], worker_id, at)


def _move(row: Any) -> SubtaskMove:
    return SubtaskMove(
        row.subtask_id,
        row.job_id,
        SubtaskState.DISPATCHED,
        SubtaskState.RUNNING,
        "claimed",
        attempt_id=row.id,
    )


def _answer(delivery: Delivery, row: Any) -> Claim | Refusal | Unreadable:
    """The claim, whether it succeeded just now or before; or why somebody else has it or nobody."""
    if row is None:
        return Refusal("no such attempt")
    if _is_held(delivery, row):
        held = row.id, row.subtask_id, row.job_id, row.fence, delivery.token
        try:
            return Claim(*held, _handoff(row))
        except ValidationError as error:
            return Unreadable(*held, unread(error))
    if row.state == AttemptState.DISPATCHED:
        beside = "another suspect runs in this process, " if row.suspect else ""
        return Refusal(
            f"{beside}its start-by has passed, its account has closed, it is paused, or its subtask was cancelled"
        )
    return Refusal(f"the attempt is {row.state}")


def unread(error: ValidationError) -> str:
    """Why a handoff cannot be read."""
    return f"its handoff was written by newer code: {faults(error.errors())}"[:2000]


def _handoff(row: Any) -> Handoff:
    """The handoff, with the account that pays for this attempt and the output it was promised."""
    handoff = Handoff.model_validate(row.handoff)
    if handoff.route is None or row.budget is None:
        return handoff
    chosen = {"account": account_of(row.budget), "max_output_tokens": row.promised_output_tokens}
    return handoff.model_copy(update={"route": handoff.route.model_copy(update=chosen)})


def _is_held(delivery: Delivery, row: Any) -> bool:
    return row is not None and row.state == AttemptState.RUNNING and row.claim_token == delivery.token


def heartbeat(ledger: Ledger, held: Iterable[Claim], lease_seconds: float) -> frozenset[str]:
    """Extends the leases of all held attempts with one statement. Answers the attempts to stop: those
    fenced out, past their own deadline, killed by a switch, or of a job that is being cancelled or whose time
    is up. Their leases run on, so that they end even where nobody hears it."""
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
                ~TOLD_TO_STOP,
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
                or_(job.c.stop_at.is_(None), job.c.stop_at > wall_clock()),
                ~TOLD_TO_STOP,
            )
        ).all()
        going = {row.id for row in alive if fences[row.id] == row.fence}
        stop = frozenset(fences) - going
        if stop:
            note_killed(
                connection, tuple_(attempt.c.id, attempt.c.fence).in_([(i, fences[i]) for i in sorted(stop)])
            )
    return stop


def standing(claim: Claim) -> Select[str]:
    """The claim's attempt, as long as its fence stands."""
    return select(attempt.c.id).where(
        attempt.c.id == claim.attempt,
        attempt.c.fence == claim.fence,
        attempt.c.state == AttemptState.RUNNING,
    )
