"""What pacing costs: the same jobs of 1 → 8 → 1 subtasks that do nothing, with and without a budget."""

import statistics
import time

from tests.bench.pacing.figures import Figure, Run, at_most
from tests.bench.pacing.fleet import Fleet, fleet
from tests.bench.pacing.scenario import Scenario
from tests.bench.services import Services

JOBS = 60
PAIRS = 3
WORKERS = 2
ITEMS = 8
NO_VENDOR = "http://127.0.0.1:9"
OPEN = "SELECT count(*) FROM job WHERE ended_at IS NULL"


def run(services: Services, scenario: Scenario, seed: int, workers: int) -> Run:
    """In turns, so that a machine that grows slower does so for both."""
    plain: list[float] = []
    paced: list[float] = []
    with fleet(services, scenario, NO_VENDOR, WORKERS, "noop,paced") as ours:
        for workflow in ("fan", "fan-paced"):
            _seconds(ours, workflow, 5)
        for _ in range(PAIRS):
            plain.append(_seconds(ours, "fan", JOBS))
            paced.append(_seconds(ours, "fan-paced", JOBS))
    without, with_budget = statistics.median(plain), statistics.median(paced)
    each = (with_budget - without) / (JOBS * (ITEMS + 2))
    figures = [
        at_most("time with a budget, to the same without", with_budget / without, 1.15, ".2f"),
        Figure("jobs/s without / with a budget", f"{JOBS / without:.1f} / {JOBS / with_budget:.1f}"),
        Figure("cost of pacing per subtask", f"{each * 1000:.2f} ms"),
    ]
    return Run(scenario, WORKERS, seed, figures)


def _seconds(ours: Fleet, workflow: str, jobs: int) -> float:
    """From the first submission until the last of so many jobs has ended."""
    began = time.monotonic()
    for _ in range(jobs):
        ours.submit(ITEMS, workflow=workflow)
    while ours.one(OPEN):
        time.sleep(0.02)
    return time.monotonic() - began
