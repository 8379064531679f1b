"""Steady runs: more work than the limit allows, with something to learn first or without."""

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.bench.pacing.figures import Figure, Run, at_least, at_most, strategy
from tests.bench.pacing.fleet import TENANTS, Fleet, fleet
from tests.bench.pacing.scenario import Kind, Scenario
from tests.bench.pacing.timeline import measured, witnessed
from tests.bench.pacing.vendor import vendor
from tests.bench.pacing.witness import Seen, Span, jain, pace, quantile, refused_per_thousand, used_tokens
from tests.bench.services import Services

OURS = "this fleet"
BURST_SECONDS = 40
"""Of work at the limit's pace that the bursts let through on top, with some to spare."""
AT_WORK_SECONDS = 1.0
"""From its claim to its call a handler renders its prompt and keeps it, on cores it shares. What takes longer than
this is counted as waiting."""


def run(services: Services, scenario: Scenario, seed: int, workers: int) -> Run:
    with vendor(scenario, seed) as simulator, fleet(services, scenario, simulator.url, workers) as ours:
        ours.submit_for(scenario, scenario.settle_seconds + scenario.seconds + BURST_SECONDS)
        span, first = measured(simulator, scenario)
        calls = witnessed(simulator)
        row = strategy(OURS, scenario, calls, span, failures(ours, span))
        figures = [
            at_least(_used_words(scenario), _used(scenario, calls, span), scenario.least_use),
            *_refused(scenario, calls, first, span),
            *_slots(ours, span.ended_in(calls)),
            *_fairness(ours, calls, span),
            *dry(ours),
        ]
    return Run(scenario, workers, seed, figures, row)


def failures(ours: Fleet, span: Span) -> int:
    """Subtasks that died until the end of the measurement."""
    query = "SELECT count(*) FROM subtask WHERE state = 'dead' AND ended_at < :end"
    return int(ours.one(query, end=span.end))


def dry(ours: Fleet) -> Iterator[Figure]:
    """A warning where there was not always more to do: then nothing above says anything."""
    ready = int(ours.one("SELECT count(*) FROM subtask WHERE state = 'ready' AND lane = 'load'"))
    if ready == 0:
        yield Figure("ready subtasks at the end", "0", "more than 0, or the limit was not what bound", False)


def _used_words(scenario: Scenario) -> str:
    if scenario.binding == "tokens":
        return "useful tokens, of the limit"
    return f"use of the limit ({scenario.binding.replace('_', ' ')})"


def _used(scenario: Scenario, calls: Sequence[Seen], span: Span) -> float:
    """How fast the limit was used; where the vendor counts promises, the share of it that became useful."""
    if scenario.binding != "tokens":
        return pace(calls, span, scenario.binding, scenario.limit)
    return used_tokens(span.ended_in(calls)) / (scenario.limit * span.minutes)


def _refused(scenario: Scenario, calls: Sequence[Seen], first: float, span: Span) -> Iterator[Figure]:
    until = [call for call in calls if call.began < span.end]
    if scenario.kind is not Kind.LEARNING:
        yield at_most("429s per 1,000 calls", refused_per_thousand(until), scenario.most_refused)
        return
    learning = Span(first - 60, span.begin).ended_in(until)
    yield at_most(
        "429s per 1,000 calls while learning", refused_per_thousand(learning), scenario.most_refused
    )
    yield at_most("429s per 1,000 calls afterwards", refused_per_thousand(span.ended_in(until)), None)


def _slots(ours: Fleet, calls: Sequence[Seen]) -> Iterator[Figure]:
    """Between the claim of an attempt and the arrival of its call at the vendor a worker's slot is taken."""
    began = {call.attempt: call.began for call in calls if call.attempt}
    claimed = ours.rows("SELECT id, claimed_at FROM attempt WHERE claimed_at IS NOT NULL")
    waits = [max(0.0, began[row.id] - row.claimed_at) for row in claimed if row.id in began]
    beyond = sum(wait for wait in waits if wait > AT_WORK_SECONDS)
    yield at_most("slot seconds spent waiting between claim and call", beyond, 0)
    yield Figure(
        "claim to call, p50 / p99",
        f"{quantile(waits, 0.5) * 1000:.0f} / {quantile(waits, 0.99) * 1000:.0f} ms",
    )


def _fairness(ours: Fleet, calls: Sequence[Seen], span: Span) -> Iterator[Figure]:
    """Output tokens that equal tenants got."""
    query = "SELECT attempt.id, job.tenant FROM attempt JOIN job ON job.id = attempt.job_id"
    tenant_of = {row.id: row.tenant for row in ours.rows(query)}
    got = Counter[str](dict.fromkeys(TENANTS, 0))
    for call in span.ended_in(calls):
        if call.attempt in tenant_of:
            got[tenant_of[call.attempt]] += call.output_tokens
    yield at_least("Jain index over four equal tenants", jain(list(got.values())), 0.98, ".3f")
