"""Feedback: what an answer from a vendor changes in its account's limits, levels, ceiling and opening.

Answers overtake each other. One that came before another that was heard already is late, and one to a call
granted before the last correction tells of the time before it: neither changes a level, a limit or the
ceiling. That a vendor asked to be left alone is honoured whenever it is heard.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from pydantic import Field

from contracts.base import Contract
from contracts.limits import Dimension, ResponseKind, VendorSignal
from orchestrator.deciders.learning import (
    UNTRIED,
    Learned,
    Told,
    Trust,
    UnderWay,
    is_whole,
    recovered,
    refused,
    told,
)
from orchestrator.deciders.overload import (
    Ceiling,
    Moved,
    Traffic,
    is_before,
    overloaded,
    succeeded,
    suspended,
    unanswered,
    untouched,
)
from orchestrator.deciders.pacing import DAILY, Amount, full, per_second, words

LONGEST_DELAY_SECONDS = 900.0
"""The most that a vendor's delay is taken for. A date read wrongly or milliseconds taken for seconds would shut
an account for days and nobody would ask again; a delay that was meant costs one refusal each quarter of an hour."""
LEAST_DELAY_SECONDS = 1.0
"""Where the vendor names no delay."""
CLOSED_SECONDS = 900.0
"""Between probes of an account that waits for a person."""
DAY_JUST_BEGUN_SECONDS = 82800.0
"""With more than so much of the day left, a day's quota that is used up may be yesterday's, by a vendor's clock
that runs behind: asking again soon then saves a day."""
DAY_SECONDS = 86400.0
QUIET_SECONDS = 60.0
"""Without a refusal, before what refusals took is given back."""


class Memory(Contract):
    """What has to be remembered from answer to answer, as plain values."""

    ceiling: Ceiling | None = None
    trust: dict[Dimension, Trust] = Field(default_factory=dict)
    corrected_at: float = 0.0
    """When a level was last lowered."""
    refused_at: float = 0.0
    """When a refusal of the account's own quota was last counted."""
    called_at: float = 0.0
    """When the account was last closed and a person called."""
    unanswered: int = 0
    """Calls in a row that the vendor did not answer."""
    is_away: bool = False
    """Whether these opened the breaker, and no call was answered since."""


@dataclass(frozen=True)
class Account:
    """An account's budget at the moment of hearing, refilled up to it."""

    dimensions: Mapping[Dimension, Learned]
    unsent: Amount
    """Reserved by attempts that were granted and not sent when the answer came."""
    reserved: Amount
    """Reserved by all attempts that were unanswered then."""
    concurrency: int
    """As declared."""
    in_flight: int
    """Calls under way, the answered one included."""
    closed_until: float | None = None
    closed_why: str = ""
    heard_at: float | None = None
    """When the newest answer came of those that were heard."""
    memory: Memory = field(default_factory=Memory)


@dataclass(frozen=True)
class Answer:
    """One answer, and the call it belongs to. All moments are the database's."""

    signal: VendorSignal
    granted_at: float
    answered_at: float
    wanted: Amount
    """What the call had reserved."""
    day_left_seconds: float = DAY_SECONDS
    """From the answer until the vendor's day ends."""
    is_missing: bool = False
    """Whether there was none, or an error that is no fault of what was asked."""


@dataclass(frozen=True)
class Heard:
    """The account after an answer."""

    account: Account
    said: tuple[str, ...] = ()
    """The changes in sentences. Growth by small steps is told when it is complete, and of levels that are
    lowered again and again the first in a minute."""
    call: str = ""
    """What a person must be told, where one must be called."""


def hear(account: Account, answer: Answer, at: float) -> Heard:
    """The account after an answer that is heard at the moment `at`."""
    if is_before(answer.answered_at, account.heard_at or 0.0, at):
        return _consequence(account, answer, 0.0, True, at)
    gap_seconds = answer.answered_at - (account.heard_at or answer.answered_at)
    heard = _standings(account, answer, gap_seconds, at)
    after = _consequence(replace(heard.account, heard_at=answer.answered_at), answer, gap_seconds, False, at)
    return replace(after, said=(*heard.said, *after.said))


def _consequence(account: Account, answer: Answer, gap_seconds: float, late: bool, at: float) -> Heard:
    match answer.signal.kind:
        case ResponseKind.OK:
            return Heard(account) if late else _went_well(account, answer, gap_seconds, at)
        case ResponseKind.OVERLOADED:
            return Heard(account) if late else _overloaded(account, answer, at)
        case ResponseKind.RATE_LIMITED:
            return _rate_limited(account, answer, late, at)
        case ResponseKind.DAY_LIMITED:
            return _day_limited(account, answer, at)
        case ResponseKind.SPEND_LIMITED | ResponseKind.UNAUTHORISED as kind:
            return _closed_for_a_person(account, answer, CLOSED_SECONDS, _REASONS[kind], at)
        case ResponseKind.ERROR | ResponseKind.SILENT:
            return Heard(account) if late or not answer.is_missing else _unanswered(account, answer, at)
        case never:
            assert_never(never)


