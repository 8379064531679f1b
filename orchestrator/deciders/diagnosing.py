"""Diagnosing: what the fleet is short of. Measured figures in, at most three findings out, the heaviest first.

What is weighed is time lost inside the window, in seconds: waits for a budget, for a worker and for people,
backoff, and the work of attempts that failed. Waits for what a step needs are the shape of the work and no
shortage, so they are left out. The rules, and why they are so:

* A wait of a few seconds counts as none: pacing itself keeps two seconds of granted work before the slots.
* A cause is a finding from a tenth of a subtask that waits on average over the window (by Little's law, its
  seconds over the window's); less is noise. What was never granted counts like everything else, so that one
  subtask which has waited for ten minutes shows.
* What dispatch held back is short of what dispatch named. A wait that is over no longer says what for, so it
  counts for the dimension that what still waits names, else for the scarcest of its accounts. What is parked
  or names no account is a hold of another kind, such as a spending cap.
* What waits for another's answer to the same question waits for what that one waits for, and counts once.
* What was not held back is short of workers only where their slots are taken, or there are none. With free
  slots it stands in line behind what is held in its lane, since dispatch looks only at the head of a queue;
  and with nothing held, the orchestrator or the broker is slow or away.
* People may take minutes for an answer before anybody is short of them.
* Retries starve a fleet where a quarter of its work, in seconds with the backoff or in tokens, is done in vain.
* Where nothing is found, a handful of attempts proves nothing: then too little happened to tell.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.deciders.blaming import blamed
from orchestrator.deciders.findings import Finding, counted, in_vain, unanswered, waited
from orchestrator.deciders.losses import Cause, Measured, Wait
from orchestrator.deciders.spans import span

PATIENCE_SECONDS = 5.0
"""A shorter wait for a budget or a worker is how pacing works."""
PATIENCE_OF_PEOPLE_SECONDS = 300.0
"""A person may take so long without anybody being short of people."""
MEAN_WAITING = 0.1
"""Subtasks that wait on average, from which on their cause is a finding."""
WASTED = 0.25
"""The part of all work that is done in vain where retries starve the fleet."""
FEWEST_FAILURES = 5
FEWEST_ATTEMPTS = 10
"""From fewer nobody can tell that nothing is short."""
MOST_FINDINGS = 3


@dataclass(frozen=True)
class Diagnosis:
    """The verdict in a sentence, and what it rests on."""

    verdict: str
    seconds_lost: float
    """Inside the window, to all causes."""
    findings: tuple[Finding, ...]


def diagnose(measured: Measured) -> Diagnosis:
    """What is short, or that nothing is, or that too little happened to tell."""
    waits = [blamed(wait, measured) for wait in measured.waits]
    lost = (
        sum(wait.seconds for wait in waits)
        + sum(asked.seconds for asked in measured.questions)
        + _seconds_in_vain(measured)
    )
    found = [*_waits(waits, measured), *_people(measured), *_retries(measured)]
    heaviest = tuple(sorted(found, key=lambda finding: -finding.seconds_lost)[:MOST_FINDINGS])
    return Diagnosis(_verdict(heaviest, measured, lost), lost, heaviest)


def _waits(waits: list[Wait], measured: Measured) -> Iterator[Finding]:
    """One finding for each cause and place that is short."""
    together: dict[tuple[Cause, str], list[Wait]] = defaultdict(list)
    for wait in waits:
        together[wait.cause, _place(wait)].append(wait)
    for (cause, place), group in together.items():
        if _matters(sum(wait.seconds for wait in group), measured):
            yield waited(cause, place, group, measured)


def _place(wait: Wait) -> str:
    match wait.cause:
        case Cause.BUDGET:
            return wait.scope or ""
        case Cause.HOLD:
            return f"spending cap {wait.cap}" if wait.cap else wait.held_by
        case _:
            return wait.lane


def _people(measured: Measured) -> Iterator[Finding]:
    return (unanswered(asked) for asked in measured.questions if _matters(asked.seconds, measured))


def _retries(measured: Measured) -> Iterator[Finding]:
    wasted = [each for each in measured.spent if each.wasted]
    lost = _seconds_in_vain(measured)
    worked = sum(each.worker_seconds for each in measured.spent) + measured.backoff_seconds
    tokens = sum(each.tokens for each in wasted) / max(sum(each.tokens for each in measured.spent), 1)
    share = max(lost / worked if worked else 0.0, tokens)
    if sum(each.attempts for each in wasted) >= FEWEST_FAILURES and share >= WASTED:
        yield in_vain(measured, wasted, share, lost)


def _seconds_in_vain(measured: Measured) -> float:
    """Of workers on attempts that failed, and between tries."""
    return sum(each.worker_seconds for each in measured.spent if each.wasted) + measured.backoff_seconds


def _matters(seconds: float, measured: Measured) -> bool:
    return seconds >= MEAN_WAITING * measured.window_seconds


_WORDS = {
    Cause.BUDGET: "short of budget",
    Cause.WORKERS: "short of workers",
    Cause.APPROVALS: "short of approvals",
    Cause.RETRIES: "starved by retries",
    Cause.HOLD: "held up",
    Cause.DELIVERY: "slow to deliver",
}


def _verdict(findings: tuple[Finding, ...], measured: Measured, lost: float) -> str:
    window = span(measured.window_seconds)
    if findings:
        return "; ".join(f"{_WORDS[each.cause]} ({each.where})" for each in findings)
    if measured.granted < FEWEST_ATTEMPTS:
        return (
            f"too little happened to tell: {counted(measured.granted, 'attempt')} granted in {window}, "
            "and nothing waits for long"
        )
    failed = sum(each.attempts for each in measured.spent if each.wasted)
    return (
        f"nothing is short: {measured.granted} attempts were granted in {window}, {failed} failed, and "
        f"{span(lost)} were lost, which is {lost / measured.window_seconds:.2f} waiting subtasks on average"
    )
