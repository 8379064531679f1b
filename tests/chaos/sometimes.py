"""What must have happened sometimes: a run that kept every promise, and in which none of it happened, proves little.

That a fault hit something is told by its own witness. Here stands what the fleet must then have gone through.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tests.chaos.load import Answer, Load
from tests.chaos.monkey import Monkey
from tests.chaos.stacks import Stack

Count = Callable[[Stack, Load], int]


@dataclass(frozen=True)
class Sometimes:
    """One thing, and the faults each of which brings it about in a mixed run."""

    says: str
    faults: frozenset[str]
    """None: it happens without any."""
    count: Count


def happened(stack: Stack, load: Load, monkey: Monkey) -> Iterator[tuple[Sometimes, int]]:
    """What must have happened in this run, each with how often it did. One fault alone brings about what it may."""
    if monkey.only is not None:
        return
    for each in SOMETIMES:
        if not each.faults or each.faults & monkey.done.keys():
            yield each, each.count(stack, load)


def while_away(load: Load, absences: list[tuple[float, float]]) -> list[Answer]:
    """The answers of an API that was there to submissions that came and were answered while something was away."""
    return [
        answer
        for began, ended in absences
        for answer in load.answers
        if answer.status and began <= answer.sent_at and answer.answered_at <= ended
    ]


def _rows(stack: Stack, load: Load, query: str) -> int:
    return int(stack.rows(f"SELECT count(*) AS number FROM {query}")[0].number)


def _refused(stack: Stack, load: Load) -> int:
    return sum(answer.status == 503 for answer in while_away(load, stack.notes.ledger_away))


def _accepted(stack: Stack, load: Load) -> int:
    return sum(answer.job_id is not None for answer in while_away(load, stack.notes.broker_away))


def _repeated(stack: Stack, load: Load) -> int:
    times = Counter(answer.key for answer in load.answers if answer.job_id)
    return sum(number > 1 for number in times.values())


def _by(*faults: str) -> frozenset[str]:
    return frozenset(faults)


def _seen(says: str, faults: frozenset[str], query: str) -> Sometimes:
    """Something that the ledger knows of."""
    return Sometimes(says, faults, partial(_rows, query=query))


_LATER = (
    "attempt AS later WHERE later.subtask_id = before.subtask_id AND later.claimed_at > before.claimed_at"
)
SOMETIMES = (
    Sometimes("a job was submitted again under its key, and stands once", frozenset(), _repeated),
    Sometimes("a submission was refused while the ledger was away", _by("ledger-away"), _refused),
    Sometimes("a job was accepted while the broker was away", _by("broker-away"), _accepted),
    _seen("a late report was fenced out", _by("stop-worker"), "event WHERE kind = 'attempt_stale'"),
    _seen(
        "an attempt was lost, and its subtask claimed again",
        _by("kill-worker", "stop-worker"),
        f"attempt AS before WHERE state = 'lost' AND EXISTS (SELECT 1 FROM {_LATER})",
    ),
    _seen(
        "a call was held for ambiguous, and charged at what was reserved",
        _by("vendor-reset", "vendor-torn", "vendor-timeout"),
        "attempt WHERE ambiguous AND sent AND state = 'settled' AND cost_nano_usd > 0",
    ),
    _seen("a doorbell was rung again", _by("flush", "broker-restart"), "attempt WHERE rings > 1"),
    _seen(
        "an answer that broke its contract was repaired",
        _by("vendor-wrong-schema", "vendor-not-json"),
        "attempt AS before JOIN subtask ON subtask.id = before.subtask_id WHERE subtask.state = 'done' "
        "AND before.code IN ('breaks_contract', 'not_json')",
    ),
    _seen(
        "a call that a limit or an overload turned away was made again",
        _by("vendor-rate-limited", "vendor-rate-limited-bare", "vendor-overload"),
        f"attempt AS before WHERE code IN ('rate_limited', 'overloaded') AND EXISTS (SELECT 1 FROM {_LATER})",
    ),
    _seen(
        "what a vendor said closed an account",
        _by("vendor-rate-limited", "vendor-rate-limited-bare"),
        "event WHERE kind = 'budget_learned' AND sentence LIKE '%closed for%'",
    ),
    _seen(
        "an account without money was paid for and opened",
        _by("vendor-spend-limit"),
        "setting_change WHERE reason = 'it was paid for'",
    ),
    _seen(
        "another orchestrator took the lead",
        _by("kill-leader", "kill-orchestrators"),
        "event WHERE kind = 'led' AND sentence <> 'leads epoch 1'",
    ),
)
