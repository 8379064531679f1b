"""A child that does one thing and ends, before the others may start."""

import time
from collections.abc import Callable

from orchestrator.up.child import Child, Spec
from orchestrator.up.statedir import StateDir
from orchestrator.up.trouble import CannotStart


def run_once(
    spec: Spec, state: StateDir, pause: Callable[[float], None], patience_seconds: float = 60.0
) -> None:
    """Runs it to its end; raises CannotStart with its last words if that is no good one."""
    child = Child(spec, state)
    child.start(time.monotonic())
    until = time.monotonic() + patience_seconds
    try:
        while (code := child.ended()) is None:
            if time.monotonic() > until:
                raise CannotStart(f"{spec.name} took longer than {patience_seconds:g} s (log: {child.log})")
            pause(0.05)
    finally:
        child.kill()
    if code != 0:
        raise CannotStart(f"{spec.name} failed: {child.last_line()} (log: {child.log})")