_REASONS = {
    ResponseKind.SPEND_LIMITED: "money or credit has run out",
    ResponseKind.UNAUTHORISED: "the vendor does not accept the key",
}


def _standings(account: Account, answer: Answer, gap_seconds: float, at: float) -> Heard:
    """What the answer's headers or details say of each dimension that the account knows."""
    if is_before(answer.granted_at, account.memory.corrected_at, at):
        return Heard(account)
    results: dict[Dimension, Told] = {}
    for standing in answer.signal.standings:
        dimension = standing.dimension
        if dimension not in account.dimensions:
            continue
        results[dimension] = told(
            dimension,
            account.dimensions[dimension],
            account.memory.trust.get(dimension, UNTRIED),
            standing,
            UnderWay(account.unsent.get(dimension, 0.0), account.reserved.get(dimension, 0.0)),
            gap_seconds,
            at,
        )
    learned = {dimension: result.learned for dimension, result in results.items()}
    trust = {dimension: result.trust for dimension, result in results.items()}
    corrections = tuple(result.correction for result in results.values() if result.correction)
    after = _remembering(
        replace(account, dimensions={**account.dimensions, **learned}),
        trust={**account.memory.trust, **trust},
        corrected_at=at if corrections else account.memory.corrected_at,
    )
    said = tuple(sentence for result in results.values() for sentence in result.said)
    if is_before(at - QUIET_SECONDS, account.memory.corrected_at, at):
        return Heard(after, said)
    return Heard(after, (*said, *corrections))


def _went_well(account: Account, answer: Answer, gap_seconds: float, at: float) -> Heard:
    moved = succeeded(account.memory.ceiling, _traffic(account), answer.granted_at, at)
    after = _remembering(account, ceiling=moved.ceiling, unanswered=0, is_away=False)
    if is_before(at - QUIET_SECONDS, account.memory.refused_at, at):
        return Heard(after, _sentences(moved))
    if all(map(is_whole, after.dimensions.values())):
        return Heard(after, _sentences(moved))
    dimensions = {
        dimension: recovered(dimension, learned, gap_seconds, at)
        for dimension, learned in after.dimensions.items()
    }
    whole = tuple(
        f"{words(dimension)}: the declared limit and burst hold again"
        for dimension, learned in dimensions.items()
        if is_whole(learned) and not is_whole(account.dimensions[dimension])
    )
    return Heard(replace(after, dimensions=dimensions), (*_sentences(moved), *whole))


def _rate_limited(account: Account, answer: Answer, late: bool, at: float) -> Heard:
    """The whole account closes for as long as the vendor asks, and what ran out is empty until then. Refusals
    of calls that were granted before the last one counted are its echo: they lengthen what was asked, and
    change nothing else."""
    echo = late or is_before(answer.granted_at, account.memory.refused_at, at)
    if echo and answer.signal.retry_after_seconds is None:
        return Heard(account)
    hit = _hit(account, answer.signal)
    until = answer.answered_at + _wait_seconds(account, hit, answer)
    what = f"{words(hit)} ran out" if hit else "a limit that is not known here ran out"
    closed = _closed(account, until, f"{what} at the vendor", at)
    if echo:
        return closed
    after = _remembering(closed.account, refused_at=at, corrected_at=at)
    if hit is None:
        return Heard(after, closed.said)
    before = account.dimensions[hit]
    cut = refused(hit, before, until - at, at)
    sentence = (
        f"{words(hit)} ran out at the vendor before they did here: limit {before.limit:,.0f} to {cut.limit:,.0f}, "
        f"burst {before.burst_seconds:.1f} s to {cut.burst_seconds:.1f} s"
    )
    return Heard(replace(after, dimensions={**after.dimensions, hit: cut}), (*closed.said, sentence))


def _hit(account: Account, signal: VendorSignal) -> Dimension | None:
    """What the vendor says ran out, or what is the emptiest here where it does not say."""
    if signal.hit is not None:
        return signal.hit if signal.hit in account.dimensions else None
    per_minute = {d: learned for d, learned in account.dimensions.items() if d not in DAILY}
    return min(per_minute, key=lambda d: per_minute[d].level / full(d, per_minute[d].bucket), default=None)


