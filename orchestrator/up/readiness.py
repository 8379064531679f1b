"""When a fleet is ready: its API answers, and a live worker stands behind every lane."""

import time
from collections.abc import Callable, Collection, Iterable

from orchestrator.up.child import Child
from orchestrator.up.trouble import CannotStart

STARTS_BEFORE_GIVING_UP = 3


def await_ready(
    missing: Callable[[], Collection[str]],
    children: Callable[[], Iterable[Child]],
    pause: Callable[[float], None],
    patience_seconds: float = 60.0,
) -> None:
    """Returns once nothing is missing; raises CannotStart when a child dies again and again, or it takes too
    long, naming what is missing."""
    until = time.monotonic() + patience_seconds
    while left := missing():
        for child in children():
            if child.restarts >= STARTS_BEFORE_GIVING_UP:
                raise CannotStart(
                    f"{child.spec.name} ended {child.restarts} times while starting; "
                    f"its last words: {child.last_line()} (log: {child.log})"
                )
        if time.monotonic() > until:
            raise CannotStart(
                f"after {patience_seconds:g} s the fleet is not ready: {', '.join(sorted(left))}"
            )
        pause(0.1)
