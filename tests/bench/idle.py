"""Idle: what the whole fleet takes on one machine while it has nothing to do. Read from /proc, so on Linux."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

SETTLE_SECONDS = 15
WATCH_SECONDS = 30
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Taken:
    """One process: its role, the processor seconds it has used, its resident and proportional memory in MiB."""

    role: str
    seconds: float
    rss: float
    pss: float


def measure() -> None:
    """Prints the seconds until `fleet up` is ready, and the idle processes' memory and share of one core."""
    with tempfile.TemporaryDirectory(prefix="fleet-idle-") as folder:
        began = time.monotonic()
        command = [sys.executable, "-m", "orchestrator", "up", "--state-dir", folder, "--port", "8499"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith("ready"):
                    break
            ready = time.monotonic() - began
            time.sleep(SETTLE_SECONDS)
            before = _family(child.pid)
            time.sleep(WATCH_SECONDS)
            after = _family(child.pid)
        finally:
            child.terminate()
            child.wait(60)
    _show(ready, before, after)


def _show(ready: float, before: dict[int, Taken], after: dict[int, Taken]) -> None:
    table = Table(title="the idle fleet", box=None, pad_edge=False)
    for name in ("process", "resident MiB", "proportional MiB", "share of one core"):
        table.add_column(name, justify="left" if name == "process" else "right")
    for pid, taken in sorted(after.items()):
        used = (taken.seconds - before[pid].seconds if pid in before else taken.seconds) / WATCH_SECONDS
        table.add_row(taken.role, f"{taken.rss:.0f}", f"{taken.pss:.0f}", f"{used:.2%}")
    used = sum(t.seconds - before[pid].seconds for pid, t in after.items() if pid in before) / WATCH_SECONDS
    rss, pss = (sum(getattr(taken, name) for taken in after.values()) for name in ("rss", "pss"))
    table.add_row("all", f"{rss:.0f}", f"{pss:.0f}", f"{used:.2%}", style="bold")
    Console().print(table)
    Console().print(f"ready after {ready:.1f} s")


def _family(root: int) -> dict[int, Taken]:
    """A process and all that descend from it."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int(_stat(int(entry.name))[1])
        except OSError:
            continue  # it ended meanwhile
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return {pid: _taken(pid) for pid in sorted(family)}


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _taken(pid: int) -> Taken:
    fields = _stat(pid)
    memory = dict(re.findall(r"^(Rss|Pss):\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M))
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return Taken(
        role=_role(words),
        seconds=(int(fields[11]) + int(fields[12])) / TICKS,
        rss=int(memory["Rss"]) / 1024,
        pss=int(memory["Pss"]) / 1024,
    )


def _role(words: list[str]) -> str:
    """What a command line is for: the words behind its module."""
    if "-m" in words:
        return " ".join(words[words.index("-m") + 1 :][:3]).strip()
    return Path(words[0]).name or json.dumps(words)
