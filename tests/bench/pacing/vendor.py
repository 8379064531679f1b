"""The simulator as a scenario's vendor."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.bench.pacing.scenario import Scenario
from tests.integration.simulator_process import SimulatorAddress, running_simulator


@contextmanager
def vendor(scenario: Scenario, seed: int) -> Iterator[SimulatorAddress]:
    """A simulator that enforces the scenario's limits and errs in nothing else."""
    with running_simulator(seed=seed, config=settings(scenario)) as simulator:
        yield simulator


def settings(scenario: Scenario) -> dict[str, Any]:
    return {
        "latency": {"first_token_seconds": scenario.latency_seconds, "tokens_per_second": 0, "jitter": 0},
        "load": {"mean_output_tokens": scenario.mean_tokens, "cv": scenario.cv},
        "limits": {scenario.account.wire: {**scenario.limits, **scenario.enforced}},
    }
