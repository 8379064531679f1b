"""Spending: whether an attempt can be paid, by every cap that concerns it.

Rates reserve the mean of what an attempt takes, and money its worst case: a rate that is overdrawn is paid back
by waiting, and money that is spent is gone.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from contracts.reports import NANO

INPUT_MARGIN = 1.5
"""Input is estimated from characters; a language or a notation may take half as many tokens again."""


class Scope(StrEnum):
    """Whose spending a cap limits."""

    FLEET = "fleet"
    TENANT = "tenant"
    LANE = "lane"
    PURPOSE = "purpose"
    JOB = "job"


class Period(StrEnum):
    DAY = "day"
    """The day in UTC, by the database's clock."""
    TOTAL = "total"


@dataclass(frozen=True)
class Cap:
    """One cap as it stands; money in nano-dollars."""

    scope: Scope
    name: str
    """Empty for the fleet."""
    period: Period
    limit: int
    spent: int = 0
    reserved: int = 0
    """The worst case of what is under way."""

    @property
    def key(self) -> str:
        return f"{self.scope}/{self.name}/{self.period}"

    @property
    def left(self) -> int:
        """What running work can at most leave."""
        return self.limit - self.spent

    @property
    def free(self) -> int:
        """What is left beside the worst case of running work."""
        return self.left - self.reserved


@dataclass(frozen=True)
class Charge:
    """What an attempt may cost at most, and on whose account."""

    tenant: str
    lane: str
    purpose: str
    job_id: str
    worst: int

    def names(self) -> dict[Scope, str]:
        """Its name in every scope."""
        return {
            Scope.FLEET: "",
            Scope.TENANT: self.tenant,
            Scope.LANE: self.lane,
            Scope.PURPOSE: self.purpose,
            Scope.JOB: self.job_id,
        }


@dataclass(frozen=True)
class Parked:
    """It does not fit beside what is spent and what is under way. It is released when there is room again."""

    cap: Cap
    why: str


def worst_input(raw_tokens: int, expected_tokens: int, tries: int, most_output_tokens: int) -> int:
    """The most input tokens an attempt is taken to have. `raw_tokens` are estimated from characters, the
    expected ones are calibrated; a further try may be shown each answer before it."""
    return math.ceil(max(raw_tokens, expected_tokens) * INPUT_MARGIN) + tries * most_output_tokens


def afford(caps: Mapping[str, Cap], charge: Charge) -> Parked | None:
    """What forbids the attempt, or None where every cap has room. What costs nothing is never held."""
    if charge.worst <= 0:
        return None
    short = [cap for cap in concerning(caps, charge) if charge.worst > cap.free]
    if not short:
        return None
    cap = min(short, key=lambda cap: cap.left)
    return Parked(cap, told(cap, charge.worst))


def taken(caps: Mapping[str, Cap], charge: Charge) -> dict[str, Cap]:
    """The caps after the attempt was granted."""
    return dict(caps) | {
        cap.key: replace(cap, reserved=cap.reserved + charge.worst) for cap in concerning(caps, charge)
    }


def concerning(caps: Mapping[str, Cap], charge: Charge) -> list[Cap]:
    """The caps that limit this attempt."""
    keys = [f"{scope}/{name}/{period}" for scope, name in charge.names().items() for period in Period]
    return [caps[key] for key in keys if key in caps]


def fitting(cap: Cap, worst_cases: Iterable[tuple[str, int]]) -> list[str]:
    """Which of the parked, given in their order with what each may cost, fit together into what is free."""
    free, found = cap.free, []
    for subtask_id, worst in worst_cases:
        if worst <= free:
            free -= worst
            found.append(subtask_id)
    return found


def may_settle(cap: Cap, worst: int) -> bool:
    """Whether there may be room for the attempt once what is under way has cost less than it may."""
    return cap.reserved > 0 and worst <= cap.left


def dollars(telling: int, *amounts: int) -> list[str]:
    """Nano-dollars as people read them: the first amount with two digits at least, and all with its decimals."""
    cents = telling % (NANO // 100) == 0
    decimals = 2 if cents else min(max(2, 1 - math.floor(math.log10(telling / NANO))), 9)
    return [f"${amount / NANO:,.{decimals}f}" for amount in (telling, *amounts)]


def named(scope: str, name: str) -> str:
    """Whose cap it is, in words."""
    if scope == Scope.FLEET:
        return "the fleet"
    return "this job" if scope == Scope.JOB else f"{scope} {name}"


def told(cap: Cap, worst: int, what: str = "this attempt") -> str:
    """How a cap stands, and what an attempt below it may cost, or whatever else is asked about."""
    may, spent, limit, reserved = dollars(worst, cap.spent, cap.limit, cap.reserved)
    when = " today" if cap.period is Period.DAY else ""
    under_way = f", and work under way may cost {reserved}" if may_settle(cap, worst) else ""
    return (
        f"{named(cap.scope, cap.name)} has spent {spent} of {limit}{when}{under_way}; {what} may cost {may}"
    )
