"""Leaving: a worker that is told to stop takes no more, and gives back what does not end within its grace.

The parent process is told. Children that it forked learn of it by a number in memory they share, since nobody
signals them.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.sharedctypes import RawValue

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
LAST_WORDS_SECONDS = 2.0
"""For what was given back to end by itself, and for the reports to get through, before the process is ended."""


class Leaving:
    """One worker's way out, from the word to stop to the end of its processes."""

    def __init__(self, grace_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Made before any fork. `monotonic` must show the same time to all processes of the machine."""
        self._grace_seconds = grace_seconds
        self._monotonic = monotonic
        self._until = RawValue("d", 0.0)
        self._lock = threading.Lock()
        self._held: dict[int, Callable[[], None]] = {}
        self._watching: threading.Thread | None = None

    @property
    def begun(self) -> bool:
        """Whether the worker takes no more."""
        return bool(self._until.value)

    @property
    def over(self) -> bool:
        """Whether its grace is over."""
        return self.begun and self._monotonic() >= self._until.value

    def begin(self) -> None:
        """Takes no more from now on; may be called from a signal's handler, and again."""
        if not self.begun:
            self._until.value = self._monotonic() + self._grace_seconds
            threading.Thread(target=self._end, name="leaving", daemon=True).start()

    @contextmanager
    def holding(self, give_back: Callable[[], None]) -> Iterator[None]:
        """Calls `give_back` where the grace is over before the block is."""
        with self._lock:
            if self._watching is None:
                watching = threading.Thread(target=self._watch, name="giving back", daemon=True)
                watching.start()
                self._watching = watching
            self._held[id(give_back)] = give_back
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(id(give_back), None)

    def _watch(self) -> None:
        while not self.over:
            time.sleep(LOOK_SECONDS)
        self.give_back()
        self._leave(LAST_WORDS_SECONDS)

    def give_back(self) -> None:
        """Gives everything back that is still held."""
        with self._lock:
            held = list(self._held.values())
        for each in held:
            with suppress(Exception):  # its lease runs out instead
                each()

    def _end(self) -> None:
        """Ends the parent process a little after its children, where it has not ended by itself."""
        while not self.over:
            time.sleep(LOOK_SECONDS)
        self._leave(2 * LAST_WORDS_SECONDS)

    def _leave(self, seconds: float) -> None:
        time.sleep(seconds)
        log.warning("not everything ended within %g s; this process leaves without it", self._grace_seconds)
        os._exit(0)
