"""Findings: one thing that the fleet is short of, as a sentence with its numbers and its remedy."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from contracts.failures import Code
from orchestrator.deciders import remedies
from orchestrator.deciders.blaming import CLOSED, allowance_of, dimension_of
from orchestrator.deciders.losses import Cause, LaneLoad, Measured, Questions, Spent, Wait
from orchestrator.deciders.remedies import Remedy
from orchestrator.deciders.spans import span


@dataclass(frozen=True)
class Finding:
    """One thing the fleet is short of."""

    cause: Cause
    where: str
    sentence: str
    remedy: Remedy
    seconds_lost: float
    """Inside the window."""
    waiting: int = 0
    """Subtasks or questions that wait for it at this moment."""
    longest_seconds: float = 0.0
    """The longest single wait; 0 for retries."""


def waited(cause: Cause, place: str, waits: Sequence[Wait], measured: Measured) -> Finding:
    """Waits of one cause at one place: a scope, a lane, or the words of a hold."""
    load = measured.lanes.get(place, LaneLoad())
    match cause:
        case Cause.BUDGET:
            return _short_of_budget(place, waits, measured)
        case Cause.WORKERS:
            spent = [each for each in measured.spent if each.lane == place]
            remedy = remedies.for_workers(place, load, waits, spent, measured.window_seconds)
            return _finding(cause, place, f"a worker of lane {place}", waits, remedy)
        case Cause.DELIVERY:
            what = f"the orchestrator or the broker, in lane {place}"
            return _finding(cause, place, what, waits, remedies.for_delivery(place, load))
        case _:
            return _finding(cause, place, f"what holds them: {place}", waits, remedies.for_hold(waits[0].cap))


def _short_of_budget(scope: str, waits: Sequence[Wait], measured: Measured) -> Finding:
    allowance = allowance_of(scope, measured)
    dimension = dimension_of(waits, allowance)
    accounts = ", ".join(allowance.keys) or scope
    what = f"{accounts}, which is closed" if dimension == CLOSED else f"{dimension} of {accounts}"
    spent = [each for each in measured.spent if each.scope == scope]
    remedy = remedies.for_budget(allowance, dimension, waits, spent, measured.lanes)
    return _finding(Cause.BUDGET, f"{accounts}: {dimension}", what, waits, remedy)


def _finding(cause: Cause, where: str, what: str, waits: Sequence[Wait], remedy: Remedy) -> Finding:
    seconds, still = sum(wait.seconds for wait in waits), sum(wait.still for wait in waits)
    longest = max(wait.longest_seconds for wait in waits)
    sentence = (
        f"{counted(sum(wait.count for wait in waits), 'subtask')} lost {span(seconds)} waiting for {what}; "
        f"{still or 'none'} still {'waits' if still <= 1 else 'wait'}, and the longest waited {span(longest)}."
    )
    return Finding(cause, where, sentence, remedy, seconds, still, longest)


def unanswered(asked: Questions) -> Finding:
    """Questions that people let wait."""
    sentence = (
        f"{counted(asked.waiting, 'approval')} of {asked.where} {'waits' if asked.waiting == 1 else 'wait'} for a "
        f"person, the longest took {span(asked.longest_seconds)}; {span(asked.seconds)} were lost to it."
    )
    remedy = remedies.for_questions(asked)
    return Finding(
        Cause.APPROVALS, asked.where, sentence, remedy, asked.seconds, asked.waiting, asked.longest_seconds
    )


def in_vain(measured: Measured, wasted: Sequence[Spent], share: float, seconds: float) -> Finding:
    """Work that is done again and again; `share` of all work is lost to it."""
    failed, ended = (sum(each.attempts for each in some) for some in (wasted, measured.spent))
    counts = Counter[tuple[Code, str | None]]()
    for each in wasted:
        if each.code is not None:
            counts[each.code, each.vendor] += each.attempts
    ((code, vendor), most), *_ = counts.most_common(1)
    sentence = (
        f"{failed} of {ended} attempts failed, {most} of them with {code}{f' at {vendor}' if vendor else ''}; "
        f"{share:.0%} of the work was in vain, and {span(measured.backoff_seconds)} went into backoff."
    )
    numbers = {
        "failed": float(failed),
        "ended": float(ended),
        "commonest": float(most),
        "wasted_share": share,
        "backoff_seconds": measured.backoff_seconds,
    }
    remedy = replace(remedies.for_failure(code), numbers=numbers)
    return Finding(Cause.RETRIES, f"{vendor}: {code}" if vendor else str(code), sentence, remedy, seconds)


def counted(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
