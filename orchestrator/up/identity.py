"""Which process a number means: a process id alone is reused, together with its start it is not."""

import os
import subprocess
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD = 19
"""Position of the start time in /proc/PID/stat, counted after the command's closing bracket."""


def identity_of(pid: int) -> str | None:
    """A text that no other process ever has, or None if no such process runs."""
    if _BOOT.exists():
        return _from_proc(pid)
    return _from_ps(pid)


def _from_proc(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] == "Z":
        return None
    return f"{_BOOT.read_text().strip()}/{pid}/{fields[_START_FIELD]}"


def _from_ps(pid: int) -> str | None:
    asked = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ) | {"LC_ALL": "C"},
    )
    started = " ".join(asked.stdout.split())
    return f"{pid}/{started}" if started else None
