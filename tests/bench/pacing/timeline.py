"""Waiting for a run's moments, and reading the witness after them."""

import time

from tests.bench.pacing.scenario import Scenario
from tests.bench.pacing.witness import Seen, Span, seen
from tests.integration.simulator_process import SimulatorAddress

PATIENCE_SECONDS = 90


def first_call(simulator: SimulatorAddress, patience_seconds: float = PATIENCE_SECONDS) -> float:
    """When the vendor's first answer or refusal was given, epoch seconds. Raises TimeoutError."""
    give_up = time.monotonic() + patience_seconds
    while time.monotonic() < give_up:
        if simulator.totals():
            return time.time()
        time.sleep(0.1)
    raise TimeoutError(f"no call reached the vendor in {patience_seconds:g} s")


def measured(simulator: SimulatorAddress, scenario: Scenario) -> tuple[Span, float]:
    """Sleeps from the first call until the measurement is over; answers its span and when the first call was."""
    first = first_call(simulator)
    span = Span(first + scenario.settle_seconds, first + scenario.settle_seconds + scenario.seconds)
    sleep_until(span.end)
    return span, first


def sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


def witnessed(simulator: SimulatorAddress) -> list[Seen]:
    return seen(simulator.ledger())
