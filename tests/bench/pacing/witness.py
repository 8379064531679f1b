"""What the simulator's ledger shows: pure arithmetic over its rows."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise
from statistics import linear_regression
from typing import Any

BILLED = frozenset({"ok", "cut", "refused", "reset", "timeout"})


@dataclass(frozen=True)
class Seen:
    """One request as the vendor saw it. Times are epoch seconds."""

    began: float
    ended: float
    kind: str
    counted: Mapping[str, float]
    """What it took from the limits, by dimension."""
    input_tokens: int
    output_tokens: int
    attempt: str | None
    scripted: bool

    @property
    def refused(self) -> bool:
        """Whether the limiter itself refused it."""
        return self.kind == "429" and not self.scripted


def seen(rows: Iterable[Mapping[str, Any]]) -> list[Seen]:
    """The rows of the simulator's ledger, in order of their arrival."""
    return sorted((_seen(row) for row in rows if row["kind"] != "count"), key=lambda each: each.began)


def _seen(row: Mapping[str, Any]) -> Seen:
    ended = datetime.fromisoformat(row["time"]).timestamp()
    return Seen(
        began=ended - row["latency_seconds"],
        ended=ended,
        kind=row["kind"],
        counted=row["counted"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        attempt=row["attempt"],
        scripted=row["injected_by"] == "script",
    )


@dataclass(frozen=True)
class Span:
    """A stretch of time, epoch seconds; its end is not part of it."""

    begin: float
    end: float

    @property
    def minutes(self) -> float:
        return (self.end - self.begin) / 60

    def ended_in(self, calls: Iterable[Seen]) -> list[Seen]:
        return [call for call in calls if self.begin <= call.ended < self.end]


def use(calls: Iterable[Seen], span: Span, dimension: str, limit_per_minute: float) -> float:
    """What was counted against a limit within a span, as a share of what the limit allows there. A little over
    1 is real: output is counted when it has been written, so the vendor's bucket may go into debt."""
    counted = sum(call.counted.get(dimension, 0) for call in span.ended_in(calls))
    return counted / (limit_per_minute * span.minutes)


def pace(calls: Iterable[Seen], span: Span, dimension: str, limit_per_minute: float) -> float:
    """How fast a limit was used, as a share of it: the slope of the least-squares line through what had been counted
    at every second of the span. `use` moves by what happens to be under way at its two ends: an answer is counted
    when it ends, and paid back after it."""
    ended = sorted((call.ended, call.counted.get(dimension, 0)) for call in span.ended_in(calls))
    moments = [span.begin + second for second in range(int(span.end - span.begin) + 1)]
    sums = list(accumulate((counted for _, counted in ended), initial=0))
    counted = [sums[bisect_left(ended, (moment,))] for moment in moments]
    return linear_regression(moments, counted).slope / (limit_per_minute / 60)


def refused_per_thousand(calls: Sequence[Seen]) -> float:
    """429s of the limiter per 1,000 calls."""
    return 1000 * sum(call.refused for call in calls) / len(calls) if calls else 0.0


def useful_tokens(calls: Iterable[Seen]) -> int:
    """Output tokens of whole answers."""
    return sum(call.output_tokens for call in calls if call.kind == "ok")


def used_tokens(calls: Iterable[Seen]) -> int:
    """Input and output tokens of whole answers."""
    return sum(call.input_tokens + call.output_tokens for call in calls if call.kind == "ok")


def jain(shares: Sequence[float]) -> float:
    """Jain's index of fairness: (Σx)² / (n Σx²), 1 for equal shares, 1/n for one that has all (Jain, Chiu and
    Hawe 1984). 1 where there is nothing to share."""
    squares = sum(share**2 for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so great a share of all does not exceed; nan of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def back_after(
    calls: Sequence[Seen], over: float, dimension: str, limit_per_minute: float, share: float, width: float
) -> float | None:
    """Seconds from a moment until the end of the first stretch of `width` seconds in which so great a share of the
    limit was used; looked for in steps of a second, within what the calls cover. None where it never was."""
    last = max((call.ended for call in calls), default=over)
    begin = over
    while begin + width <= last:
        if use(calls, Span(begin, begin + width), dimension, limit_per_minute) >= share:
            return begin + width - over
        begin += 1
    return None


def unparted(moments: Iterable[float], calls: Iterable[Seen]) -> int:
    """How many of these moments follow another one within a round trip: no call began after the one and was
    answered before the other."""
    known = list(calls)
    return sum(
        not any(first < call.began and call.ended < second for call in known)
        for first, second in pairwise(sorted(moments))
    )
