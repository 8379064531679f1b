"""A replay of many thousand dead letters: how soon it is previewed and aborted, and whether the vendor is flooded."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, insert, select

from contracts.replays import ReplayRequest
from orchestrator import replaying
from orchestrator.ledger import tables
from orchestrator.ledger.ids import new_id
from orchestrator.reads.previews import preview
from tests.bench.pacing.figures import Figure, Run, at_least, at_most
from tests.bench.pacing.fleet import Fleet, fleet
from tests.bench.pacing.scenario import Scenario
from tests.bench.pacing.timeline import witnessed
from tests.bench.pacing.vendor import vendor
from tests.bench.pacing.witness import Span, pace, refused_per_thousand
from tests.bench.services import Services

MANY = 15_000
AT_ONCE = 1000
"""Jobs of the replay under way, the most that may be: the budgets alone hold it back."""
BROKEN_SECONDS = 60.0
LATE_SECONDS = 8.0
"""The first of them ends at its deadline: no error of its vendor's ends a job while the vendor is away."""
QUIET_SECONDS = 5.0
ASKED = {
    "selection": {"code": "too_late"},
    "requested_by": "bench",
    "reason": "a measurement",
    "most_open": AT_ONCE,
}


def run(services: Services, scenario: Scenario, seed: int, workers: int) -> Run:
    with vendor(scenario, seed) as simulator, fleet(services, scenario, simulator.url, workers) as ours:
        simulator.script({"kind": "server_error", "times": None, "until_seconds": BROKEN_SECONDS})
        job_id = ours.submit(1, deadline=datetime.now(UTC) + timedelta(seconds=LATE_SECONDS))
        ours.wait("SELECT count(*) FROM job WHERE state = 'failed'", 1, BROKEN_SECONDS)
        simulator.reset()
        _multiply(ours, job_id)
        figures = [_previewed(ours)]
        opened_in, replay_id = _timed(lambda: replaying.open_replay(*_parts(ours), _request(dry_run=False)))
        begun = time.time()
        time.sleep(scenario.settle_seconds + scenario.seconds)
        end = time.time()
        aborted_in, _ = _timed(
            lambda: replaying.abort(ours.parts.ledger, replay_id, "bench", "it is measured")
        )
        released = _released(ours, replay_id)
        time.sleep(QUIET_SECONDS)
        calls = witnessed(simulator)
        used = pace(calls, Span(end - scenario.seconds, end), scenario.binding, scenario.limit)
        figures += [
            Figure("seconds to open it", f"{opened_in:.2f}"),
            at_least("calls it made", len(calls), 1, ".0f"),
            at_most("429s per 1,000 calls", refused_per_thousand(calls), 0),
            Figure("use of the limit", f"{used:.1%}"),
            Figure("seconds until its first call", f"{calls[0].began - begun:.1f}" if calls else "never"),
            at_most("seconds to abort it", aborted_in, 2),
            at_most("jobs released after that", _released(ours, replay_id) - released, 0, ".0f"),
        ]
    return Run(scenario, workers, seed, figures)


def _previewed(ours: Fleet) -> Figure:
    ledger, catalog = _parts(ours)
    with ledger.read() as connection:
        seconds, shown = _timed(lambda: preview(connection, catalog, _request(dry_run=True)))
    assert shown.jobs == MANY
    return at_most(f"seconds to preview {MANY:,}", seconds, 2)


def _request(dry_run: bool) -> ReplayRequest:
    return ReplayRequest.model_validate(ASKED | {"dry_run": dry_run})


def _parts(ours: Fleet) -> tuple[Any, Any]:
    return ours.parts.ledger, ours.parts.catalog


def _timed(do: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    done = do()
    return time.perf_counter() - began, done


def _released(ours: Fleet, replay_id: str) -> int:
    return int(ours.one("SELECT count(*) FROM job WHERE replay_id = :replay", replay=replay_id))


def _multiply(ours: Fleet, job_id: str) -> None:
    """As many failed jobs as the one that failed: its rows under other ids, each with an item of its own."""
    with ours.parts.ledger.write() as connection:
        (job,) = _rows(connection, tables.job, tables.job.c.id == job_id)
        subtasks = _rows(connection, tables.subtask, tables.subtask.c.job_id == job_id)
        letters = _rows(connection, tables.dead_letter, tables.dead_letter.c.job_id == job_id)
        made: dict[Table, list[dict[str, Any]]] = {tables.job: [], tables.subtask: [], tables.dead_letter: []}
        for number in range(1, MANY):
            own, ids = {"job_id": new_id()}, {row["id"]: new_id() for row in subtasks}
            made[tables.job].append(job | {"id": own["job_id"], "inputs": {"items": [f"again {number}"]}})
            made[tables.subtask] += [row | own | {"id": ids[row["id"]]} for row in subtasks]
            made[tables.dead_letter] += [
                row | own | {"subtask_id": ids[row["subtask_id"]]} for row in letters
            ]
        for table, rows in made.items():
            connection.execute(insert(table), rows)


def _rows(connection: Any, table: Table, where: Any) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(select(table).where(where))]
