"""The witness: a file that both sides' work appends to. It outlives every process, and belongs to neither side."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

VARIABLE = "BENCH_WITNESS"
"""Names the file to the processes that work."""


class Did(StrEnum):
    STARTED = "started"
    APPLIED = "applied"
    """The effect: this line itself is what may not stand twice."""
    FINISHED = "finished"
    LEFT = "left"
    """It ended without having finished, and said so."""


@dataclass(frozen=True)
class Line:
    """What one process did for one task."""

    task: str
    did: Did
    at: float
    """Seconds since 1970."""
    pid: int
    group: int
    """Its process group: the worker with its pool."""


@dataclass
class Witness:
    path: Path
    _read: list[Line] = field(default_factory=list, repr=False)
    _offset: int = 0

    @classmethod
    def of_environment(cls) -> "Witness":
        return cls(Path(os.environ[VARIABLE]))

    def note(self, task: str, did: Did) -> None:
        """One write at the end of the file: whole or not at all, whoever is killed, whoever else writes."""
        line = json.dumps([task, did, time.time(), os.getpid(), os.getpgrp()]) + "\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    @contextmanager
    def run(self, task: str) -> Iterator[None]:
        """One run of a task, whatever comes of it."""
        self.note(task, Did.STARTED)
        try:
            yield
        except BaseException:
            self.note(task, Did.LEFT)
            raise
        self.note(task, Did.FINISHED)

    def lines(self) -> list[Line]:
        """All so far, in their order. Not for several threads at once."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                whole = file.read().rpartition(b"\n")[0]
            for row in whole.splitlines():
                task, did, at, pid, group = json.loads(row)
                self._read.append(Line(task, Did(did), at, pid, group))
            self._offset += len(whole) + bool(whole)
        return list(self._read)

    def shows(self, task: str) -> bool:
        """Whether the effect of a task was applied."""
        return any(line.task == task and line.did is Did.APPLIED for line in self.lines())

    def under_way(self) -> list[Line]:
        """The starts after which nothing was heard of their end. Their process may be dead."""
        starts: dict[tuple[str, int], Line] = {}
        for line in self.lines():
            if line.did is Did.STARTED:
                starts[line.task, line.pid] = line
            elif line.did is not Did.APPLIED:
                starts.pop((line.task, line.pid), None)
        return list(starts.values())
