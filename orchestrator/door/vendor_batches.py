"""Vendor batches: who carries one may claim and report for all of its members, while its own claim stands.

The intent is written before anything is handed in. Whoever finds it there without a name does not know whether
the vendor took the batch, and must not hand it in again.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, select, update

from contracts.handoffs import Handoff
from contracts.states import AttemptState, SubtaskState
from orchestrator.door.claims import Claim, FencedOut, Unreadable, standing, unread
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.moves import SubtaskMove, move_subtasks
from orchestrator.ledger.tables import attempt, subtask, vendor_batch
from orchestrator.pauses import HELD

LIVES_SECONDS = 24 * 3600.0
"""How long a batch lives whose vendor does not say."""
GRACE_SECONDS = 3600.0
"""Between a batch's end at its vendor and the end of the claims on its members: it may still be collected."""


@dataclass(frozen=True)
class CarriedBatch:
    """A batch as whoever carries it sees it."""

    id: str
    vendor: str
    account: str
    model: str
    name: str | None
    """What its vendor calls it, once that is known."""
    expires_at: float | None
    begun_before: bool
    """Whether an earlier attempt wrote down that it was about to hand it in."""
    members: tuple[Claim | Unreadable, ...]
    """The claims on those that were not reported yet. One that cannot be read keeps no other from the vendor."""


def begin(ledger: Ledger, claim: Claim, worker: str) -> CarriedBatch:
    """Claims the members and writes the intent, and may be asked again where the answer was lost; an intent of an
    earlier attempt is answered as it is. Raises FencedOut, and MovedMeanwhile where a member was cancelled at this
    very moment."""
    with ledger.write() as connection:
        at, row = now(connection), _carried(connection, claim)
        begun_before = row.begun_at is not None and not _began(connection, row.id, claim)
        if row.begun_at is None:
            _claim_members(connection, row.id, claim, worker, at)
            _set(connection, row.id, state="begun", begun_at=at)
        return _told(connection, row, begun_before)


def found(ledger: Ledger, claim: Claim) -> CarriedBatch:
    """The batch as it stands. Raises FencedOut."""
    with ledger.write() as connection:
        row = _carried(connection, claim)
        return _told(connection, row, row.begun_at is not None)


def submitted(ledger: Ledger, claim: Claim, worker: str, name: str, expires_at: float | None) -> None:
    """The vendor took it: its members wait for it from now on, without a slot. Raises FencedOut."""
    with ledger.write() as connection:
        at, row = now(connection), _carried(connection, claim)
        until = expires_at or at + LIVES_SECONDS
        _set(connection, row.id, state="submitted", name=name, expires_at=until)
        moves = [
            SubtaskMove(
                member.subtask_id,
                member.job_id,
                SubtaskState.RUNNING,
                SubtaskState.SUBMITTED,
                f"handed to {row.vendor} in batch {name}"[:2000],
                attempt_id=member.id,
            )
            for member in _open_members(connection, row.id)
            if member.subtask_state == SubtaskState.RUNNING
        ]
        ends = {"lease_until": until + GRACE_SECONDS, "deadline_at": until + GRACE_SECONDS}
        connection.execute(
            update(attempt)
            .where(attempt.c.vendor_batch_id == row.id, attempt.c.state == AttemptState.RUNNING)
            .values(**ends)
        )
        move_subtasks(connection, moves, worker, at)


def end(ledger: Ledger, claim: Claim, state: str, why: str) -> None:
    """Nothing more comes of it; the first end stands. Raises FencedOut."""
    with ledger.write() as connection:
        at, row = now(connection), _carried(connection, claim)
        if row.ended_at is None:
            _set(connection, row.id, state=state, why=why, ended_at=at)


def _carried(connection: Connection, claim: Claim) -> Any:
    """The batch of the claim's job, locked, while the claim stands."""
    if connection.execute(standing(claim).with_for_update()).one_or_none() is None:
        raise FencedOut(f"attempt {claim.attempt} was taken away; it carries its batch no more")
    query = select(vendor_batch).where(vendor_batch.c.job_id == claim.job).with_for_update()
    return connection.execute(query).one()


def _began(connection: Connection, batch_id: str, claim: Claim) -> bool:
    """Whether the intent is this very claim's, of which only the answer was lost."""
    return any(member.claim_token == claim.token for member in _open_members(connection, batch_id))


def _set(connection: Connection, batch_id: str, **values: Any) -> None:
    connection.execute(update(vendor_batch).where(vendor_batch.c.id == batch_id).values(**values))


def _claim_members(connection: Connection, batch_id: str, claim: Claim, worker: str, at: float) -> None:
    """All that are still to be started and that no switch holds. The others return by themselves."""
    rows = connection.execute(
        select(attempt.c.id, attempt.c.subtask_id, attempt.c.job_id)
        .join(subtask, subtask.c.id == attempt.c.subtask_id)
        .where(
            attempt.c.vendor_batch_id == batch_id,
            attempt.c.state == AttemptState.DISPATCHED,
            attempt.c.start_by >= at,
            subtask.c.state == SubtaskState.DISPATCHED,
            ~HELD,
        )
        .order_by(attempt.c.id)
        .with_for_update(of=attempt)
    ).all()
    until = at + attempt.c.allowed_seconds
    connection.execute(
        update(attempt)
        .where(attempt.c.id.in_([row.id for row in rows]))
        .values(
            state=AttemptState.RUNNING,
            fence=attempt.c.fence + 1,
            worker=worker,
            claim_token=claim.token,
            claimed_at=at,
            lease_until=until,
            deadline_at=until,
            queue_seconds=attempt.c.queue_seconds + at - attempt.c.granted_at,
        )
    )
    dispatched, running = SubtaskState.DISPATCHED, SubtaskState.RUNNING
    moves = [
        SubtaskMove(r.subtask_id, r.job_id, dispatched, running, "claimed for a batch", attempt_id=r.id)
        for r in rows
    ]
    move_subtasks(connection, moves, worker, at)


def _open_members(connection: Connection, batch_id: str) -> list[Any]:
    query = (
        select(
            attempt.c.id,
            attempt.c.subtask_id,
            attempt.c.job_id,
            attempt.c.fence,
            attempt.c.claim_token,
            subtask.c.handoff,
            subtask.c.state.label("subtask_state"),
        )
        .join(subtask, subtask.c.id == attempt.c.subtask_id)
        .where(attempt.c.vendor_batch_id == batch_id, attempt.c.state == AttemptState.RUNNING)
        .order_by(attempt.c.id)
    )
    return list(connection.execute(query))


def _told(connection: Connection, row: Any, begun_before: bool) -> CarriedBatch:
    members = tuple(_claim(member, row.account) for member in _open_members(connection, row.id))
    return CarriedBatch(
        id=row.id,
        vendor=row.vendor,
        account=row.account,
        model=row.model,
        name=row.name,
        expires_at=row.expires_at,
        begun_before=begun_before,
        members=members,
    )


def _claim(member: Any, account: str) -> Claim | Unreadable:
    """The claim on a member, whose request goes by the account that was chosen for the batch."""
    held = member.id, member.subtask_id, member.job_id, member.fence, member.claim_token
    submitted = member.subtask_state == SubtaskState.SUBMITTED
    try:
        handoff = Handoff.model_validate(member.handoff)
    except ValidationError as error:
        return Unreadable(*held, unread(error), submitted)
    if handoff.route is not None:
        chosen = handoff.route.model_copy(update={"account": account})
        handoff = handoff.model_copy(update={"route": chosen})
    return Claim(*held, handoff, submitted)
