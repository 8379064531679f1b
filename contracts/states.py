"""The states of jobs, subtasks and attempts, and the only moves that are allowed between them.

Every move writes an event in the transaction that makes it. The letters are those of the diagram in
ARCHITECTURE.md.
"""

from enum import StrEnum
from typing import TypeVar


class JobState(StrEnum):
    ACCEPTED = "accepted"
    """In: intake. Out: planned, or cancelled before that."""
    RUNNING = "running"
    """In: planned, or an approval was answered. Out: an approval is asked for, or an end."""
    AWAITING_APPROVAL = "awaiting_approval"
    """In: an approval step became ready. Out: the answer, or cancelled."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SubtaskState(StrEnum):
    WAITING = "waiting"
    """In: planned. Out: the steps it needs have delivered, or never will."""
    READY = "ready"
    """In: its needs are met, or a retry. Out: dispatched once `not_before` passed and its budget allows, or done
    with the answer that the same question had before."""
    DISPATCHED = "dispatched"
    """In: an attempt was granted. Out: claimed, or back to ready when the start-by passed."""
    RUNNING = "running"
    """In: a worker claimed the attempt. Out: reported, or the lease ran out."""
    SUBMITTED = "submitted"
    """In: handed to a vendor's batch. Out: the batch's result is reported, or its time ran out."""
    REPORTED = "reported"
    """In: the worker's report was accepted. Out: the orchestrator's decision; a sealed verdict waits here."""
    PARKED = "parked"
    """In: a person is asked, a spending cap holds it, it lacks a prerequisite, or its handling raised. Out: the
    answer, room again, or what it lacked."""
    DONE = "done"
    DEAD = "dead"
    """In: a failure that nothing declared can repair. Kept whole as a dead letter."""
    SKIPPED = "skipped"
    """In: what it needs will never come, and its step or its join says so."""
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    DISPATCHED = "dispatched"
    RUNNING = "running"
    REPORTED = "reported"
    SETTLED = "settled"
    """The report was applied and its reservation corrected to what was used."""
    RETURNED = "returned"
    """Never run: its start-by passed. Refunded, and no attempt is counted."""
    LOST = "lost"
    """Its lease ran out. Charged at the reservation, since nobody knows what was used."""


JOB_ENDS = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
SUBTASK_ENDS = frozenset({SubtaskState.DONE, SubtaskState.DEAD, SubtaskState.SKIPPED, SubtaskState.CANCELLED})

JOB_MOVES: dict[tuple[JobState, JobState], str] = {
    (JobState.ACCEPTED, JobState.RUNNING): "A planned",
    (JobState.ACCEPTED, JobState.FAILED): "B could not be planned",
    (JobState.ACCEPTED, JobState.CANCELLED): "C cancelled before it was planned",
    (JobState.RUNNING, JobState.AWAITING_APPROVAL): "D a person is asked",
    (JobState.AWAITING_APPROVAL, JobState.RUNNING): "E the person answered",
    (JobState.RUNNING, JobState.DONE): "F its result stands",
    (JobState.RUNNING, JobState.FAILED): "G its result can no longer come",
    (JobState.RUNNING, JobState.CANCELLED): "H cancelled",
    (JobState.AWAITING_APPROVAL, JobState.CANCELLED): "H cancelled",
    (JobState.AWAITING_APPROVAL, JobState.FAILED): "G its result can no longer come",
}

_S = SubtaskState
SUBTASK_MOVES: dict[tuple[SubtaskState, SubtaskState], str] = {
    (_S.WAITING, _S.READY): "a needs are met",
    (_S.WAITING, _S.SKIPPED): "b needs will never be met",
    (_S.WAITING, _S.PARKED): "c a person is asked",
    (_S.WAITING, _S.DEAD): "d a gate refuses it",
    (_S.READY, _S.DISPATCHED): "e granted",
    (_S.READY, _S.DEAD): "d a gate refuses it",
    (_S.READY, _S.PARKED): "c a spending cap leaves no room, or it lacks something",
    (_S.READY, _S.DONE): "u answered as the same question was before",
    (_S.DISPATCHED, _S.READY): "f start-by passed, returned unrun",
    (_S.DISPATCHED, _S.RUNNING): "g claimed",
    (_S.RUNNING, _S.REPORTED): "h reported",
    (_S.RUNNING, _S.SUBMITTED): "i handed to a vendor's batch",
    (_S.SUBMITTED, _S.REPORTED): "h reported",
    (_S.RUNNING, _S.READY): "j lease ran out, or given back",
    (_S.SUBMITTED, _S.READY): "j lease ran out",
    (_S.RUNNING, _S.DEAD): "k crashed too often",
    (_S.SUBMITTED, _S.DEAD): "k crashed too often",
    (_S.REPORTED, _S.DONE): "l accepted",
    (_S.REPORTED, _S.READY): "m retried",
    (_S.REPORTED, _S.DEAD): "n cannot be repaired",
    (_S.REPORTED, _S.SKIPPED): "o failed, and its step says skip",
    (_S.REPORTED, _S.PARKED): "t it lacks something, a person is asked, or its handling raised",
    (_S.PARKED, _S.READY): "p released",
    (_S.PARKED, _S.DONE): "q approved",
    (_S.PARKED, _S.DEAD): "r rejected",
    (_S.PARKED, _S.SKIPPED): "s sent back for revision",
} | {
    (state, _S.CANCELLED): "x cancelled"
    for state in (_S.WAITING, _S.READY, _S.DISPATCHED, _S.RUNNING, _S.SUBMITTED, _S.REPORTED, _S.PARKED)
}

_State = TypeVar("_State", JobState, SubtaskState)


class ForbiddenMove(ValueError):
    """A move that no table allows; it is a defect of the caller, never a matter of timing."""

    def __init__(self, old: StrEnum, new: StrEnum) -> None:
        super().__init__(f"a {type(old).__name__} never moves from {old} to {new}")


def check_move(old: _State, new: _State, moves: dict[tuple[_State, _State], str]) -> str:
    """The move's letter and reason; raises ForbiddenMove."""
    try:
        return moves[(old, new)]
    except KeyError:
        raise ForbiddenMove(old, new) from None
