"""Overload: how many calls an account may have under way while its vendor has too much to do.

A ceiling on concurrency, apart from the quota, moved as TCP moves its congestion window (RFC 5681): down by a
share at most once per round trip, up by one per round trip while it binds, by slow start after a pause. The
breaker opens after rounds of nothing but overload and lets a single probe through when its pause is over.

No round trip is timed. An answer to a call that was granted before the last decrease tells of the time before
it, so one decrease per round trip means to pass such answers over; and one more call per round trip means
that each success adds its part of one.

A vendor that is away opens the same breaker: work that is sent to it fails try after try and is dead in seconds,
while the first answer of a probe shows that it is back.
"""

from dataclasses import dataclass
from enum import StrEnum

from contracts.base import Contract

DECREASE = 0.7
OPENS_AFTER = 5
"""Rounds in a row that brought nothing but overload."""
AWAY_AFTER = 3
"""Calls in a row that were not answered: fewer than a subtask has tries, or one that is alone would be dead first."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 10.0
"""A single call in ten seconds burdens no vendor, and the end of an overload is noticed within that."""
PAUSE_GROWTH = 1.25
"""From pause to pause: the next one is never longer than the first and a quarter of all before it."""
CLEAN_ROUNDS = 3
"""Round trips without overload after which the increase doubles: under an overload that lasts, the ceiling
swings gently about what the vendor can bear, and it is soon back up once the overload is over."""


class Phase(StrEnum):
    """How the ceiling moves."""

    STEADY = "steady"
    """Up a little with each round trip; left by rounds of nothing but overload."""
    PROBING = "probing"
    """One call at a time, as the account was closed; left by a success."""
    STARTING = "starting"
    """Doubling with each round trip; left at the last ceiling known to be good, and by an overload."""


class Ceiling(Contract):
    """What an account's answers taught of its vendor's strength."""

    allowed: float
    """Calls at once; the part below one is growth not yet whole."""
    known_good: float
    """The calls under way when things last went well; after a breaker, which tells nothing of that, all of them."""
    phase: Phase = Phase.STEADY
    decreased_at: float = 0.0
    """Answers to calls granted before this moment say nothing."""
    bad_rounds: int = 0
    """Decreases without a success between them."""
    openings: int = 0
    """Of the breaker, without a success between them."""
    clean_rounds: float = 0.0
    """Round trips without overload since the last decrease, counted while the ceiling bound."""


@dataclass(frozen=True)
class Traffic:
    """An account's calls at the moment of an answer."""

    declared: int
    """The most calls at once that the catalog or an operator allows."""
    in_flight: int
    """The answered call included."""


@dataclass(frozen=True)
class Moved:
    """The ceiling after an answer."""

    ceiling: Ceiling | None
    """None where there never was an overload."""
    pause_seconds: float = 0.0
    """For which the account closes, beginning at once."""
    said: str = ""
    """The change in a sentence; empty where it is not worth one."""


def most_in_flight(ceiling: Ceiling | None, declared: int) -> int:
    """How many calls may be under way at once."""
    if ceiling is None:
        return declared
    if ceiling.phase is Phase.PROBING:
        return 1
    return max(min(int(ceiling.allowed), declared), 1)


def untouched(declared: int) -> Ceiling:
    """The ceiling of an account whose vendor never was overloaded."""
    return Ceiling(allowed=declared, known_good=declared)


def overloaded(ceiling: Ceiling | None, traffic: Traffic, granted_at: float, at: float) -> Moved:
    """After a refusal for overload, of a call granted at `granted_at`."""
    if ceiling is None:
        ceiling = untouched(traffic.declared)
    elif is_before(granted_at, ceiling.decreased_at, at):
        return Moved(ceiling)
    if ceiling.phase is Phase.PROBING:
        return _opened(ceiling, traffic.declared, at, "the probe was refused for overload too")
    bad_rounds = ceiling.bad_rounds + 1
    if bad_rounds >= OPENS_AFTER:
        return _opened(ceiling, traffic.declared, at, f"{bad_rounds} rounds brought nothing but overload")
    return _decreased(ceiling, traffic, bad_rounds, at)


def unanswered(
    ceiling: Ceiling | None, traffic: Traffic, in_a_row: int, granted_at: float, at: float
) -> Moved:
    """After so many calls in a row that the vendor did not answer, this one included. Fewer say nothing of it: they
    may be the questions' own fault."""
    if ceiling is None:
        ceiling = untouched(traffic.declared)
    elif is_before(granted_at, ceiling.decreased_at, at):
        return Moved(ceiling)
    if ceiling.phase is Phase.PROBING:
        return _opened(ceiling, traffic.declared, at, "the probe was not answered")
    if in_a_row >= AWAY_AFTER:
        return _opened(ceiling, traffic.declared, at, f"{in_a_row} calls in a row were not answered")
    return Moved(ceiling)


