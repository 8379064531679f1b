"""Attempts: each try at a subtask, with what went out to a vendor and what came back."""

from collections import defaultdict
from datetime import datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, select

from contracts.artifacts import ArtifactRef
from contracts.states import AttemptState
from orchestrator.ledger.tables import attempt, subtask
from orchestrator.reads.base import Read, moment, moment_or_none
from orchestrator.reads.costs import usd
from orchestrator.reads.seals import sealed


class AttemptRead(Read):
    """One try. While its subtask is sealed, nothing of its report is shown."""

    id: str
    number: int
    state: AttemptState
    worker: str | None
    granted_at: datetime
    claimed_at: datetime | None
    reported_at: datetime | None
    ended_at: datetime | None
    category: str | None
    code: str | None
    sentence: str
    """What the report says in one sentence: the failure, or the summary's text."""
    report: dict[str, JsonValue] | None
    request: ArtifactRef | None
    """What was sent to the vendor."""
    answer: ArtifactRef | None
    """What the vendor answered."""
    vendor: str | None
    model: str | None
    simulated: bool | None
    usd: float
    worker_seconds: float


def attempts_of(connection: Connection, subtask_id: str) -> tuple[AttemptRead, ...]:
    """Every attempt at one subtask, in order."""
    return attempts_by_subtask(connection, [subtask_id]).get(subtask_id, ())


def attempts_by_subtask(connection: Connection, subtask_ids: list[str]) -> dict[str, tuple[AttemptRead, ...]]:
    """The attempts at each of these subtasks, in order."""
    rows = connection.execute(
        select(attempt, subtask.c.state.label("subtask_state"))
        .join(subtask, subtask.c.id == attempt.c.subtask_id)
        .where(attempt.c.subtask_id.in_(subtask_ids))
        .order_by(attempt.c.number, attempt.c.id)
    )
    found: dict[str, list[AttemptRead]] = defaultdict(list)
    for row in rows:
        found[row.subtask_id].append(_read(row))
    return {key: tuple(reads) for key, reads in found.items()}


def _read(row: Any) -> AttemptRead:
    hidden = sealed(row.subtask_state)
    report: dict[str, Any] = {} if hidden else row.report or {}
    call = report.get("call") or {}
    return AttemptRead(
        id=row.id,
        number=row.number,
        state=row.state,
        worker=row.worker,
        granted_at=moment(row.granted_at),
        claimed_at=moment_or_none(row.claimed_at),
        reported_at=moment_or_none(row.reported_at),
        ended_at=moment_or_none(row.ended_at),
        category=None if hidden else row.category,
        code=None if hidden else row.code,
        sentence=_sentence(report.get("outcome") or {}),
        report=report or None,
        request=call.get("request"),
        answer=call.get("answer"),
        vendor=row.vendor,
        model=row.model,
        simulated=row.simulated,
        usd=usd(row.cost_nano_usd),
        worker_seconds=row.worker_seconds,
    )


def _sentence(outcome: dict[str, Any]) -> str:
    match outcome:
        case {"kind": "failed", "failure": {"sentence": str(sentence)}}:
            return sentence
        case {"kind": "completed", "summary": {"text": str(text)}}:
            return text
        case _:
            return ""
