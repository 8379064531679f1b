"""Seals: what must not be shown yet.

A verdict waits in state `reported` until the verdicts it is sealed with are in. Until then nobody outside the
loop may learn what it says, or the second reviewer would not judge alone.
"""

from contracts.states import SubtaskState


def sealed(subtask_state: str) -> bool:
    """Whether summary, reports and artifacts of a subtask in this state are to be hidden."""
    return subtask_state == SubtaskState.REPORTED
