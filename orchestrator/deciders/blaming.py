"""Blaming: which cause a measured wait is really owed to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.deciders.losses import Allowance, Cause, LaneLoad, Measured, Wait

BUSY = 0.8
"""The part of its slots that is taken where a lane is short of workers."""
CALLS_AT_ONCE = "concurrency"
CLOSED = "closed"


def blamed(wait: Wait, measured: Measured) -> Wait:
    """The wait with the cause that the measured figures bear out, by the rules in `diagnosing`."""
    match wait.cause:
        case Cause.BUDGET:
            keys = allowance_of(wait.scope, measured).keys
            known = not wait.held_by or any(wait.held_by.startswith(key) for key in keys)
            return wait if known else replace(wait, cause=Cause.HOLD)
        case Cause.WORKERS:
            return _not_held(wait, measured)
        case _:
            return wait


def _not_held(wait: Wait, measured: Measured) -> Wait:
    load = measured.lanes.get(wait.lane, LaneLoad())
    if load.busy >= BUSY * load.slots:
        return wait
    held = [other for other in measured.waits if other.cause is Cause.BUDGET and other.lane == wait.lane]
    if not held:
        return replace(wait, cause=Cause.DELIVERY)
    ahead = max(held, key=lambda other: other.seconds)
    return blamed(replace(wait, cause=ahead.cause, scope=ahead.scope, held_by=ahead.held_by), measured)


def allowance_of(scope: str | None, measured: Measured) -> Allowance:
    """What its accounts allow; nothing is known of accounts that are gone."""
    return measured.allowances.get(scope or "", Allowance((), (), {}))


def dimension_of(waits: Sequence[Wait], allowance: Allowance) -> str:
    """What the accounts are short of: as most of what still waits says, else the scarcest."""
    if allowance.closed:
        return CLOSED
    said = Counter[str]()
    for wait in waits:
        said[_named(wait.held_by, allowance)] += wait.still
    named = next((name for name, _ in said.most_common() if name), "")
    return named or next(iter(allowance.dimensions), "budget")


def _named(held_by: str, allowance: Allowance) -> str:
    """The dimension that a reason of dispatch names; the longest first, as names contain each other."""
    if "concurrent calls" in held_by:
        return CALLS_AT_ONCE
    of_it = held_by.removeprefix(next((key for key in allowance.keys if held_by.startswith(key)), ""))
    return next((name for name in sorted(allowance.dimensions, key=len, reverse=True) if name in of_it), "")
