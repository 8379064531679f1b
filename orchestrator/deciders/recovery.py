"""Recovery: what follows a failed attempt. A pure function of the failure, the policy and the history."""

from dataclasses import dataclass

from contracts.failures import Category, Code, Failure
from contracts.lanes import Attempts
from contracts.workflows import Ending, OnTrouble

WAITING = frozenset({Code.UNFINISHED, Code.UNKNOWN_CONTRACT, Code.MISSING_PREREQUISITE, Code.INTERRUPTED})
"""Failures of work that only came too early, or in a worker that had to go; each stands under a bound of its own."""
UNANSWERED = frozenset({Code.VENDOR_ERROR, Code.NOT_SENT, Code.TIMEOUT})
"""Failures of the vendor, as far as anybody can tell who looks at one of them."""
AWAY = UNANSWERED - {Code.TIMEOUT}
"""Those that are no tries while the vendor is known to be away. A call that timed out may have been worked at and be
charged for: that may not go on without a bound of its own."""
UNASKED = frozenset({Code.RATE_LIMITED, Code.OVERLOADED, Code.NOT_SENT, Code.UNKNOWN_CONTRACT})
"""Failures before which no model answered: the question stands as it was first asked."""


@dataclass(frozen=True)
class History:
    """What this subtask has behind it, the failed attempt included."""

    tries: int
    """Attempts that ran and were not turned away, on this rung of its lane's ladder."""
    repairs: int
    """Of these, on this rung."""
    crashes: int
    limited: int = 0
    """Attempts that were turned away, that looked at something unfinished, or that were lost with others: what
    counts as no try and no crash."""
    paced: bool = False
    """Whether a budget holds it back, which a limit's refusal closes and an overload narrows."""
    away: bool = False
    """Whether its vendor was known to be away, so that it was the probe."""
    promised_less: bool = False
    """Whether the answer was promised less room than its lane may give."""
    rungs_left: int = 0
    """Of its lane's ladder."""
    shared_loss: bool = False
    """Whether it was lost together with others, so that nobody can say whose crash it was."""


@dataclass(frozen=True)
class Retry:
    """Try again, not before so many seconds from now."""

    delay_seconds: float
    why: str
    is_repair: bool = False


@dataclass(frozen=True)
class End:
    """It ends, as its step declares."""

    ending: Ending
    why: str
    code: Code | None = None
    """Of what ended it, where that is not the failure itself."""


@dataclass(frozen=True)
class Climb:
    """More of the same would not help: it goes on to the next rung of its lane's ladder, or ends so."""

    why: str
    otherwise: End


Recovery = Retry | Climb | End


def recover(failure: Failure, policy: Attempts, on: OnTrouble, history: History, chance: float) -> Recovery:
    """Decides with `chance`, a number from 0 to 1 that spreads the retries of many."""
    told = f"{failure.code}: {failure.sentence}"
    match failure.category:
        case Category.TRANSIENT if failure.code is Code.RATE_LIMITED:
            return _limited(failure, policy, on, history, chance, told)
        case Category.TRANSIENT if failure.code is Code.OVERLOADED and history.paced:
            return _overloaded(failure, policy, on, history, chance, told)
        case Category.TRANSIENT if failure.code in AWAY and history.away:
            return _overloaded(failure, policy, on, history, chance, told)
        case Category.TRANSIENT if failure.code is Code.UNFINISHED:
            return _unfinished(policy, on, history, chance, told)
        case Category.TRANSIENT if failure.code is Code.UNKNOWN_CONTRACT:
            return _unknown_contract(policy, on, history, chance, told)
        case Category.TRANSIENT if failure.code is Code.INTERRUPTED:
            return _interrupted(policy, on, history, told)
        case Category.TRANSIENT:
            return _transient(failure, policy, on, history, chance, told)
        case Category.OUTPUT if failure.code is Code.CUT and history.promised_less:
            return Retry(0.0, f"{told} (once more with all the room its lane may give)")
        case Category.OUTPUT:
            return _output(policy, on, history, told)
        case Category.CRASH:
            return _crash(policy, history, told)
        case Category.GOVERNANCE:
            return End(Ending.DEAD, f"{told} (needs a person; never retried)")
        case Category.PREREQUISITE:
            return End(on.fail, f"{told} (and nothing is declared to supply it)")
        case Category.JUDGEMENT:
            return _climb(history, End(on.fail, f"{told} (more of the same would not help)"))
        case Category.DETERMINISTIC:
            return End(on.fail, f"{told} (would fail the same way again)")


def is_try(failure: Failure, paced: bool, away: bool = False) -> bool:
    """Whether a failed attempt counts as a try; being turned away, asking whether the vendor is back, or waiting for
    something to finish or to be supplied, never eats one."""
    return failure.code is not Code.CRASHED and not counted_with(failure, paced, away)


def counted_with(failure: Failure, paced: bool, away: bool = False) -> frozenset[Code]:
    """What counts as no try and stands under one bound with this failure; empty where the failure is a try. A
    vendor that has too much to do turns paced work away as its limits do: how much is sent to it is not for the
    subtask to choose. No more is whether it is the one that asks if a vendor is back."""
    if away and failure.code in AWAY:
        return AWAY
    turned_away = frozenset({Code.RATE_LIMITED, Code.OVERLOADED} if paced else {Code.RATE_LIMITED})
    return turned_away if failure.code in turned_away else WAITING & {failure.code}


