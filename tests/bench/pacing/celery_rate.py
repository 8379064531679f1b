"""Others: Celery's own `rate_limit`, which each worker keeps for itself, so that each gets its part of the limit."""

import os
from functools import cache

import anthropic
from celery import Celery
from celery.signals import task_failure

from tests.bench.pacing.callers import client_of, say

BROKER_VARIABLE, VENDOR_VARIABLE, RATE_VARIABLE = "BENCH_RATE_BROKER", "BENCH_RATE_VENDOR", "BENCH_RATE_LIMIT"
FAILED = "celery-bench-failed"
"""The key that counts tasks that failed for good."""

app = Celery("rate")
app.conf.update(
    broker_url=os.environ.get(BROKER_VARIABLE, "redis://"),
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
)


@cache
def _client() -> anthropic.Anthropic:
    return client_of(os.environ[VENDOR_VARIABLE])


@app.task(name="say", rate_limit=os.environ.get(RATE_VARIABLE))
def ask(model: str, max_output_tokens: int, item: int) -> None:
    """One call, with the SDK's own retries."""
    say(_client(), model, max_output_tokens, item)


@task_failure.connect
def _count(**_: object) -> None:
    with app.connection_for_write() as connection:
        connection.default_channel.client.incr(FAILED)
