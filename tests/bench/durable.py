"""Theirs: DBOS, a workflow with queued children, on the same PostgreSQL; its polling tuned to 50 ms."""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from dbos import DBOS, DBOSClient
from sqlalchemy import create_engine, make_url, text

from tests.bench.processes import running

URL_VARIABLE = "BENCH_DBOS_URL"
EXECUTORS = 2
POLL_SECONDS = 0.05

QUEUES = {"jobs": 16, "parts": 32}
"""Their queues, with how many workflows of each one executor runs at once."""


@DBOS.step()
def nothing() -> dict[str, str]:
    """The same nothing as in our lane."""
    return {"text": "nothing was done"}


@DBOS.workflow()
def part() -> dict[str, str]:
    return nothing()


@DBOS.workflow()
def job() -> dict[str, str]:
    nothing()
    for handle in [DBOS.enqueue_workflow("parts", part) for _ in range(8)]:
        handle.get_result()
    return nothing()


def serve() -> None:
    """One executor, until it is told to stop."""
    DBOS(
        config={
            "name": "bench",
            "system_database_url": os.environ[URL_VARIABLE],
            "application_version": "bench",
            "executor_id": str(os.getpid()),
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    for name, concurrency in QUEUES.items():
        DBOS.register_queue(name, worker_concurrency=concurrency, polling_interval_sec=POLL_SECONDS)
    threading.Event().wait()


def measure(url: str, jobs: int) -> float:
    """Seconds for so many jobs of 1 → 8 → 1 steps."""
    system = make_url(url).set(drivername="postgresql", database=f"{make_url(url).database}_dbos")
    target = system.render_as_string(hide_password=False)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection, tempfile.TemporaryDirectory(prefix="dbos-") as folder:
        connection.execute(text(f'CREATE DATABASE "{system.database}"'))
        try:
            with running([["tests.bench.durable"]] * EXECUTORS, {URL_VARIABLE: target}, Path(folder)):
                client = _client(target)
                _run(client, 5)
                return _run(client, jobs)
        finally:
            connection.execute(text(f'DROP DATABASE "{system.database}" WITH (FORCE)'))


def _client(url: str, patience_seconds: float = 30) -> DBOSClient:
    """A client, once an executor has made the tables."""
    give_up = time.monotonic() + patience_seconds
    while True:
        try:
            client = DBOSClient(system_database_url=url)
            client.list_workflows(limit=1)
            return client
        except Exception:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.5)


def _run(client: DBOSClient, jobs: int) -> float:
    began = time.monotonic()
    handles = [
        client.enqueue({"queue_name": "jobs", "workflow_name": "job", "app_version": "bench"})
        for _ in range(jobs)
    ]
    for handle in handles:
        handle.get_result()
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(serve())
