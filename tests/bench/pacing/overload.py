"""Overload: a minute in which the vendor refuses everything although the account's quota has room."""

from tests.bench.pacing.figures import Figure, Run, at_most, strategy
from tests.bench.pacing.fleet import fleet
from tests.bench.pacing.scenario import Scenario
from tests.bench.pacing.steady import BURST_SECONDS, OURS, dry, failures
from tests.bench.pacing.timeline import first_call, sleep_until, witnessed
from tests.bench.pacing.vendor import vendor
from tests.bench.pacing.witness import Span, back_after, unparted
from tests.bench.services import Services

LASTS_SECONDS = 60
WIDTH_SECONDS = 5
"""Recovered is who uses 95 % of the limit over so many seconds."""

LOWERED = (
    "SELECT at FROM event WHERE kind = 'budget_learned' AND sentence LIKE '%the vendor is overloaded with%'"
)
"""Decreases are the fleet's own doing, so its ledger tells them; the witness tells what lay between them."""


def run(services: Services, scenario: Scenario, seed: int, workers: int) -> Run:
    with vendor(scenario, seed) as simulator, fleet(services, scenario, simulator.url, workers) as ours:
        ours.submit_for(scenario, scenario.settle_seconds + scenario.seconds + BURST_SECONDS)
        begin = first_call(simulator) + scenario.settle_seconds
        over = begin + LASTS_SECONDS
        sleep_until(begin)
        simulator.script({"kind": "overload", "times": None, "until_seconds": LASTS_SECONDS})
        sleep_until(begin + scenario.seconds)
        calls = witnessed(simulator)
        refused = [call for call in calls if call.kind == "overload"]
        back = back_after(calls, over, scenario.binding, scenario.limit, 0.95, WIDTH_SECONDS)
        lowered = [row.at for row in ours.rows(LOWERED)]
        row = strategy(
            OURS, scenario, calls, Span(over, begin + scenario.seconds), failures(ours, Span(0, over * 2))
        )
        figures = [
            at_most("seconds until 95 % are used again", float("inf") if back is None else back, 30),
            Figure("calls refused as overloaded in the minute", str(len(refused))),
            at_most("subtasks that died", row.failures, 0, ".0f"),
            Figure("decreases of the ceiling", str(len(lowered))),
            at_most("of them within a round trip after another", unparted(lowered, calls), 0, ".0f"),
            *dry(ours),
        ]
    return Run(scenario, workers, seed, figures, row)