def _wait_seconds(account: Account, hit: Dimension | None, answer: Answer) -> float:
    """What the vendor asks for, or what the dimension takes to refill what the call wanted."""
    if answer.signal.retry_after_seconds is not None:
        return _asked_seconds(answer.signal)
    rate = per_second(hit, account.dimensions[hit].bucket) if hit else 0.0
    if hit is None or not rate:
        return LEAST_DELAY_SECONDS
    needed = min(answer.wanted.get(hit, 0.0), full(hit, account.dimensions[hit].bucket))
    return min(max(needed / rate, LEAST_DELAY_SECONDS), LONGEST_DELAY_SECONDS)


def _asked_seconds(signal: VendorSignal) -> float:
    return min(signal.retry_after_seconds or 0.0, LONGEST_DELAY_SECONDS)


def _overloaded(account: Account, answer: Answer, at: float) -> Heard:
    """The ceiling falls, and where the breaker opens, the account closes for its pause or for as long as the
    vendor asks, whichever is longer."""
    moved = overloaded(account.memory.ceiling, _traffic(account), answer.granted_at, at)
    after = _remembering(account, ceiling=moved.ceiling)
    if not moved.pause_seconds:
        return Heard(after, _sentences(moved))
    until = max(at + moved.pause_seconds, answer.answered_at + _asked_seconds(answer.signal))
    closed = _closed(after, until, "the vendor is overloaded", at)
    return Heard(closed.account, (*_sentences(moved), *closed.said))


def _unanswered(account: Account, answer: Answer, at: float) -> Heard:
    """Closed where too many calls in a row were not answered: one asks whether the vendor is back."""
    in_a_row = account.memory.unanswered + 1
    moved = unanswered(account.memory.ceiling, _traffic(account), in_a_row, answer.granted_at, at)
    if not moved.pause_seconds:
        return Heard(_remembering(account, unanswered=in_a_row))
    away = _remembering(account, ceiling=moved.ceiling, unanswered=in_a_row, is_away=True)
    closed = _closed(away, at + moved.pause_seconds, "the vendor does not answer", at)
    return Heard(closed.account, (*_sentences(moved), *closed.said))


def _day_limited(account: Account, answer: Answer, at: float) -> Heard:
    """Closed until the vendor's day ends, or for longer where it asks for longer: what remains of a day's quota
    does not come back sooner, whatever short delay comes with the refusal."""
    left = answer.day_left_seconds if answer.day_left_seconds <= DAY_JUST_BEGUN_SECONDS else CLOSED_SECONDS
    seconds = max(left, min(answer.signal.retry_after_seconds or 0.0, DAY_SECONDS))
    heard = _closed_for_a_person(account, answer, seconds, "the quota of the day is used up", at)
    hit = answer.signal.hit
    if heard.account is account or hit not in DAILY or hit not in account.dimensions:
        return heard
    empty = refused(hit, account.dimensions[hit], seconds, at)
    return replace(heard, account=replace(heard.account, dimensions={**account.dimensions, hit: empty}))


def _closed_for_a_person(account: Account, answer: Answer, seconds: float, why: str, at: float) -> Heard:
    """Closed, with a single probe when it opens again. Answers to calls granted before the closing are its
    echo: they call nobody."""
    if is_before(answer.granted_at, account.memory.called_at, at):
        return Heard(account)
    closed = _closed(account, answer.answered_at + seconds, why, at)
    ceiling = suspended(account.memory.ceiling or untouched(account.concurrency), at)
    after = _remembering(closed.account, ceiling=ceiling, called_at=at)
    return Heard(after, closed.said, f"{why}; one call asks again in {seconds:,.0f} s")


def _closed(account: Account, until: float, why: str, at: float) -> Heard:
    """Closed until a moment; a later one that is already set stands, and the same closing is said once."""
    already = account.closed_until or 0.0
    if until <= max(already, at):
        return Heard(account)
    closed = replace(account, closed_until=until, closed_why=why)
    if already > at and account.closed_why == why:
        return Heard(closed)
    return Heard(closed, (f"closed for {until - at:,.1f} s: {why}",))


def _traffic(account: Account) -> Traffic:
    return Traffic(account.concurrency, account.in_flight)


def _remembering(
    account: Account, **changed: Ceiling | dict[Dimension, Trust] | float | bool | None
) -> Account:
    if all(getattr(account.memory, name) == value for name, value in changed.items()):
        return account
    return replace(account, memory=account.memory.model_copy(update=changed))


def _sentences(moved: Moved) -> tuple[str, ...]:
    return (moved.said,) if moved.said else ()
