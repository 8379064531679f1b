"""Events: what happened, in the transaction that made it happen."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, insert

from orchestrator.ledger.tables import event


class EventKind(StrEnum):
    """Every kind of event there is."""

    JOB_MOVED = "job_moved"
    SUBTASK_MOVED = "subtask_moved"
    ATTEMPT_STALE = "attempt_stale"
    ATTEMPT_ANSWERED = "attempt_answered"
    """An answer came in after its attempt was given back, and took the place of that."""
    ATTEMPT_SETTLED = "attempt_settled"
    EFFECT_INTENDED = "effect_intended"
    EFFECT_APPLIED = "effect_applied"
    APPROVAL_ASKED = "approval_asked"
    APPROVAL_ANSWERED = "approval_answered"
    APPROVAL_LAPSED = "approval_lapsed"
    CANCEL_REQUESTED = "cancel_requested"
    DEAD_LETTER_DISCARDED = "dead_letter_discarded"
    WEBHOOK_DELIVERED = "webhook_delivered"
    WEBHOOK_GAVE_UP = "webhook_gave_up"
    STALLED = "stalled"
    ESCALATED = "escalated"
    ACKNOWLEDGED = "acknowledged"
    LED = "led"
    BUDGET_LEARNED = "budget_learned"
    """A vendor's answer changed what is thought of its account."""
    REPLAY_OPENED = "replay_opened"
    REPLAY_ENDED = "replay_ended"
    PAUSED = "paused"
    RESUMED = "resumed"
    BLOCKED = "blocked"
    UNBLOCKED = "unblocked"
    TAINTED = "tainted"
    EFFECT_VERIFIED = "effect_verified"
    EFFECT_WITHDRAWN = "effect_withdrawn"
    """The world refused the effect, and nothing of it stands there."""
    EFFECT_SETTLED = "effect_settled"
    """A person looked, and says whether an effect was applied whose end nobody knew."""
    WORKER_SILENT = "worker_silent"
    """A live worker that claims nothing although there is work for it."""
    INVARIANT_BROKEN = "invariant_broken"
    FLAWED = "flawed"
    """A subtask or job whose handling raised; it is parked instead of stopping the loop."""


@dataclass(frozen=True)
class Event:
    at: float
    kind: EventKind
    actor: str
    job_id: str | None = None
    subtask_id: str | None = None
    attempt_id: str | None = None
    old: str | None = None
    new: str | None = None
    sentence: str = ""


_INSERT = insert(event)


def record(connection: Connection, *events: Event) -> None:
    """Writes the events in the order given."""
    if events:
        connection.execute(_INSERT, [vars(entry) for entry in events])
