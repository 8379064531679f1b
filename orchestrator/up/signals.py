"""Ctrl-C and SIGTERM, counted and nothing more.

A handler that raised could strike between the start of a child and the note of it; one that took a lock could
wait for itself. So it counts, and whoever waits looks at the count.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """Somebody asked for the end."""


@dataclass
class Signals:
    """How often the end was asked for: once drains, twice kills."""

    count: int = 0
    raising: bool = False
    """Whether the first one interrupts at once; only where no child can be half started."""

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raises Interrupted out of the block wherever it stands, as for something that waits on a socket."""
        self.check()
        self.raising = True
        try:
            yield
        finally:
            self.raising = False

    def check(self) -> None:
        if self.count:
            raise Interrupted

    def pause(self, seconds: float) -> None:
        """Sleeps, and raises Interrupted if the end is asked for."""
        self.check()
        time.sleep(seconds)
        self.check()

    def in_a_hurry(self) -> bool:
        return self.count > 1

    @classmethod
    @contextmanager
    def heard(cls) -> Iterator["Signals"]:
        """Counts while the block lasts, in the main thread; what was there before is put back after it."""
        signals = cls()

        def count(_number: int, _frame: FrameType | None) -> None:
            signals.count += 1
            if signals.raising:
                signals.raising = False
                raise Interrupted

        before = {number: signal.signal(number, count) for number in _HEARD}
        try:
            yield signals
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
