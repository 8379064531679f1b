"""Learning: what one limit of an account really is, and how much of it is left, from what its vendor says.

What says less is taken at once. What says more is taken slowly, only when several answers agree, and never
beyond what was declared: only an operator opens more than that.
"""

import math
from dataclasses import dataclass, replace

from contracts.base import Contract
from contracts.limits import Dimension, Standing
from orchestrator.deciders.pacing import DAILY, Bucket, full, per_second, words

ROUNDING_TOKENS = 1000.0
"""Vendors round the tokens that remain; a smaller difference says nothing."""
AGREEING = 3
"""Answers in a row that must say there is more before a level is raised."""
RAISED_A_MINUTE = 0.03
"""Of the limit: how fast a level is raised beyond its own refill."""
BELIEVED_AFTER = 3
"""Times in a row that a limit which cannot be true must be said to be true after all."""
ODD_LIMIT = 10.0
"""A limit so many times larger or smaller than the declared one cannot be true at first sight."""
ODD_REMAINING = 2.0
"""Nor can more than so many times the limit be left."""

CUT_BURST = 0.5
CUT_LIMIT = 0.97
LEAST_BURST_SECONDS = 1.0
LEAST_LIMIT = 0.5
"""Of the limit that is declared or said: refusals alone bring it no lower."""
LIMIT_BACK_A_MINUTE = 0.03
"""Of the declared limit: one cut is healed in one quiet minute."""
BURST_BACK_A_MINUTE = 1.05
"""A burst doubles in 14 minutes, so one that was learned is tried again a few times an hour."""
LONGEST_GAP_SECONDS = 60.0
"""Silence longer than this teaches no more."""
REMEMBERED_SECONDS = 86400.0
"""A limit that nobody repeated for so long is forgotten; a vendor without headers never says that it rose."""


@dataclass(frozen=True)
class Learned:
    """One dimension of an account: what was declared, and what was learned."""

    declared_limit: float
    limit: float
    """Per minute, or per day where the dimension says so."""
    declared_burst_seconds: float
    burst_seconds: float
    """The vendor's."""
    level: float
    """As of the moment of hearing."""
    seen_limit: float | None = None
    seen_remaining: float | None = None
    """As last said and believed."""
    seen_at: float | None = None

    @property
    def bucket(self) -> Bucket:
        return Bucket(self.limit, self.burst_seconds, self.level)


class Trust(Contract):
    """How far the last answers agree with each other on one dimension."""

    agreeing: int = 0
    """Answers in a row that said there is more than the level."""
    doubts: int = 0
    """Times in a row that the doubted limit was said."""
    doubted_limit: float | None = None


UNTRIED = Trust()


@dataclass(frozen=True)
class UnderWay:
    """Reservations of one dimension that a vendor's count of what remains does not hold yet."""

    unsent: float
    """Of attempts granted and not sent when the answer came."""
    reserved: float
    """Of all attempts that were unanswered then; vendors count output only as it is produced."""


@dataclass(frozen=True)
class Told:
    """One dimension after it was heard of."""

    learned: Learned
    trust: Trust
    said: tuple[str, ...] = ()
    correction: str = ""
    """What was wrong with the level, where it was lowered."""


def told(
    dimension: Dimension,
    before: Learned,
    trust: Trust,
    standing: Standing,
    under_way: UnderWay,
    gap_seconds: float,
    at: float,
) -> Told:
    """The dimension after an answer named it, `gap_seconds` after the answer before."""
    if not all(math.isfinite(number or 0.0) for number in (standing.limit, standing.remaining)):
        return Told(before, trust)
    weighed = _weighed(before, trust, standing)
    if 0 < weighed.doubts < BELIEVED_AFTER:
        return Told(before, weighed, () if trust.doubts else (_doubt(dimension, standing),))
    limited, lowered = _limited(dimension, before, standing, at)
    if standing.remaining is None:
        return Told(limited, weighed, lowered)
    tolerance = 0.0 if "requests" in dimension else ROUNDING_TOKENS
    most = standing.remaining - under_way.unsent
    if limited.level > most + tolerance:
        return Told(
            replace(limited, level=most),
            _agreed(weighed, 0),
            lowered,
            _correction(dimension, limited.level, standing.remaining, under_way.unsent),
        )
    least = _least(dimension, limited, standing, under_way)
    agreeing = min(weighed.agreeing + 1, AGREEING) if least > limited.level + tolerance else 0
    if agreeing == AGREEING:
        raised = limited.level + RAISED_A_MINUTE * limited.limit * _minutes(gap_seconds)
        limited = replace(limited, level=min(raised, least))
    return Told(limited, _agreed(weighed, agreeing), lowered)


def _agreed(trust: Trust, agreeing: int) -> Trust:
    return trust if trust.agreeing == agreeing else trust.model_copy(update={"agreeing": agreeing})


