"""Flow: jobs of 1 → 8 → 1 subtasks that do nothing, ours and theirs in the same run."""

import statistics

from rich.console import Console
from rich.table import Table

from tests.bench import chord, durable, ours
from tests.bench.services import services

JOBS = 200
QUIET_JOBS = 60
QUIET_PAUSE_SECONDS = 0.15


def measure(jobs: int) -> None:
    """Prints jobs per second with the ratio to Celery's chord, and the wait for a first claim at low load."""
    with services() as used:
        with ours.fleet(used) as parts:
            seconds = ours.run(parts, jobs)
            waits = ours.first_claims(parts, QUIET_JOBS, QUIET_PAUSE_SECONDS)
            failed = ours.failures(parts)
        theirs = {
            "Celery chord, late ack, Redis": chord.measure(used.peer_redis_url, jobs),
            "DBOS, queued children, poll 50 ms": durable.measure(used.database_url, jobs),
        }
    _show(jobs, {"this fleet, PostgreSQL and Redis": seconds, **theirs}, seconds)
    told = Console()
    told.print(f"jobs of ours that did not end well: {failed}")
    ordered = sorted(waits)
    told.print(
        f"submission to first claim at {1 / QUIET_PAUSE_SECONDS:.0f} jobs/s: "
        f"p50 {statistics.median(ordered) * 1000:.0f} ms, p99 {ordered[int(len(ordered) * 0.99)] * 1000:.0f} ms"
    )


def _show(jobs: int, seconds: dict[str, float], ours_seconds: float) -> None:
    table = Table(title=f"{jobs} jobs of 1 → 8 → 1", box=None, pad_edge=False)
    for name in ("who", "jobs/s", "ours to theirs"):
        table.add_column(name, justify="left" if name == "who" else "right")
    for who, took in seconds.items():
        table.add_row(who, f"{jobs / took:.1f}", f"{took / ours_seconds:.2f}")
    Console().print(table)
