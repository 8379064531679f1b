"""A cap in money: calls that are made at once, before anything is known of their length, must not overspend it."""

import time

from tests.bench.pacing.figures import Figure, Run, at_least, at_most, billed_usd, usd
from tests.bench.pacing.fleet import fleet
from tests.bench.pacing.scenario import Scenario
from tests.bench.pacing.timeline import first_call, witnessed
from tests.bench.pacing.vendor import vendor
from tests.bench.services import Services

CALLS = 8
WORST_CASES = 2.5
"""The cap, in calls at their longest."""
SETTLED_SECONDS = 20
"""From the first call until all that fits has been called and settled."""


def run(services: Services, scenario: Scenario, seed: int, workers: int) -> Run:
    """One job of eight subtasks with a cap of its own."""
    cap_usd = WORST_CASES * usd(scenario.account, scenario.prompt_tokens, scenario.max_output_tokens)
    with vendor(scenario, seed) as simulator, fleet(services, scenario, simulator.url, workers) as ours:
        ours.submit(CALLS, max_cost_usd=cap_usd)
        first_call(simulator)
        time.sleep(SETTLED_SECONDS)
        calls = witnessed(simulator)
        billed = billed_usd(scenario.account, calls)
        figures = [
            at_most("overspent, of the cap", max(0.0, billed / cap_usd - 1), 0, ".1%"),
            at_least("calls that the cap let through", len(calls), 1, ".0f"),
            Figure("billed, of the cap", f"{billed / cap_usd:.1%}"),
        ]
    return Run(scenario, workers, seed, figures)
