"""One role as a child process: started on a leash, logged to a file, ended with its whole group."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.up import leash
from orchestrator.up.pidfile import PidFile, signal_group
from orchestrator.up.statedir import StateDir

MAX_LOG_BYTES = 10 * 1024**2
_LEASH = Path(leash.__file__)


@dataclass(frozen=True)
class Spec:
    """What to run, and when it has to end."""

    name: str
    """The role; its log and its pid file are called like it."""
    command: tuple[str, ...]
    env: Mapping[str, str]
    """The child's whole environment: it gets what its role needs and nothing else."""
    stage: int
    """Stages start from the lowest and are drained from the highest."""
    grace_seconds: float = 10.0
    """How long a drain may take before the process is killed."""


@dataclass
class Child:
    """A spec and the process that runs it now."""

    spec: Spec
    state: StateDir
    restarts: int = 0
    started_at: float = 0.0
    due_at: float | None = None
    """When it is to be started again, on the monotonic clock; None while it runs."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return self.state.logs / f"{self.spec.name}.log"

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def start(self, now: float) -> None:
        rotate(self.log)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *self.spec.command],
                env=dict(self.spec.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which drains in order
            )
        try:
            self._pid_file().write(self.process.pid)
        except OSError:  # of what nobody knows, another would be started beside it
            self.kill()
            raise
        self.started_at, self.due_at = now, None

    def ended(self) -> int | None:
        """Its exit code, once, when it has ended; whatever is left of its group is ended with it, so that no
        pool outlives the process that led it."""
        code = self.process.poll() if self.process else None
        if code is not None:
            self._forget()
        return code

    def ask_to_end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.process is not None:
            signal_group(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self._forget()

    def _forget(self) -> None:
        if self.process is not None:
            signal_group(self.process.pid, signal.SIGKILL)
            self.process = None
            self._pid_file().remove()

    def last_line(self) -> str:
        """The last thing it said, for a sentence about why it does not run."""
        try:
            lines = self.log.read_bytes()[-4000:].decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _pid_file(self) -> PidFile:
        return PidFile(self.state.run / f"{self.spec.name}.pid")


def rotate(log: Path) -> None:
    """Sets a log aside that has grown too large; one older generation is kept."""
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
