"""Ours: the fleet itself on PostgreSQL and Redis, with a lane that does nothing."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from contracts.jobs import JobRequest
from contracts.purposes import Purpose
from orchestrator import wiring
from orchestrator.settings import Settings
from orchestrator.wiring import Parts
from tests.bench.processes import running
from tests.bench.services import Services

CATALOG = Path(__file__).parent / "catalog"
WORKERS = 2
SLOTS = 16  # claims and reports that come at once share a transaction; with 3 few do, and 32 cost more again


@contextmanager
def fleet(services: Services) -> Iterator[Parts]:
    """One orchestrator and two worker processes, ready for jobs."""
    with tempfile.TemporaryDirectory(prefix="fleet-bench-") as folder:
        env = {
            "FLEET_STATE_DIR": folder,
            "FLEET_DATABASE_URL": services.database_url,
            "FLEET_BROKER_URL": services.fleet_redis_url,
            "FLEET_CATALOG": str(CATALOG),
        }
        settings = Settings(
            state_dir=Path(folder),
            database_url=services.database_url,
            broker_url=services.fleet_redis_url,
            catalog=CATALOG,
        )
        wiring.migrate(settings)
        # Without events for Flower, since the peers send none either.
        worker = ["workers", "--no-events", "--lanes", "noop", "--slots", str(SLOTS), "--name"]
        commands = [["orchestrator", "orchestrator"], *([*worker, f"noop{n}"] for n in range(WORKERS))]
        with running(commands, env, Path(folder)):
            parts = wiring.assemble(settings)
            _wait(parts, "SELECT count(*) < 2 FROM worker")
            run(parts, 5)
            yield parts


def submit(parts: Parts, items: int = 8) -> str:
    """One job of 1 → `items` → 1 subtasks; answers its id."""
    request = JobRequest(
        tenant="bench",
        portfolio="bench",
        workflow="fan",
        inputs={"items": [str(n) for n in range(items)]},
        purpose=Purpose.FEATURE,
        reason="a measurement",
        requested_by="bench",
    )
    return parts.intake.submit(request).job_id


def run(parts: Parts, jobs: int) -> float:
    """The seconds from the first submission until the last of so many jobs has ended well."""
    began = time.monotonic()
    for _ in range(jobs):
        submit(parts)
    _wait(parts, "SELECT count(*) > 0 FROM job WHERE ended_at IS NULL")
    return time.monotonic() - began


def failures(parts: Parts) -> int:
    """Jobs that did not end well."""
    return int(_ask(parts, "SELECT count(*) FROM job WHERE state <> 'done'"))


def first_claims(parts: Parts, jobs: int, pause_seconds: float) -> list[float]:
    """Seconds from a submission to the first claim, of jobs that come alone."""
    for _ in range(jobs):
        submit(parts, items=1)
        time.sleep(pause_seconds)
    _wait(parts, "SELECT count(*) > 0 FROM job WHERE ended_at IS NULL")
    query = text(
        "SELECT min(attempt.claimed_at) - job.created_at AS waited FROM job JOIN attempt ON attempt.job_id = job.id "
        "GROUP BY job.id, job.created_at ORDER BY job.created_at DESC LIMIT :jobs"
    )
    with parts.ledger.read() as connection:
        return [float(row.waited) for row in connection.execute(query, {"jobs": jobs})]


def _wait(parts: Parts, busy: str) -> None:
    while _ask(parts, busy):
        time.sleep(0.05)


def _ask(parts: Parts, query: str) -> object:
    with parts.ledger.read() as connection:
        return connection.execute(text(query)).scalar_one()
