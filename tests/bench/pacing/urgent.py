"""Urgent work beside more ordinary work and maintenance than the limit allows."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from contracts.purposes import Purpose
from tests.bench.pacing.figures import Figure, Run, at_least, at_most
from tests.bench.pacing.fleet import fleet
from tests.bench.pacing.scenario import Scenario
from tests.bench.pacing.steady import BURST_SECONDS, dry
from tests.bench.pacing.timeline import first_call, sleep_until, witnessed
from tests.bench.pacing.vendor import vendor
from tests.bench.pacing.witness import Seen, Span, quantile
from tests.bench.services import Services

URGENT_SHARE, ORDINARY_SHARE, MAINTENANCE_SHARE = 0.1, 0.8, 0.6
"""Of what the limit allows; one and a half times as much as it does."""
URGENT = 3
"""The priority."""
MAINTENANCE_FLOOR = 0.1
"""What maintenance is promised, at least."""


def run(services: Services, scenario: Scenario, seed: int, workers: int) -> Run:
    """Ordinary work and maintenance are there at once; urgent jobs of one subtask come one by one."""
    with vendor(scenario, seed) as simulator, fleet(services, scenario, simulator.url, workers) as ours:
        lasts = scenario.settle_seconds + scenario.seconds
        ours.submit_for(scenario, lasts + BURST_SECONDS, ORDINARY_SHARE)
        ours.submit_for(
            scenario, lasts + BURST_SECONDS, MAINTENANCE_SHARE, purpose=Purpose.MAINTENANCE, priority=0
        )
        begin = first_call(simulator) + scenario.settle_seconds
        span = Span(begin, begin + scenario.seconds)
        sleep_until(span.begin)
        pause = 1 / (scenario.calls_per_second * URGENT_SHARE)
        at = span.begin
        while at < span.end:
            sleep_until(at)
            ours.submit(1, "urgent", priority=URGENT)
            at += pause
        time.sleep(scenario.latency_seconds + 1)
        calls = {call.attempt: call for call in witnessed(simulator) if call.attempt}
        waits = _waits(
            ours.rows(
                "SELECT attempt.id, job.created_at FROM job LEFT JOIN attempt ON attempt.job_id = job.id "
                "WHERE job.tenant = 'urgent'"
            ),
            calls,
        )
        purposes = {row.id: row.purpose for row in ours.rows("SELECT id, purpose FROM attempt")}
        got = {True: 0, False: 0}
        for call in span.ended_in(calls.values()):
            got[purposes.get(call.attempt or "") == Purpose.MAINTENANCE] += call.output_tokens
        figures = [
            at_most("urgent, submission to call, p99 in s", quantile(waits, 0.99), 5, ".2f"),
            Figure("urgent, submission to call, p50 in s", f"{quantile(waits, 0.5):.2f}"),
            at_least(
                "maintenance's share of the tokens", got[True] / max(1, sum(got.values())), MAINTENANCE_FLOOR
            ),
            *dry(ours),
        ]
    return Run(scenario, workers, seed, figures)


def _waits(rows: Iterable[Any], calls: Mapping[str, Seen]) -> list[float]:
    """Seconds from each job's submission to its call; what was never called waited for ever."""
    never = float("inf")
    return [calls[row.id].began - row.created_at if row.id in calls else never for row in rows]
