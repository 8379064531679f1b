"""What a user would have otherwise, on the same simulator and load as the saturated scenario."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import redis

from tests.bench.pacing import celery_rate
from tests.bench.pacing.callers import Plan
from tests.bench.pacing.figures import Strategy, strategy
from tests.bench.pacing.scenario import Scenario
from tests.bench.pacing.timeline import measured, sleep_until, witnessed
from tests.bench.pacing.vendor import vendor
from tests.bench.pacing.witness import Span
from tests.bench.processes import running
from tests.bench.services import Services

PROCESSES = 4
FAN_OUT_THREADS = 400
CELERY_WORKERS = 4
START_SECONDS = 8
"""Until processes have imported their SDKs."""
LITELLM_WHY_NOT = (
    "1.106.10, 1.108.10, 1.109.0 and 1.109.1 did not install: each asks for certifi>=2026.10.19, "
    "which the registry did not have"
)
FAR_APART = 1_000_000
"""Between the items of two processes."""


@dataclass(frozen=True)
class Skipped:
    """A strategy that could not be measured, and why."""

    name: str
    why: str


Measure = Callable[[Services, Scenario, int], Strategy | Skipped]


def fan_out(services: Services, scenario: Scenario, seed: int) -> Strategy:
    """As many calls as threads, retried by the SDK alone."""
    name = f"{FAN_OUT_THREADS}-way fan-out, the SDK's own retries"
    return _called(name, scenario, seed, PROCESSES, FAN_OUT_THREADS // PROCESSES, None)


def reserve_most(services: Services, scenario: Scenario, seed: int) -> Strategy:
    """One process that shares one bucket, from which the cap of each answer is taken."""
    return _called("reserve max_tokens, no refund", scenario, seed, 1, scenario.slots, scenario.limit)


def celery_rate_limit(services: Services, scenario: Scenario, seed: int) -> Strategy:
    """Each worker gets its part of the calls that the limit allows at the mean length, which the user knows."""
    rate = scenario.calls_per_second * 60 / CELERY_WORKERS
    env_of = {
        celery_rate.BROKER_VARIABLE: services.peer_redis_url,
        celery_rate.RATE_VARIABLE: f"{rate:.0f}/m",
    }
    # Processes, since with a pool of threads the rate is kept less well: a quarter of the limit instead of two
    # thirds.
    slots = str(scenario.slots // CELERY_WORKERS)
    command = [
        "celery",
        "-A",
        celery_rate.__name__,
        "worker",
        "--loglevel=ERROR",
        "--concurrency",
        slots,
        "-n",
    ]
    celery_rate.app.conf.broker_url = services.peer_redis_url
    with vendor(scenario, seed) as simulator, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="celery-")))
        env = {**env_of, celery_rate.VENDOR_VARIABLE: simulator.url}
        items = int(scenario.calls_per_second * (scenario.settle_seconds + scenario.seconds) * 2)
        with celery_rate.app.connection_for_write() as connection:
            for item in range(items):
                args = (scenario.account.model, scenario.max_output_tokens, item)
                celery_rate.ask.apply_async(args, connection=connection)
        stack.enter_context(running([[*command, f"rate{n}@%h"] for n in range(CELERY_WORKERS)], env, folder))
        span, _ = measured(simulator, scenario)
        calls = witnessed(simulator)
        with redis.Redis.from_url(services.peer_redis_url) as counters:
            failed = int(counters.get(celery_rate.FAILED) or 0)
            counters.flushdb()
    return strategy("Celery rate_limit per worker, SDK's retries", scenario, calls, span, failed)


def litellm(services: Services, scenario: Scenario, seed: int) -> Skipped:
    """LiteLLM's router with its limits in Redis."""
    return Skipped("LiteLLM router, limits in Redis", LITELLM_WHY_NOT)


BASELINES: tuple[Measure, ...] = (fan_out, celery_rate_limit, litellm, reserve_most)


def _called(
    name: str, scenario: Scenario, seed: int, processes: int, threads: int, reserve_per_minute: float | None
) -> Strategy:
    with vendor(scenario, seed) as simulator:
        lasts = START_SECONDS + scenario.settle_seconds + scenario.seconds + START_SECONDS
        plan = Plan(
            url=simulator.url,
            model=scenario.account.model,
            max_output_tokens=scenario.max_output_tokens,
            threads=threads,
            first_item=0,
            until=time.time() + lasts,
            reserve_per_minute=reserve_per_minute,
        )
        children = [_caller(replace(plan, first_item=n * FAR_APART)) for n in range(processes)]
        try:
            span = Span(plan.until - START_SECONDS - scenario.seconds, plan.until - START_SECONDS)
            sleep_until(plan.until)
            failed = sum(int(child.communicate(timeout=30)[0]) for child in children)
        finally:
            for child in children:
                child.kill()
        return strategy(name, scenario, witnessed(simulator), span, failed)


def _caller(plan: Plan) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.bench.pacing.callers", json.dumps(asdict(plan))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
