"""Child processes of a measurement, which end with it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(commands: Sequence[Sequence[str]], env: Mapping[str, str], logs: Path) -> Iterator[list[int]]:
    """Runs `python -m …` commands side by side; answers their process ids, and ends them all."""
    children = []
    try:
        for number, command in enumerate(commands):
            with (logs / f"{number}-{command[0]}.log").open("w") as log:
                child = subprocess.Popen(
                    [sys.executable, "-m", *command],
                    env={**os.environ, **env},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            children.append(child)
        yield [child.pid for child in children]
    finally:
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
