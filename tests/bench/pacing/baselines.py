"""What a user would have otherwise, on the same simulator and load as the saturated scenario."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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
SDK = "callers"
"""The module that calls as one would with the SDK alone."""
OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
"""Or LiteLLM asks the network for prices as it is imported."""
LITELLM = "LiteLLM router, limits in Redis"
LITELLM_INPUT_TOKENS = 81
"""Of one of its calls, which its user is taken to know as well as the mean length of an answer."""
FAR_APART = 1_000_000
"""Between the items of two processes."""


@dataclass(frozen=True)
class Skipped:
    """A strategy that could not be measured, and why."""

    name: str
    why: str


PlanOf = Callable[[str, float, int], dict[str, Any]]
"""What one process is told: the vendor's address, until when it calls, and its first item."""
Measure = Callable[[Services, Scenario, int], Strategy | Skipped]


def fan_out(services: Services, scenario: Scenario, seed: int) -> Strategy:
    """As many calls as threads, retried by the SDK alone."""
    name = f"{FAN_OUT_THREADS}-way fan-out, the SDK's own retries"
    plan = _sdk_plan(scenario, FAN_OUT_THREADS // PROCESSES, None)
    return _called(name, scenario, seed, PROCESSES, SDK, plan)


def reserve_most(services: Services, scenario: Scenario, seed: int) -> Strategy:
    """One process that shares one bucket, from which the cap of each answer is taken."""
    plan = _sdk_plan(scenario, scenario.slots, scenario.limit)
    return _called("reserve max_tokens, no refund", scenario, seed, 1, SDK, plan)


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


def litellm(services: Services, scenario: Scenario, seed: int) -> Strategy | Skipped:
    """LiteLLM's router in several processes that share its limits in Redis."""
    if find_spec("litellm") is None:
        return Skipped(LITELLM, "requirements-compare.lock did not install")
    tokens_per_call = scenario.mean_tokens + LITELLM_INPUT_TOKENS

    def plan(url: str, until: float, first_item: int) -> dict[str, Any]:
        return {
            "url": url,
            "model": scenario.account.model,
            "max_output_tokens": scenario.max_output_tokens,
            "calls": scenario.slots // PROCESSES,
            "first_item": first_item,
            "until": until,
            "redis_url": services.peer_redis_url,
            "tokens_per_minute": round(scenario.limit * tokens_per_call / scenario.mean_tokens),
        }

    try:
        return _called(LITELLM, scenario, seed, PROCESSES, "litellm_router", plan)
    finally:
        with redis.Redis.from_url(services.peer_redis_url) as counters:
            counters.flushdb()


BASELINES: tuple[Measure, ...] = (fan_out, celery_rate_limit, litellm, reserve_most)


def _called(
    name: str, scenario: Scenario, seed: int, processes: int, module: str, plan_of: PlanOf
) -> Strategy:
    """So many processes of a module of this package."""
    with vendor(scenario, seed) as simulator:
        until = time.time() + START_SECONDS + scenario.settle_seconds + scenario.seconds + START_SECONDS
        children = [_caller(module, plan_of(simulator.url, until, n * FAR_APART)) for n in range(processes)]
        try:
            span = Span(until - START_SECONDS - scenario.seconds, until - START_SECONDS)
            sleep_until(until)
            failed = sum(int(child.communicate(timeout=30)[0]) for child in children)
        finally:
            for child in children:
                child.kill()
        return strategy(name, scenario, witnessed(simulator), span, failed)


def _sdk_plan(scenario: Scenario, threads: int, reserve_per_minute: float | None) -> PlanOf:
    def plan(url: str, until: float, first_item: int) -> dict[str, Any]:
        return asdict(
            Plan(
                url=url,
                model=scenario.account.model,
                max_output_tokens=scenario.max_output_tokens,
                threads=threads,
                first_item=first_item,
                until=until,
                reserve_per_minute=reserve_per_minute,
            )
        )

    return plan


def _caller(module: str, plan: dict[str, Any]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", f"tests.bench.pacing.{module}", json.dumps(plan)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **OFFLINE})
