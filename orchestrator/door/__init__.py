"""The door: all that a worker may do to the ledger. Claim, beat, report, artifacts, effects; no decision.

Each call is one short transaction. A claim raises the fence, and a report counts only at the fence it was
claimed at; what comes later is written down and dropped.
"""

from orchestrator.artifacts import ArtifactMissing, StoreUnreachable
from orchestrator.door import patience
from orchestrator.door.claims import Claim, FencedOut, Refusal, Unreadable
from orchestrator.door.door import Door, WorkerPaces, check_ledger, open_door, worker_paces
from orchestrator.door.effects import Begun, EffectRefused
from orchestrator.door.listening import Pulse, forget, listen
from orchestrator.door.presence import WorkerCard
from orchestrator.door.vendor_batches import CarriedBatch
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.ledger.schema import WrongVersion

__all__ = [
    "ArtifactMissing",
    "Begun",
    "CarriedBatch",
    "Claim",
    "Door",
    "EffectRefused",
    "FencedOut",
    "LedgerUnreachable",
    "Pulse",
    "Refusal",
    "StoreUnreachable",
    "Unreadable",
    "WorkerCard",
    "WorkerPaces",
    "WrongVersion",
    "check_ledger",
    "forget",
    "listen",
    "open_door",
    "patience",
    "worker_paces",
]
