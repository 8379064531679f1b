"""What a run found: single figures with what they were to reach, and the row that compares strategies."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from contracts.reports import NANO, Usage
from tests.bench.pacing.scenario import Account, Scenario
from tests.bench.pacing.witness import Seen, Span, refused_per_thousand, use, useful_tokens
from workers import pricing


@dataclass(frozen=True)
class Figure:
    """One figure of one run."""

    what: str
    found: str
    bar: str = ""
    """What it is to reach, in words."""
    met: bool | None = None
    """None where there is no bar."""


@dataclass(frozen=True)
class Strategy:
    """One row of the comparison. All of it is the vendor's account but the failures."""

    name: str
    use: float
    refused_per_thousand: float
    calls: int
    failures: int
    """Tasks that ended without an answer, up to the end of the measurement."""
    useful_tokens_per_minute: float
    usd_per_thousand_answers: float
    """What the vendor billed, whole answer or not, for 1,000 whole answers."""


@dataclass(frozen=True)
class Run:
    """What one run of a scenario found."""

    scenario: Scenario
    workers: int
    seed: int
    figures: Sequence[Figure] = field(default=())
    strategy: Strategy | None = None


def strategy(name: str, scenario: Scenario, calls: Sequence[Seen], span: Span, failures: int) -> Strategy:
    """The row of one strategy: 429s from the first call on, everything else within the span."""
    until = [call for call in calls if call.began < span.end]
    within = span.ended_in(calls)
    answers = sum(call.kind == "ok" for call in within)
    return Strategy(
        name=name,
        use=use(calls, span, scenario.binding, scenario.limit),
        refused_per_thousand=refused_per_thousand(until),
        calls=len(until),
        failures=failures,
        useful_tokens_per_minute=useful_tokens(within) / span.minutes,
        usd_per_thousand_answers=1000 * billed_usd(scenario.account, within) / answers
        if answers
        else float("nan"),
    )


def usd(account: Account, input_tokens: int, output_tokens: int) -> float:
    """What so many tokens cost there at present."""
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    nano, _ = pricing.cost(account.vendor, account.model, usage, datetime.now(UTC))
    return nano / NANO


def billed_usd(account: Account, calls: Sequence[Seen]) -> float:
    """What the vendor bills for these calls."""
    return sum(usd(account, call.input_tokens, call.output_tokens) for call in calls)


def at_least(what: str, found: float, bar: float | None, form: str = ".1%") -> Figure:
    if bar is None:
        return Figure(what, f"{found:{form}}")
    return Figure(what, f"{found:{form}}", f"at least {bar:{form}}", found >= bar)


def at_most(what: str, found: float, bar: float | None, form: str = ".1f") -> Figure:
    if bar is None:
        return Figure(what, f"{found:{form}}")
    return Figure(what, f"{found:{form}}", f"at most {bar:{form}}", found <= bar)