def _transient(
    failure: Failure, policy: Attempts, on: OnTrouble, history: History, chance: float, told: str
) -> Recovery:
    if history.tries >= policy.most:
        return End(on.loop, f"{told} (the last of {policy.most} tries)")
    delay = _delay(failure, policy, history.tries, chance)
    return Retry(delay, f"{told} (try {history.tries + 1} of {policy.most} in {delay:.1f} s)")


def _limited(
    failure: Failure, policy: Attempts, on: OnTrouble, history: History, chance: float, told: str
) -> Recovery:
    """A refusal by a limit is no try, but a limit that never lets it through is a loop."""
    refusal = f"refusal {history.limited} of {policy.limited}"
    if history.limited >= policy.limited:
        return End(on.loop, f"{told} ({refusal} by a limit)")
    if history.paced:
        return Retry(0.0, f"{told} ({refusal} by a limit; again when its budget allows)")
    delay = _delay(failure, policy, history.limited, chance)
    return Retry(delay, f"{told} ({refusal} by a limit; again in {delay:.1f} s)")


def _overloaded(
    failure: Failure, policy: Attempts, on: OnTrouble, history: History, chance: float, told: str
) -> Recovery:
    """Turned away by an overload is no try either. It comes back more and more rarely however soon the vendor
    asks, so that while its account is probed call by call another is the next probe."""
    refusal = f"turned away {history.limited} of {policy.limited} times"
    if history.limited >= policy.limited:
        return End(on.loop, f"{told} ({refusal})")
    backoff = backoff_seconds(policy, history.limited, chance)
    delay = max(backoff, _delay(failure, policy, history.limited, chance))
    return Retry(delay, f"{told} ({refusal}; again in {delay:.1f} s)")


def _unfinished(policy: Attempts, on: OnTrouble, history: History, chance: float, told: str) -> Recovery:
    """A look that came too early; the looks are bounded, and come more and more rarely."""
    look = f"look {history.limited} of {policy.limited}"
    if history.limited >= policy.limited:
        return End(on.loop, f"{told} ({look})")
    delay = backoff_seconds(policy, history.limited, chance)
    return Retry(delay, f"{told} ({look}; again in {delay:.1f} s)")


def _unknown_contract(
    policy: Attempts, on: OnTrouble, history: History, chance: float, told: str
) -> Recovery:
    """Its worker is older than its handoff; it goes back for a newer one, and not for ever."""
    given_back = f"given back {history.limited} of {policy.limited} times"
    if history.limited >= policy.limited:
        return End(on.loop, f"{told} ({given_back})")
    delay = backoff_seconds(policy, history.limited, chance)
    return Retry(delay, f"{told} ({given_back}; for a newer worker in {delay:.1f} s)")


def _interrupted(policy: Attempts, on: OnTrouble, history: History, told: str) -> Recovery:
    """Its worker was told to stop, which is no fault of the work: it goes on elsewhere at once."""
    stop = f"stop {history.limited} of {policy.limited}"
    if history.limited >= policy.limited:
        return End(on.loop, f"{told} ({stop})")
    return Retry(0.0, f"{told} ({stop}; again at once)")


def _delay(failure: Failure, policy: Attempts, times: int, chance: float) -> float:
    """Later than the other side asked, never sooner; where it did not ask, the backoff of so many times."""
    if failure.retry_after_seconds is not None:
        return failure.retry_after_seconds * (1 + 0.1 * chance)
    return backoff_seconds(policy, max(times, 1), chance)


def backoff_seconds(policy: Attempts, tries: int, chance: float) -> float:
    """Exponential backoff with full jitter above its half: half fixed, half by chance."""
    ceiling = min(policy.backoff_seconds * 2.0 ** (tries - 1), policy.backoff_cap_seconds)
    return ceiling * (0.5 + 0.5 * chance)


def _output(policy: Attempts, on: OnTrouble, history: History, told: str) -> Recovery:
    if on.cut != "repair":
        return End(Ending(on.cut), f"{told} (its step allows no repair)")
    if history.repairs >= policy.repairs or history.tries >= policy.most:
        return _climb(history, End(on.loop, f"{told} (after {history.repairs} repair(s))"))
    return Retry(0.0, f"{told} (one repair, shown the fault)", is_repair=True)


def _climb(history: History, otherwise: End) -> Recovery:
    return Climb(otherwise.why, otherwise) if history.rungs_left else otherwise


def _crash(policy: Attempts, history: History, told: str) -> Recovery:
    if history.shared_loss:
        return _shared_loss(policy, history, told)
    if history.crashes >= policy.crashes:
        return End(Ending.DEAD, f"{told} (crash {history.crashes} of {policy.crashes}; it may be the killer)")
    return Retry(0.0, f"{told} (crash {history.crashes} of {policy.crashes})")


def _shared_loss(policy: Attempts, history: History, told: str) -> Recovery:
    """No crash counts, and yet nothing is lost with others for ever."""
    lost = f"loss {history.limited} of {policy.limited} with others"
    if history.limited >= policy.limited:
        return End(Ending.DEAD, f"{told} ({lost})")
    return Retry(0.0, f"{told} (no crash of its own; {lost})")
