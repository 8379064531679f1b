"""Theirs: Celery's chord with late acknowledgement, over Redis with its result backend."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from celery import Celery, chain, chord

from tests.bench.processes import running

URL_VARIABLE = "BENCH_CHORD_URL"
CONCURRENCY = 2

app = Celery("chord")
app.conf.update(
    broker_url=os.environ.get(URL_VARIABLE, "redis://"),
    result_backend=os.environ.get(URL_VARIABLE, "redis://"),
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
)


@app.task
def nothing(*_: Any) -> dict[str, str]:
    """The same nothing as in our lane."""
    return {"text": "nothing was done"}


def measure(url: str, jobs: int) -> float:
    """Seconds for so many jobs of 1 → 8 → 1 tasks."""
    app.conf.update(broker_url=url, result_backend=url)
    with tempfile.TemporaryDirectory(prefix="chord-") as folder:
        command = ["celery", "-A", "tests.bench.chord", "worker", "-c", str(CONCURRENCY), "--loglevel=ERROR"]
        with running([command], {URL_VARIABLE: url}, Path(folder)):
            _run(5)
            return _run(jobs)


def _run(jobs: int) -> float:
    began = time.monotonic()
    ends = [
        chain(nothing.si(), chord([nothing.si(n) for n in range(8)], nothing.s())).apply_async()
        for _ in range(jobs)
    ]
    for end in ends:
        end.get(timeout=120)
    return time.monotonic() - began
