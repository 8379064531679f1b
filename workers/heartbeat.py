"""The heartbeat: one statement per process keeps the leases of all attempts it holds."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.door import Claim, Door, LedgerUnreachable

log = logging.getLogger(__name__)


class Heartbeat:
    """Beats in a thread of its own while any attempt is held."""

    def __init__(self, door: Door, seconds: float) -> None:
        self._door = door
        self._seconds = seconds
        self._held: dict[str, tuple[Claim, threading.Event]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[threading.Event]:
        """Keeps the claim's lease; the event is set when the attempt must stop."""
        stopped = threading.Event()
        with self._lock:
            self._held[claim.attempt] = (claim, stopped)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                self._thread.start()
        try:
            yield stopped
        finally:
            with self._lock:
                self._held.pop(claim.attempt, None)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._seconds):
            self.beat()

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
