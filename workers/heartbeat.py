"""The heartbeat: one statement per process keeps the leases of all attempts it holds."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.door import Claim, Door, LedgerUnreachable

log = logging.getLogger(__name__)


STUCK_SECONDS = 240
"""Longer than any read timeout of a lane between two bytes."""


class Heartbeat:
    """Beats in a thread of its own while any attempt is held."""

    def __init__(self, door: Door, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._door = door
        self._monotonic = monotonic
        self._seconds = seconds
        self._held: dict[str, tuple[Claim, threading.Event]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._told_at: dict[str, float] = {}

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[threading.Event]:
        """Keeps the claim's lease; the event is set when the attempt must stop."""
        stopped = threading.Event()
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                thread.start()  # it raises where no memory is left for one, and is tried again by the next attempt
                self._thread = thread
            self._held[claim.attempt] = (claim, stopped)
        try:
            yield stopped
        finally:
            with self._lock:
                self._held.pop(claim.attempt, None)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._seconds):
            try:
                self.beat()
            except Exception:
                log.exception("a heartbeat raised; the leases run on, and it beats again")

    def beat(self) -> None:
        """Extends all leases once, and stops what must be stopped."""
        with self._lock:
            held = dict(self._held)
        try:
            stop = self._door.heartbeat([claim for claim, _ in held.values()])
        except LedgerUnreachable as error:
            log.warning("%s; the leases run on", error)
            return
        for attempt in stop:
            held[attempt][1].set()
        self._leave_if_stuck(stop)

    def _leave_if_stuck(self, stopped: frozenset[str]) -> None:
        """Ends this process, drained by its own pool, where a thread does not hear that it must stop: a socket
        that drips for ever would hold its slot for ever."""
        now = self._monotonic()
        self._told_at = {
            attempt: self._told_at.get(attempt, now) for attempt in stopped if attempt in self._held
        }
        if any(now - told > STUCK_SECONDS for told in self._told_at.values()):
            log.error("an attempt did not stop for %d s; this process drains and leaves", STUCK_SECONDS)
            os.kill(os.getpid(), signal.SIGTERM)
