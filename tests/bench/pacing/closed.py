"""A refusal that names a minute: nothing is started before it is over, even if the orchestrator is killed."""

import time

from tests.bench.pacing.figures import Figure, Run, at_most
from tests.bench.pacing.fleet import fleet
from tests.bench.pacing.scenario import Scenario
from tests.bench.pacing.steady import BURST_SECONDS, dry
from tests.bench.pacing.timeline import first_call, sleep_until, witnessed
from tests.bench.pacing.vendor import vendor
from tests.bench.services import Services
from tests.integration.simulator_process import SimulatorAddress

NAMED_SECONDS = 60
KILLED_AFTER_SECONDS, BACK_AFTER_SECONDS = 10, 25
UNDER_WAY_SECONDS = 2.0
"""What was granted before the refusal was reported may still be on its way."""


def run(services: Services, scenario: Scenario, seed: int, workers: int) -> Run:
    with vendor(scenario, seed) as simulator, fleet(services, scenario, simulator.url, workers) as ours:
        ours.submit_for(scenario, scenario.settle_seconds + scenario.seconds + BURST_SECONDS)
        sleep_until(first_call(simulator) + scenario.settle_seconds)
        simulator.script({"kind": "rate_limited", "retry_after": NAMED_SECONDS})
        refused = _refused_at(simulator)
        sleep_until(refused + KILLED_AFTER_SECONDS)
        ours.kill_orchestrator()
        sleep_until(refused + BACK_AFTER_SECONDS)
        ours.start_orchestrator()
        sleep_until(refused + scenario.seconds)
        began = [call.began - refused for call in witnessed(simulator)]
        late = [after for after in began if 0 < after <= UNDER_WAY_SECONDS]
        early = [after for after in began if UNDER_WAY_SECONDS < after < NAMED_SECONDS]
        resumed = min((after for after in began if after >= NAMED_SECONDS), default=float("inf"))
        figures = [
            at_most("calls begun within the minute named", len(early), 0, ".0f"),
            Figure(f"calls begun in its first {UNDER_WAY_SECONDS:g} s, granted before", str(len(late))),
            at_most("seconds from the 429 until it resumed by itself", resumed, NAMED_SECONDS + 15),
            *dry(ours),
        ]
    return Run(scenario, workers, seed, figures)


def _refused_at(simulator: SimulatorAddress, patience_seconds: float = 30) -> float:
    """When the scripted refusal was sent. Raises TimeoutError."""
    give_up = time.monotonic() + patience_seconds
    while time.monotonic() < give_up:
        found = [call.ended for call in witnessed(simulator) if call.kind == "429" and call.scripted]
        if found:
            return found[0]
        time.sleep(0.25)
    raise TimeoutError(f"the refusal met no call in {patience_seconds:g} s")
