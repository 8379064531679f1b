"""Events: what happened, in the transaction that made it happen."""

import json
from dataclasses import dataclass, fields
from enum import StrEnum

from sqlalchemy import JSON, Connection, Text, bindparam, cast, column, func, insert, select

from orchestrator.ledger.tables import event


class EventKind(StrEnum):
    """Every kind of event there is."""

    JOB_MOVED = "job_moved"
    SUBTASK_MOVED = "subtask_moved"
    ATTEMPT_STALE = "attempt_stale"
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


_COLUMNS = [field.name for field in fields(Event)]
_INSERT = insert(event)
_ROWS = func.json_to_recordset(cast(bindparam("rows", type_=Text), JSON)).table_valued(
    *(column(name, event.c[name].type) for name in _COLUMNS)
)
_INSERT_JSON = _INSERT.from_select(_COLUMNS, select(*_ROWS.render_derived(with_types=True).c))


def record(connection: Connection, *events: Event) -> None:
    """Writes the events in the order given."""
    rows = [vars(entry) for entry in events]
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        # As one value: a parameter for each column of each event costs the sender three times as much.
        connection.execute(_INSERT_JSON, {"rows": json.dumps(rows)})
    else:
        connection.execute(_INSERT, rows)
