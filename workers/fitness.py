"""Fitness: a worker that lacks what any work needs fails in no time, and so would take most of what there is.

After so many attempts in a row it takes no more and leaves, so that whoever supervises it starts it anew.
"""

from multiprocessing.sharedctypes import RawValue

from contracts.failures import Code
from contracts.reports import Failed, Report

UNFIT_IN_A_ROW = 3
"""So few that little is lost. What is too large for any process, tried as often with nothing between, ends a sound
worker, too, which costs a start."""


class Fitness:
    """What one worker's attempts have lately told of it; shared with the children that it forks."""

    def __init__(self) -> None:
        """Made before any fork."""
        # Without a lock, which a child that is killed would keep: two at once count as one at worst.
        self._in_a_row = RawValue("i", 0)

    @property
    def lost(self) -> bool:
        """Whether the last attempts, and so many of them, failed of what the worker lacks."""
        return int(self._in_a_row.value) >= UNFIT_IN_A_ROW

    def ended(self, report: Report) -> None:
        """Learns of how an attempt ended. A loss stays, whatever ends after it."""
        unfit = isinstance(report.outcome, Failed) and report.outcome.failure.code is Code.UNFIT_WORKER
        if not self.lost:
            self._in_a_row.value = self._in_a_row.value + 1 if unfit else 0
