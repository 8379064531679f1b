"""The verdict: what the witness's lines say of one harm to one side. Pure."""

import statistics
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tests.bench.survival.witness import Did, Line


@dataclass(frozen=True)
class Bite:
    """One time that harm was done."""

    at: float
    """Seconds since 1970."""
    hit: frozenset[str]
    """The tasks that were in its way; none where it missed."""


@dataclass(frozen=True)
class Outcome:
    """What became of the tasks of one harm."""

    tasks: int
    times: int
    """That harm was done."""
    hit: int
    """Tasks that were in its way."""
    missing: frozenset[str]
    """Submitted, and not ended within the time that was waited."""
    ran_twice: frozenset[str]
    applied_twice: frozenset[str]
    back_seconds: tuple[float, ...]
    """From the harm until anything was heard of a task that it hit, sorted."""
    not_back: int
    """Tasks that were hit and of which nothing was heard again."""
    missed: bool
    """A time that harm was done hit nothing."""

    def back(self, share: float) -> float | None:
        """The time within which that share of those that came back were back; None where none was."""
        if not self.back_seconds:
            return None
        if share == 0.5:
            return statistics.median(self.back_seconds)
        return self.back_seconds[min(len(self.back_seconds) - 1, int(share * len(self.back_seconds)))]


def judged(lines: Sequence[Line], tasks: Collection[str], bites: Sequence[Bite]) -> Outcome:
    """`lines` are those of the harm's tasks and of their members; `tasks` are those that must end."""
    finished = {line.task for line in lines if line.did is Did.FINISHED}
    back = [_back(lines, task, bite.at) for bite in bites for task in sorted(bite.hit)]
    return Outcome(
        tasks=len(tasks),
        times=len(bites),
        hit=len(back),
        missing=frozenset(tasks) - finished,
        ran_twice=_twice(lines, Did.STARTED),
        applied_twice=_twice(lines, Did.APPLIED),
        back_seconds=tuple(sorted(seconds for seconds in back if seconds is not None)),
        not_back=back.count(None),
        missed=any(not bite.hit for bite in bites),
    )


def _twice(lines: Sequence[Line], did: Did) -> frozenset[str]:
    counts = Counter(line.task for line in lines if line.did is did)
    return frozenset(task for task, times in counts.items() if times > 1)


def _back(lines: Sequence[Line], task: str, at: float) -> float | None:
    return min((line.at - at for line in lines if line.task == task and line.at > at), default=None)
