"""The supervisor: it starts children, starts them again when they die, and drains them in order."""

import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orchestrator.up.child import Child, Spec
from orchestrator.up.statedir import StateDir


@dataclass(frozen=True)
class Backoff:
    """How long a child that died waits: longer each time, until it has stayed up for a while."""

    first_seconds: float = 0.5
    cap_seconds: float = 30.0
    steady_seconds: float = 60.0

    def delay(self, restarts: int) -> float:
        return min(self.cap_seconds, self.first_seconds * 2.0 ** min(restarts, 16))


class Supervisor:
    """Watches its children from a thread of its own.

    One thread starts, restarts and ends them after the first start, so that the order in which they end is
    decided in one place. `say` is called from that thread, a sentence at a time.
    """

    def __init__(
        self,
        state: StateDir,
        say: Callable[[str], None],
        backoff: Backoff = Backoff(),
        look_seconds: float = 0.2,
    ) -> None:
        self._state, self._say, self._backoff, self._look_seconds = state, say, backoff, look_seconds
        self._children: list[Child] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, specs: Iterable[Spec]) -> list[Child]:
        """Starts them and keeps them running from now on."""
        children = [Child(spec, self._state) for spec in specs]
        with self._lock:
            for child in children:
                child.start(time.monotonic())
                self._children.append(child)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
            self._thread.start()
        return children

    def children(self) -> list[Child]:
        with self._lock:
            return list(self._children)

    def stop(self, in_a_hurry: Callable[[], bool] = lambda: False) -> None:
        """Drains everything and returns when it is over; once `in_a_hurry`, kills whoever is left."""
        self._stopping.set()
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(0.1)
            if in_a_hurry():
                self._hurry.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._look_seconds):
            with self._lock:
                for child in self._children:
                    self._look_after(child, time.monotonic())
        with self._lock:
            self._drain()

    def _look_after(self, child: Child, now: float) -> None:
        if child.due_at is None:
            code = child.ended()
            if code is not None:
                self._plan_restart(child, code, now)
        elif now >= child.due_at:
            self._start_again(child, now)

    def _start_again(self, child: Child, now: float) -> None:
        try:
            child.start(now)
        except OSError as error:  # a full disk, say; the others must not lose their supervisor over it
            child.due_at = now + self._backoff.cap_seconds
            self._say(f"{child.spec.name} could not be started: {error.strerror}")

    def _plan_restart(self, child: Child, code: int, now: float) -> None:
        if now - child.started_at > self._backoff.steady_seconds:
            child.restarts = 0
        delay = self._backoff.delay(child.restarts)
        child.restarts += 1
        child.due_at = now + delay
        self._say(
            f"{child.spec.name} {how_it_ended(code)}; it is started again in {delay:g} s (log: {child.log})"
        )

    def _drain(self) -> None:
        for stage in sorted({child.spec.stage for child in self._children}, reverse=True):
            self._drain_stage([child for child in self._children if child.spec.stage == stage])

    def _drain_stage(self, children: list[Child]) -> None:
        for child in children:
            child.ask_to_end()
        asked_at = time.monotonic()
        for child in children:
            self._await_end(child, asked_at + child.spec.grace_seconds)
            if child.pid is not None and not self._hurry.is_set():
                self._say(
                    f"{child.spec.name} did not end within {child.spec.grace_seconds:g} s and was killed"
                )
            child.kill()

    def _await_end(self, child: Child, until: float) -> None:
        while child.pid is not None and time.monotonic() < until and not self._hurry.is_set():
            if child.ended() is None:
                time.sleep(0.02)


def how_it_ended(code: int) -> str:
    """A process's end in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