def _weighed(before: Learned, trust: Trust, standing: Standing) -> Trust:
    """A garbled number is seldom garbled the same way twice, and a changed tier is said with every answer: so
    what cannot be true is believed when it is repeated."""
    declared, limit = before.declared_limit, standing.limit
    odd_limit = limit is not None and not declared / ODD_LIMIT < limit < declared * ODD_LIMIT
    odd_remaining = (standing.remaining or 0.0) > ODD_REMAINING * (limit or declared)
    if not odd_limit and not odd_remaining:
        return trust if not trust.doubts else trust.model_copy(update={"doubts": 0, "doubted_limit": None})
    again = trust.doubts > 0 and trust.doubted_limit == limit
    doubts = min(trust.doubts + 1, BELIEVED_AFTER) if again else 1
    return trust.model_copy(update={"doubts": doubts, "doubted_limit": limit})


def _limited(
    dimension: Dimension, before: Learned, standing: Standing, at: float
) -> tuple[Learned, tuple[str, ...]]:
    """A lower limit at once, and the bucket with it; a higher one is what `recovered` climbs to."""
    limit = before.limit if standing.limit is None else min(before.limit, standing.limit)
    after = replace(
        before,
        limit=limit,
        seen_limit=before.seen_limit if standing.limit is None else standing.limit,
        seen_remaining=before.seen_remaining if standing.remaining is None else standing.remaining,
        seen_at=at,
    )
    if limit == before.limit:
        return after, ()
    return capped(dimension, after), (
        f"{words(dimension)}: the vendor allows {limit:,.0f}, and not {before.limit:,.0f}",
    )


def _least(dimension: Dimension, learned: Learned, standing: Standing, under_way: UnderWay) -> float:
    """What is there at least: a full bucket of ours, less what the vendor says is spent and what it has still
    to count. Not the remainder itself, which holds the headroom between the vendor's burst and ours."""
    spent = max((standing.limit or learned.limit) - (standing.remaining or 0.0), 0.0)
    return full(dimension, learned.bucket) - spent - under_way.reserved


def refused(dimension: Dimension, before: Learned, wait_seconds: float, at: float) -> Learned:
    """After the account's own quota ran out here: empty until the wait is over, with less burst and a little
    less limit, since something uses the account that the ledger does not know."""
    level = min(before.level, -per_second(dimension, before.bucket) * max(wait_seconds, 0.0))
    if dimension in DAILY:
        return replace(before, level=level)
    floor = min(LEAST_LIMIT * _true_limit(before, at), before.limit)
    cut = replace(
        before,
        level=level,
        limit=max(before.limit * CUT_LIMIT, floor),
        burst_seconds=max(before.burst_seconds * CUT_BURST, min(LEAST_BURST_SECONDS, before.burst_seconds)),
    )
    return capped(dimension, cut)


def recovered(dimension: Dimension, before: Learned, gap_seconds: float, at: float) -> Learned:
    """A step back towards what is declared and said, for the quiet `gap_seconds` since the last answer."""
    if is_whole(before):
        return before
    minutes = _minutes(gap_seconds)
    climbed = before.limit + LIMIT_BACK_A_MINUTE * before.declared_limit * minutes
    burst_seconds = before.burst_seconds * BURST_BACK_A_MINUTE**minutes
    grown = replace(
        before,
        limit=max(min(climbed, _true_limit(before, at)), before.limit),
        burst_seconds=min(burst_seconds, before.declared_burst_seconds),
    )
    return capped(dimension, grown)


def limit_declared(dimension: Dimension, before: Learned, limit: float) -> Learned:
    """After an operator declared another limit: it holds as said, whatever was learned of the old one. The level
    is never raised by it, and what is used of a day stays used."""
    less = min(limit - before.limit, 0.0) if dimension in DAILY else 0.0
    after = replace(before, declared_limit=limit, limit=limit, level=before.level + less, seen_limit=None)
    return capped(dimension, after)


def burst_declared(dimension: Dimension, before: Learned, burst_seconds: float) -> Learned:
    """After an operator declared another burst of the vendor's."""
    after = replace(before, declared_burst_seconds=burst_seconds, burst_seconds=burst_seconds)
    return capped(dimension, after)


def is_whole(learned: Learned) -> bool:
    """Whether what was declared holds."""
    return (learned.limit, learned.burst_seconds) == (learned.declared_limit, learned.declared_burst_seconds)


def capped(dimension: Dimension, learned: Learned) -> Learned:
    """A level is never above full."""
    return replace(learned, level=min(learned.level, full(dimension, learned.bucket)))


def _true_limit(learned: Learned, at: float) -> float:
    """The declared limit, or the lower one that the vendor said lately."""
    if learned.seen_limit is None or at - (learned.seen_at or 0.0) > REMEMBERED_SECONDS:
        return learned.declared_limit
    return min(learned.declared_limit, learned.seen_limit)


def _minutes(gap_seconds: float) -> float:
    return min(max(gap_seconds, 0.0), LONGEST_GAP_SECONDS) / 60


def _doubt(dimension: Dimension, standing: Standing) -> str:
    limit = "no limit" if standing.limit is None else f"a limit of {standing.limit:,.0f}"
    left = "" if standing.remaining is None else f" with {standing.remaining:,.0f} left"
    return (
        f"{words(dimension)}: {limit}{left} is not believed unless it is said {BELIEVED_AFTER} times in a row"
    )


def _correction(dimension: Dimension, level: float, remaining: float, unsent: float) -> str:
    return (
        f"{words(dimension)}: {level:,.0f} were thought to be left; the vendor says {remaining:,.0f}, of which "
        f"{unsent:,.0f} are granted and not sent"
    )
