"""Pid files: what a supervisor that was killed has left running, and its end."""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.up.identity import identity_of

_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class PidFile:
    """One child's pid file. It holds the process id and what makes that id unique."""

    path: Path

    def write(self, pid: int) -> None:
        self.path.write_text(json.dumps({"pid": pid, "identity": identity_of(pid)}), encoding="utf-8")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def running(self) -> int | None:
        """The process id, if that very process still runs."""
        try:
            noted = json.loads(self.path.read_text(encoding="utf-8"))
            pid, identity = int(noted["pid"]), noted["identity"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return pid if identity is not None and identity_of(pid) == identity else None


def end_leftovers(run_dir: Path, say: Callable[[str], None]) -> None:
    """Ends what pid files of an earlier supervisor name. Only the holder of the directory's lock may ask."""
    files = [PidFile(path) for path in sorted(run_dir.glob("*.pid"))]
    left = {file.path.stem: pid for file in files if (pid := file.running()) is not None}
    if left:
        say(f"ending what an earlier run left behind: {', '.join(left)}")
    for pid in left.values():
        signal_group(pid, signal.SIGTERM)
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until and any(file.running() for file in files):
        time.sleep(0.05)
    for file in files:
        if (pid := file.running()) is not None:
            signal_group(pid, signal.SIGKILL)
        file.remove()


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signals a child and its own children; each child leads a process group of its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
