"""The door: all that a worker may do to the ledger. Claim, beat, report, artifacts, effects; no decision.

Each call is one short transaction. A claim raises the fence, and a report counts only at the fence it was
claimed at; what comes later is written down and dropped.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Double, Select, bindparam, exists, insert, select, tuple_, update

from contracts.artifacts import ArtifactRef
from contracts.handoffs import EffectGrant, Handoff
from contracts.lanes import Lane
from contracts.reports import Report
from contracts.states import AttemptState, SubtaskState
from orchestrator.artifacts import ArtifactMissing, ArtifactStore
from orchestrator.catalog_files import load_catalog
from orchestrator.ledger import events
from orchestrator.ledger.clock import now, wall_clock
from orchestrator.ledger.engine import Ledger, LedgerUnreachable
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.moves import MovedMeanwhile, SubtaskMove, move_subtasks
from orchestrator.ledger.tables import attempt, effect, job, subtask, worker
from orchestrator.settings import Settings
from orchestrator.wake import ring

__all__ = [
    "ArtifactMissing",
    "Claim",
    "Door",
    "FencedOut",
    "LedgerUnreachable",
    "Refusal",
    "WorkerCard",
    "WorkerPaces",
    "open_door",
    "worker_paces",
]


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


@dataclass(frozen=True)
class WorkerCard:
    """What a worker says about itself at its start."""

    id: str
    lanes: tuple[str, ...]
    handlers: tuple[str, ...]
    slots: int
    version: str


@dataclass(frozen=True)
class WorkerPaces:
    """What a worker process has to know of the fleet before it can knock."""

    broker_url: str
    heartbeat_seconds: float
    catalog_dir: Path | None

    def lanes(self) -> dict[str, Lane]:
        """The lanes of the catalog; raises CatalogError."""
        return load_catalog(self.catalog_dir).lanes


class Door:
    """A worker process's way to the ledger and the artifact store."""

    def __init__(self, ledger: Ledger, store: ArtifactStore, lease_seconds: float) -> None:
        self._ledger = ledger
        self._store = store
        self._lease_seconds = lease_seconds

    def announce(self, card: WorkerCard) -> None:
        """Writes the worker's row, or refreshes it after a restart."""
        values = {
            "lanes": list(card.lanes),
            "handlers": list(card.handlers),
            "slots": card.slots,
            "version": card.version,
            "stopped_at": None,
        }
        with self._ledger.write() as connection:
            at = now(connection)
            times = {"started_at": at, "beat_at": at}
            known = update(worker).where(worker.c.id == card.id).values(**values, **times)
            if connection.execute(known).rowcount == 0:
                connection.execute(insert(worker).values(id=card.id, **values, **times))
            ring(connection)

    def beat(self, worker_id: str) -> None:
        """Says that the worker lives."""
        with self._ledger.write() as connection:
            connection.execute(update(worker).where(worker.c.id == worker_id).values(beat_at=wall_clock()))

    def leave(self, worker_id: str) -> None:
        """Says that the worker takes no more."""
        with self._ledger.write() as connection:
            connection.execute(update(worker).where(worker.c.id == worker_id).values(stopped_at=wall_clock()))

    def claim(self, attempt_id: str, worker_id: str, token: str) -> Claim | Refusal:
        """Takes an attempt that is still to be started. `token` names this delivery of the doorbell: claiming
        again with it after a lost answer succeeds, and a second delivery does not."""
        try:
            return self._take(attempt_id, worker_id, token)
        except MovedMeanwhile:
            return Refusal("its subtask was cancelled at this very moment")

    def _take(self, attempt_id: str, worker_id: str, token: str) -> Claim | Refusal:
        with self._ledger.write() as connection:
            taken = connection.execute(
                _CLAIM,
                {"_id": attempt_id, "_worker": worker_id, "_token": token, "_lease": self._lease_seconds},
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

    def heartbeat(self, held: Iterable[Claim]) -> frozenset[str]:
        """Extends the leases of all held attempts with one statement. Answers the attempts to stop: those
        fenced out, past their own deadline, or of a job that is being cancelled."""
        fences = {claim.attempt: claim.fence for claim in held}
        if not fences:
            return frozenset()
        with self._ledger.write() as connection:
            connection.execute(
                update(attempt)
                .where(
                    tuple_(attempt.c.id, attempt.c.fence).in_(list(fences.items())),
                    attempt.c.state == AttemptState.RUNNING,
                    attempt.c.deadline_at > wall_clock(),
                )
                .values(lease_until=wall_clock() + self._lease_seconds)
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

    def report(self, claim: Claim, report: Report, worker_id: str) -> bool:
        """Hands in the report. False where the fence has moved on: it is written down and dropped."""
        with self._ledger.write() as connection:
            reported_at = connection.execute(
                _REPORT,
                {
                    "_id": claim.attempt,
                    "_fence": claim.fence,
                    "_report": report.model_dump(mode="json"),
                    "_seconds": report.worker_seconds,
                },
            ).scalar_one_or_none()
            if reported_at is None:
                return _stale(connection, claim, worker_id)
            move = SubtaskMove(
                claim.subtask,
                claim.job,
                SubtaskState.RUNNING,
                SubtaskState.REPORTED,
                report.outcome.kind,
                attempt_id=claim.attempt,
            )
            move_subtasks(connection, [move], worker_id, reported_at)
            ring(connection)
        return True

    def get(self, ref: ArtifactRef) -> bytes:
        """The artifact's bytes, checked against their digest; raises ArtifactMissing."""
        return self._store.get(ref.digest)

    def put(self, content: bytes, media_type: str, name: str) -> ArtifactRef:
        """Keeps bytes. The ledger learns of them with the report that names them."""
        return self._store.put(content, media_type, name)

    def begin_effect(self, claim: Claim, grant: EffectGrant, intent: dict[str, Any]) -> dict[str, Any] | None:
        """Writes the intent down before anything is applied; answers an earlier result of this key, if any.
        Raises FencedOut where the attempt was taken away meanwhile."""
        with self._ledger.write() as connection:
            at = now(connection)
            if connection.execute(_standing(claim).with_for_update()).one_or_none() is None:
                raise FencedOut(f"attempt {claim.attempt} was taken away before {grant.target} was touched")
            intended = {
                "key": grant.key,
                "subtask_id": claim.subtask,
                "attempt_id": claim.attempt,
                "target": grant.target,
                "intent": intent,
                "intended_at": at,
            }
            insert_missing(connection, effect, [intended])
            earlier = select(effect.c.result).where(effect.c.key == grant.key)
            result: dict[str, Any] | None = connection.execute(earlier).scalar_one()
            if result is None:
                events.record(connection, _effect_event(claim, grant, EventKind.EFFECT_INTENDED, at))
            return result

    def finish_effect(self, claim: Claim, grant: EffectGrant, result: dict[str, Any]) -> None:
        """Writes the result down, once, and only at the claim's own fence."""
        with self._ledger.write() as connection:
            at = now(connection)
            applied = connection.execute(
                update(effect)
                .where(effect.c.key == grant.key, effect.c.result.is_(None), _standing(claim).exists())
                .values(result=result, applied_at=at, attempt_id=claim.attempt)
            ).rowcount
            if applied:
                events.record(connection, _effect_event(claim, grant, EventKind.EFFECT_APPLIED, at))


def _standing(claim: Claim) -> Select[str]:
    """The claim's attempt, as long as its fence stands."""
    return select(attempt.c.id).where(
        attempt.c.id == claim.attempt,
        attempt.c.fence == claim.fence,
        attempt.c.state == AttemptState.RUNNING,
    )


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


_REPORT = (
    update(attempt)
    .where(
        attempt.c.id == bindparam("_id"),
        attempt.c.fence == bindparam("_fence"),
        attempt.c.state == AttemptState.RUNNING,
    )
    .values(
        state=AttemptState.REPORTED,
        reported_at=wall_clock(),
        report=bindparam("_report"),
        worker_seconds=bindparam("_seconds"),
    )
    .returning(attempt.c.reported_at)
)


def _stale(connection: Connection, claim: Claim, worker_id: str) -> bool:
    """Whether this very report had been accepted before and only its answer was lost."""
    row = connection.execute(
        select(attempt.c.state, attempt.c.fence, attempt.c.claim_token, attempt.c.report).where(
            attempt.c.id == claim.attempt
        )
    ).one()
    if row.report is not None and row.fence == claim.fence and row.claim_token == claim.token:
        return True
    stale = Event(
        at=now(connection),
        kind=EventKind.ATTEMPT_STALE,
        actor=worker_id,
        job_id=claim.job,
        subtask_id=claim.subtask,
        attempt_id=claim.attempt,
        sentence=f"a report at fence {claim.fence} came late: the attempt is {row.state}",
    )
    events.record(connection, stale)
    return False


def open_door(settings: Settings | None = None) -> Door:
    """A door by the environment's settings, connected at first use."""
    settings = settings or Settings()
    return Door(Ledger(settings.ledger_url), ArtifactStore(settings.store_url), settings.lease_seconds)


def worker_paces(settings: Settings | None = None) -> WorkerPaces:
    """The paces by the environment's settings."""
    settings = settings or Settings()
    return WorkerPaces(settings.broker_url, settings.heartbeat_seconds, settings.catalog)


def _effect_event(claim: Claim, grant: EffectGrant, kind: EventKind, at: float) -> Event:
    return Event(
        at=at,
        kind=kind,
        actor=claim.handoff.assignment.lane,
        job_id=claim.job,
        subtask_id=claim.subtask,
        attempt_id=claim.attempt,
        sentence=f"{grant.target} by key {grant.key[:19]}…",
    )
