"""Telling: each event of a job as a sentence."""

from datetime import datetime

from orchestrator.ledger.events import EventKind
from orchestrator.reads.base import Read
from orchestrator.reads.events import EventRead


class Happening(Read):
    """One thing that happened, in a sentence."""

    seq: int
    at: datetime
    actor: str
    subtask: str | None
    sentence: str


_VERBS: dict[EventKind, str] = {
    EventKind.ATTEMPT_STALE: "a late report was dropped",
    EventKind.ATTEMPT_ANSWERED: "an attempt that was given back was answered",
    EventKind.ATTEMPT_SETTLED: "an attempt was settled",
    EventKind.EFFECT_INTENDED: "an effect was intended",
    EventKind.EFFECT_APPLIED: "an effect was applied",
    EventKind.EFFECT_WITHDRAWN: "an effect was refused by what it was to change, and not applied",
    EventKind.EFFECT_SETTLED: "a person looked whether an effect was applied",
    EventKind.EFFECT_VERIFIED: "the world was read, as the end of an effect was not known",
    EventKind.TAINTED: "it cannot be trusted",
    EventKind.APPROVAL_ASKED: "a person was asked",
    EventKind.APPROVAL_ANSWERED: "a person answered",
    EventKind.APPROVAL_LAPSED: "the question to a person lapsed",
    EventKind.CANCEL_REQUESTED: "cancelling was requested",
    EventKind.DEAD_LETTER_DISCARDED: "the dead letter was discarded",
    EventKind.WEBHOOK_DELIVERED: "upstream was told",
    EventKind.WEBHOOK_GAVE_UP: "upstream could not be told",
    EventKind.STALLED: "it was found not to move",
    EventKind.ESCALATED: "a person was called",
    EventKind.ACKNOWLEDGED: "a person took note",
    EventKind.FLAWED: "handling it failed",
    EventKind.BLOCKED: "something that it needs is missing",
    EventKind.UNBLOCKED: "what was missing is settled",
    EventKind.INVARIANT_BROKEN: "the ledger was found to break a promise",
    EventKind.PAUSED: "work was held",
    EventKind.RESUMED: "held work goes on",
    EventKind.REPLAY_OPENED: "a replay was opened",
    EventKind.REPLAY_ENDED: "a replay ended",
    EventKind.WORKER_SILENT: "a worker was found silent",
    EventKind.BUDGET_LEARNED: "an account's limits were learned",
    EventKind.LED: "an orchestrator leads",
}


def told(event: EventRead) -> Happening:
    """The event as a sentence: what moved or was decided, and why."""
    subject = event.subtask or "the job"
    if event.kind in (EventKind.JOB_MOVED, EventKind.SUBTASK_MOVED):
        from_ = f" from {event.old}" if event.old else ""
        what = f"{subject} went{from_} to {event.new}"
    else:
        verb = _VERBS[EventKind(event.kind)] if event.kind in set(EventKind) else event.kind
        what = f"{subject}: {verb}"
    why = f": {event.sentence}" if event.sentence else ""
    return Happening(
        seq=event.seq, at=event.at, actor=event.actor, subtask=event.subtask, sentence=f"{what}{why}"
    )
