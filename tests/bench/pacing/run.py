"""Runs the scenarios and the baselines, and prints what they found."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tests.bench.pacing import cap, closed, cost, overload, replayed, steady, tables, urgent
from tests.bench.pacing.baselines import BASELINES, Skipped
from tests.bench.pacing.figures import Run, Strategy
from tests.bench.pacing.scenario import Kind, Scenario
from tests.bench.pacing.scenarios import BY_NAME, SATURATED, SCENARIOS
from tests.bench.services import Services, services

COMPARED = "compared"
"""The name of the baselines for ``--only``."""
NAMES = (*BY_NAME, COMPARED)
FIRST_SEED = 7
COMPARED_SECONDS = 60.0
"""The baselines differ by far more than one minute does from another."""

RUNNERS: Mapping[Kind, Callable[[Services, Scenario, int, int], Run]] = {
    Kind.STEADY: steady.run,
    Kind.LEARNING: steady.run,
    Kind.OVERLOAD: overload.run,
    Kind.CLOSED: closed.run,
    Kind.URGENT: urgent.run,
    Kind.COST: cost.run,
    Kind.CAP: cap.run,
    Kind.REPLAY: replayed.run,
}


def measure(only: Sequence[str], seeds: int, workers: Sequence[int]) -> None:
    """Prints each scenario as soon as it is done; the comparison, and how many bars were met, at the end."""
    runs = []
    for scenario in SCENARIOS:
        if scenario.name in only or not (only or scenario.by_name_only):
            runs += _scenario(scenario, range(FIRST_SEED, FIRST_SEED + seeds), workers)
    if COMPARED in only or not only:
        tables.show_strategies([*_ours(runs), *_others()])
    tables.verdict(runs)


def _scenario(scenario: Scenario, seeds: Sequence[int], workers: Sequence[int]) -> list[Run]:
    tables.announce(scenario)
    runs = []
    for seed in seeds:
        for count in workers if scenario.per_worker_count else [max(workers)]:
            with services() as used:
                runs.append(RUNNERS[scenario.kind](used, scenario, seed, count))
            tables.show_run(runs[-1])
            sys.stdout.flush()
    return runs


def _ours(runs: Sequence[Run]) -> list[Strategy]:
    """Of the saturated scenario, the run with most worker processes."""
    of_it = [run for run in runs if run.scenario is SATURATED and run.strategy]
    most = max(of_it, key=lambda run: run.workers, default=None)
    return [most.strategy] if most and most.strategy else []


def _others() -> list[Strategy | Skipped]:
    rows, scenario = [], replace(SATURATED, seconds=COMPARED_SECONDS)
    for measure_one in BASELINES:
        with services() as used:
            rows.append(measure_one(used, scenario, FIRST_SEED))
    return rows
