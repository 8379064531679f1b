"""Diagnosing: what the fleet is short of. Measured figures in, at most three findings out, the heaviest first.

What is weighed is time lost inside the window, in seconds: waits for a budget, for a worker and for people,
backoff, and the work of attempts that failed. Waits for what a step needs are the shape of the work and no
shortage, so they are left out. The rules, and why they are so:

* A wait of a few seconds counts as none: pacing itself keeps two seconds of granted work before the slots.
* A cause is a finding from a tenth of a subtask that waits on average over the window (its seconds over the
  window's); less is noise. What still waits and was never granted counts like everything else.
* What dispatch held back is short of what dispatch named. A wait that is over no longer says what for, so it
  counts for the dimension that what still waits names, else for the scarcest of its accounts.
* What was not held back is short of workers only where their slots are taken, or there are none. With free
  slots it stands in line behind what is held in its lane, since dispatch looks only at the head of a queue;
  and with nothing held, the orchestrator or the broker is slow or away.
* Retries starve a fleet where a quarter of its work, in seconds with the backoff or in tokens, is done in vain.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from contracts.failures import Code
from orchestrator.deciders import remedies
from orchestrator.deciders.losses import Allowance, Cause, LaneLoad, Measured, Questions, Spent, Wait
from orchestrator.deciders.remedies import CALLS_AT_ONCE, CLOSED, Remedy
from orchestrator.deciders.spans import span

PATIENCE_SECONDS = 5.0
"""A shorter wait for a budget or a worker is how pacing works."""
PATIENCE_OF_PEOPLE_SECONDS = 300.0
"""A person may take so long without anybody being short of people."""
MEAN_WAITING = 0.1
"""Subtasks that wait on average, from which on their cause is a finding."""
BUSY = 0.8
"""The part of its slots that is taken where a lane is short of workers."""
WASTED = 0.25
"""The part of all work that is done in vain where retries starve the fleet."""
FEWEST_FAILURES = 5
FEWEST_ATTEMPTS = 10
"""From fewer nobody can tell that nothing is short."""
MOST_FINDINGS = 3


@dataclass(frozen=True)
class Finding:
    """One thing the fleet is short of."""

    cause: Cause
    where: str
    sentence: str
    seconds_lost: float
    """Inside the window."""
    share: float
    """Of all seconds lost."""
    waiting: int
    """Subtasks or questions that wait for it at this moment."""
    longest_seconds: float
    """The longest single wait; 0 for retries."""
    remedy: Remedy


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
        + _in_vain(measured)
    )
    found = [*_waits(waits, measured), *_people(measured), *_retries(measured)]
    heaviest = sorted(found, key=lambda finding: -finding.seconds_lost)[:MOST_FINDINGS]
    findings = tuple(replace(each, share=each.seconds_lost / lost if lost else 0.0) for each in heaviest)
    return Diagnosis(_verdict(findings, measured, lost), lost, findings)


def blamed(wait: Wait, measured: Measured) -> Wait:
    """The wait with the cause that the measured figures bear out."""
    if wait.cause is Cause.HOLD:
        return wait
    if wait.cause is Cause.BUDGET:
        keys = _allowance(wait.scope, measured).keys
        known = not wait.held_by or any(wait.held_by.startswith(key) for key in keys)
        return wait if known else replace(wait, cause=Cause.HOLD)
    load = measured.lanes.get(wait.lane, LaneLoad())
    if load.busy >= BUSY * load.slots:
        return wait
    held = [other for other in measured.waits if other.cause is Cause.BUDGET and other.lane == wait.lane]
    if not held:
        return replace(wait, cause=Cause.DELIVERY)
    ahead = max(held, key=lambda other: other.seconds)
    return blamed(replace(wait, cause=ahead.cause, scope=ahead.scope, held_by=ahead.held_by), measured)


def _waits(waits: list[Wait], measured: Measured) -> Iterator[Finding]:
    """One finding for each cause and place that is short."""
    together: dict[tuple[Cause, str], list[Wait]] = defaultdict(list)
    for wait in waits:
        together[wait.cause, _place(wait)].append(wait)
    for (cause, place), group in together.items():
        if _matters(sum(wait.seconds for wait in group), measured):
            yield _waited(cause, place, group, measured)


def _place(wait: Wait) -> str:
    match wait.cause:
        case Cause.BUDGET:
            return wait.scope or ""
        case Cause.HOLD:
            return wait.held_by
        case _:
            return wait.lane


def _waited(cause: Cause, place: str, group: list[Wait], measured: Measured) -> Finding:
    where, what, remedy = (
        place,
        "",
        Remedy(remedies.Fix.LIFT, "`fleet explain` of one of them says what lifts it"),
    )
    load = measured.lanes.get(place, LaneLoad())
    match cause:
        case Cause.BUDGET:
            allowance = _allowance(place, measured)
            dimension = _dimension(group, allowance)
            where = ", ".join(allowance.keys) or place
            what = f"{where} ({dimension})"
            spent = [each for each in measured.spent if each.scope == place]
            remedy = remedies.for_budget(allowance, dimension, group, spent, measured.lanes)
            where = what
        case Cause.WORKERS:
            what = f"a worker of lane {place}"
            spent = [each for each in measured.spent if each.lane == place]
            remedy = remedies.for_workers(place, load, group, spent, measured.window_seconds)
        case Cause.DELIVERY:
            what = f"the orchestrator or the broker, in lane {place}"
            remedy = remedies.for_delivery(place, load)
        case _:
            what = f"a hold: {place}"
    seconds, still = sum(wait.seconds for wait in group), sum(wait.still for wait in group)
    longest = max(wait.longest_seconds for wait in group)
    count = sum(wait.count for wait in group)
    sentence = (
        f"{_counted(count, 'subtask')} lost {span(seconds)} waiting for {what}; {still or 'none'} still "
        f"{'waits' if still <= 1 else 'wait'}, and the longest waited {span(longest)}."
    )
    return Finding(cause, where, sentence, seconds, 0.0, still, longest, remedy)


def _people(measured: Measured) -> Iterator[Finding]:
    for asked in measured.questions:
        if _matters(asked.seconds, measured):
            yield _unanswered(asked)


def _unanswered(asked: Questions) -> Finding:
    sentence = (
        f"{_counted(asked.waiting, 'approval')} of {asked.where} {'waits' if asked.waiting == 1 else 'wait'} for a "
        f"person, the longest took {span(asked.longest_seconds)}; {span(asked.seconds)} were lost to it."
    )
    return Finding(
        Cause.APPROVALS,
        asked.where,
        sentence,
        asked.seconds,
        0.0,
        asked.waiting,
        asked.longest_seconds,
        remedies.for_questions(asked),
    )


def _retries(measured: Measured) -> Iterator[Finding]:
    wasted = [each for each in measured.spent if each.wasted]
    failures = sum(each.attempts for each in wasted)
    lost = _in_vain(measured)
    worked = sum(each.worker_seconds for each in measured.spent) + measured.backoff_seconds
    tokens = sum(each.tokens for each in wasted) / max(sum(each.tokens for each in measured.spent), 1)
    share = max(lost / worked if worked else 0.0, tokens)
    if failures < FEWEST_FAILURES or share < WASTED:
        return
    (code, vendor), most = _commonest(wasted)
    where = f"{vendor}: {code}" if vendor else str(code)
    tried = sum(each.attempts for each in measured.spent)
    sentence = (
        f"{failures} of {tried} attempts failed, {most} of them with {code}{f' at {vendor}' if vendor else ''}; "
        f"{share:.0%} of the work was in vain, and {span(measured.backoff_seconds)} went into backoff."
    )
    remedy = remedies.for_failure(code)
    numbers = {
        "failed": float(failures),
        "ended": float(tried),
        "wasted_share": share,
        "commonest": float(most),
    }
    yield Finding(
        Cause.RETRIES, where, sentence, lost, 0.0, 0, 0.0, replace(remedy, numbers=remedy.numbers | numbers)
    )


def _commonest(wasted: list[Spent]) -> tuple[tuple[Code, str | None], int]:
    counts = Counter[tuple[Code, str | None]]()
    for each in wasted:
        assert each.code is not None
        counts[each.code, each.vendor] += each.attempts
    return counts.most_common(1)[0]


def _in_vain(measured: Measured) -> float:
    """Seconds of workers on attempts that failed, and between tries."""
    return sum(each.worker_seconds for each in measured.spent if each.wasted) + measured.backoff_seconds


def _allowance(scope: str | None, measured: Measured) -> Allowance:
    return measured.allowances.get(scope or "", Allowance((), (), {}))


def _dimension(group: list[Wait], allowance: Allowance) -> str:
    """What the accounts are short of: as most of what still waits says, else the scarcest."""
    if allowance.closed:
        return CLOSED
    said = Counter[str]()
    for wait in group:
        said[_named(wait.held_by, allowance)] += wait.still
    named = next((name for name, _ in said.most_common() if name), "")
    return named or next(iter(allowance.dimensions), "unknown")


def _named(held_by: str, allowance: Allowance) -> str:
    """The dimension that a reason of dispatch names; the longest first, as names contain each other."""
    if "concurrent calls" in held_by:
        return CALLS_AT_ONCE
    of_it = held_by.removeprefix(next((key for key in allowance.keys if held_by.startswith(key)), ""))
    return next((name for name in sorted(allowance.dimensions, key=len, reverse=True) if name in of_it), "")


def _matters(seconds: float, measured: Measured) -> bool:
    return seconds >= MEAN_WAITING * measured.window_seconds


def _verdict(findings: tuple[Finding, ...], measured: Measured, lost: float) -> str:
    window = span(measured.window_seconds)
    if findings:
        return f"short of {', '.join(f'{each.cause} ({each.where})' for each in findings)}"
    if measured.granted < FEWEST_ATTEMPTS:
        return (
            f"too little happened to tell: {_counted(measured.granted, 'attempt')} granted in {window}, "
            "and nothing waits for long"
        )
    failed = sum(each.attempts for each in measured.spent if each.wasted)
    return (
        f"nothing is short: {measured.granted} attempts were granted in {window}, {failed} failed, and "
        f"{span(lost)} were lost, {lost / measured.window_seconds:.2f} waiting subtasks on average"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