def _decreased(ceiling: Ceiling, traffic: Traffic, bad_rounds: int, at: float) -> Moved:
    """From what was under way, since a ceiling that did not bind would fall without any effect."""
    under_way = max(min(ceiling.allowed, traffic.declared, traffic.in_flight), 1.0)
    after = Ceiling(
        allowed=max(under_way * DECREASE, 1.0),
        known_good=ceiling.known_good if ceiling.bad_rounds else under_way,
        decreased_at=at,
        bad_rounds=bad_rounds,
    )
    most = most_in_flight(after, traffic.declared)
    return Moved(
        after, said=f"the vendor is overloaded with {under_way:.0f} calls at once; at most {most} from here"
    )


def _opened(ceiling: Ceiling, declared: int, at: float, why: str) -> Moved:
    """The breaker. That not a single call was let through says nothing of how many will be: the slow start after it
    goes on until a call is refused, and not until what happened to be under way when it began."""
    pause = min(FIRST_PAUSE_SECONDS * PAUSE_GROWTH ** min(ceiling.openings, 100), LONGEST_PAUSE_SECONDS)
    begun = {"openings": ceiling.openings + 1, "known_good": float(declared)}
    after = suspended(ceiling, at).model_copy(update=begun)
    return Moved(after, pause, f"{why}; a pause of {pause:.1f} s, then a single probe")


def suspended(ceiling: Ceiling, at: float) -> Ceiling:
    """The ceiling of an account that closes at this moment: when it opens, one probe goes ahead of the rest."""
    return Ceiling(
        allowed=1.0,
        known_good=max(ceiling.known_good, ceiling.allowed),
        phase=Phase.PROBING,
        decreased_at=at,
    )


def succeeded(ceiling: Ceiling | None, traffic: Traffic, granted_at: float, at: float) -> Moved:
    """After a success of a call granted at `granted_at`."""
    if ceiling is None or is_before(granted_at, ceiling.decreased_at, at):
        return Moved(ceiling)
    match ceiling.phase:
        case Phase.PROBING:
            return Moved(
                _doubling(ceiling, traffic.declared), said="the probe was answered; calls begin slowly"
            )
        case Phase.STARTING if ceiling.allowed < 2 * traffic.in_flight:
            return _said_when_whole(ceiling, _doubling(ceiling, traffic.declared), traffic.declared)
        case Phase.STEADY:
            return _said_when_whole(ceiling, _increased(ceiling, traffic), traffic.declared)
    return Moved(ceiling)


def _doubling(ceiling: Ceiling, declared: int) -> Ceiling:
    """One more for each success is twice as many for each round trip."""
    allowed = min(ceiling.allowed + 1, declared)
    good = allowed >= min(ceiling.known_good, declared)
    return Ceiling(
        allowed=max(allowed, 1.0),
        known_good=ceiling.known_good,
        phase=Phase.STEADY if good else Phase.STARTING,
        decreased_at=ceiling.decreased_at,
    )


def _increased(ceiling: Ceiling, traffic: Traffic) -> Ceiling:
    step = 2.0 ** min(int(ceiling.clean_rounds / CLEAN_ROUNDS), 10)
    grown = ceiling.allowed
    # Answers that are applied together find the calls under way of before, so the step is allowed for.
    if grown < traffic.declared and traffic.in_flight + step >= int(grown):
        grown = min(grown + step / grown, traffic.declared)
    rounds = 0.0 if grown == ceiling.allowed else 1 / ceiling.allowed
    return ceiling.model_copy(
        update={
            "allowed": max(min(grown, traffic.declared), 1.0),
            "bad_rounds": 0,
            "clean_rounds": ceiling.clean_rounds + rounds,
        }
    )


def _said_when_whole(before: Ceiling, after: Ceiling, declared: int) -> Moved:
    whole = before.allowed < declared <= after.allowed
    return Moved(after, said=f"all {declared} calls at once are allowed again" if whole else "")


def is_before(granted_at: float, moment: float, at: float) -> bool:
    """Whether a call was granted before a moment that is past. A moment still to come was written by a clock
    that has since been set back; nothing is before it, or everything would be."""
    return granted_at < moment <= at
