"""The door itself, as one worker process holds it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.artifacts import ArtifactRef
from contracts.failures import Code, Failure
from contracts.handoffs import EffectGrant
from contracts.lanes import Lane
from contracts.reports import Failed, Report
from orchestrator.artifacts import ArtifactStore
from orchestrator.catalog_files import load_catalog
from orchestrator.door import claims, effects, presence, reports, vendor_batches
from orchestrator.door.claims import Claim, Delivery, Refusal, Unreadable
from orchestrator.door.effects import Begun
from orchestrator.door.groups import Groups
from orchestrator.door.presence import WorkerCard
from orchestrator.door.reports import Delivered
from orchestrator.door.vendor_batches import CarriedBatch
from orchestrator.ledger import schema
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.moves import MovedMeanwhile
from orchestrator.settings import Settings

CANCELLED_MEANWHILE = 5
"""How often the members of a batch are claimed anew because one was cancelled at that very moment."""


@dataclass(frozen=True)
class WorkerPaces:
    """What a worker process has to know of the fleet before it can knock."""

    broker_url: str
    heartbeat_seconds: float
    drain_seconds: float
    catalog_dir: Path | None

    def lanes(self) -> dict[str, Lane]:
        """The lanes of the catalog; raises CatalogError."""
        return load_catalog(self.catalog_dir).lanes

    def accounts(self) -> tuple[tuple[str, str], ...]:
        """Vendor and name of every account in the catalog; raises CatalogError."""
        vendors = load_catalog(self.catalog_dir).vendors.values()
        return tuple((vendor.vendor, account) for vendor in vendors for account in vendor.accounts)


class Door:
    """A worker process's way to the ledger and the artifact store; its threads share it."""

    def __init__(self, ledger: Ledger, store: ArtifactStore, lease_seconds: float) -> None:
        self._ledger = ledger
        self._store = store
        self._lease_seconds = lease_seconds
        self._claims = Groups[Delivery, Claim | Refusal | Unreadable](
            lambda asked: claims.claim(ledger, asked, lease_seconds)
        )
        self._reports = Groups[Delivered, bool](lambda handed: reports.hand_in(ledger, handed))

    def announce(self, card: WorkerCard) -> None:
        """Writes the worker's row, or refreshes it after a restart."""
        presence.announce(self._ledger, card)

    def beat(self, worker_id: str, busy: int = 0, heard: bool = False) -> bool:
        """Says that the worker lives, how many of its slots are taken, and whether it has `heard` anything from its
        broker since. Answers whether it has to leave, since it takes nothing although there is work for it."""
        return presence.beat(self._ledger, worker_id, busy, heard)

    def leave(self, worker_id: str) -> None:
        """Says that the worker takes no more."""
        presence.leave(self._ledger, worker_id)

    def claim(self, attempt_id: str, worker_id: str, token: str) -> Claim | Refusal:
        """Takes an attempt that is still to be started. `token` names this delivery of the doorbell: claiming
        again with it after a lost answer succeeds, and a second delivery does not. What this code cannot read goes
        back at once, for newer code."""
        try:
            claim = self._claims.do(Delivery(attempt_id, worker_id, token))
        except MovedMeanwhile:
            return Refusal("its subtask was cancelled at this very moment")
        if isinstance(claim, Unreadable):
            self._give_back(claim, worker_id)
            return Refusal(claim.why)
        return claim

    def _give_back(self, claim: Unreadable, worker_id: str) -> None:
        failure = Failure(code=Code.UNKNOWN_CONTRACT, sentence=claim.why)
        report = Report(outcome=Failed(failure=failure), worker_seconds=0.0)
        self._reports.do(Delivered(claim, report, worker_id))

    def heartbeat(self, held: Iterable[Claim]) -> frozenset[str]:
        """Extends the leases of all held attempts; answers the attempts to stop."""
        return claims.heartbeat(self._ledger, held, self._lease_seconds)

    def report(self, claim: Claim | Unreadable, report: Report, worker_id: str) -> bool:
        """Hands in the report. False where the fence has moved on: it is written down and dropped."""
        return self._reports.do(Delivered(claim, report, worker_id))

    def get(self, ref: ArtifactRef) -> bytes:
        """The artifact's bytes, checked against their digest; raises ArtifactMissing and StoreUnreachable."""
        return self._store.get(ref.digest)

    def put(self, content: bytes, media_type: str, name: str) -> ArtifactRef:
        """Keeps bytes. The ledger learns of them with the report that names them. Raises StoreUnreachable."""
        return self._store.put(content, media_type, name)

    def begin_effect(self, claim: Claim, grant: EffectGrant, intent: dict[str, Any]) -> Begun:
        """Writes the intent down before anything is applied. Answers an earlier result of this key, if any, and
        whether the world has to be read first. Raises FencedOut where the attempt was taken away meanwhile, and
        EffectRefused where the effect may not be applied."""
        return effects.begin(self._ledger, claim, grant, intent)

    def effect_verified(self, claim: Claim, grant: EffectGrant, verification: str) -> None:
        """Writes down what the world shows of an effect whose end nobody knew. Raises FencedOut."""
        effects.verified(self._ledger, claim, grant, verification)

    def finish_effect(self, claim: Claim, grant: EffectGrant, result: dict[str, Any]) -> None:
        """Writes the result down, once, and only at the claim's own fence; where the end of an earlier attempt is
        unknown only after the world was read."""
        effects.finish(self._ledger, claim, grant, result)

    def withdraw_effect(self, claim: Claim, grant: EffectGrant, why: str) -> None:
        """Takes the intent back, since the world refused the effect and nothing of it stands there; only at the
        claim's own fence."""
        effects.withdraw(self._ledger, claim, grant, why)

    def begin_batch(self, claim: Claim, worker_id: str) -> CarriedBatch:
        """Claims the members of the batch that the claim's job carries, and writes down that it is about to be
        handed in. Raises FencedOut where the attempt was taken away meanwhile."""
        for _ in range(CANCELLED_MEANWHILE):
            try:
                return vendor_batches.begin(self._ledger, claim, worker_id)
            except MovedMeanwhile:
                continue  # a member was cancelled at this very moment; the others are claimed without it
        return vendor_batches.begin(self._ledger, claim, worker_id)

    def find_batch(self, claim: Claim) -> CarriedBatch:
        """The batch that the claim's job carries, as it stands. Raises FencedOut."""
        return vendor_batches.found(self._ledger, claim)

    def batch_submitted(self, claim: Claim, worker_id: str, name: str, expires_at: float | None) -> None:
        """Writes down what the vendor calls the batch and when it expires, in seconds since 1970; from here on its
        members wait for it. Raises FencedOut."""
        vendor_batches.submitted(self._ledger, claim, worker_id, name, expires_at)

    def end_batch(self, claim: Claim, state: str, why: str) -> None:
        """Writes down that nothing more comes of the batch; the first end stands. Raises FencedOut."""
        vendor_batches.end(self._ledger, claim, state, why)


def open_door(settings: Settings | None = None) -> Door:
    """A door by the environment's settings, connected at first use."""
    settings = settings or Settings()
    return Door(Ledger(settings.ledger_url), ArtifactStore(settings.store_url), settings.lease_seconds)


def check_ledger(settings: Settings | None = None) -> None:
    """Raises WrongVersion where the ledger is not of this code's version, and LedgerUnreachable."""
    ledger = Ledger((settings or Settings()).ledger_url)
    try:
        schema.check_version(ledger)
    finally:
        ledger.close()


def worker_paces(settings: Settings | None = None) -> WorkerPaces:
    """The paces by the environment's settings."""
    settings = settings or Settings()
    return WorkerPaces(
        settings.broker_url, settings.heartbeat_seconds, settings.drain_seconds, settings.catalog
    )
