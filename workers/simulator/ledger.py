"""The simulator's own ledger: what was really asked, in memory and, if wanted, line by line in a file."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One request, as the vendor saw it."""

    vendor: str
    account: str
    group: str
    model: str
    status: int
    """The HTTP status; 0 where none was sent."""
    kind: str
    """``ok``, ``cut``, ``refused``, ``429``, ``overload``, ``spend_limit``, ``unauthorised``, ``invalid``,
    ``error``, ``reset``, ``timeout``, or ``count`` for a request that only counted tokens."""
    input_tokens: int
    """What was billed, not what was sent: 0 for a request that failed at the door."""
    output_tokens: int
    attempt: str | None
    retry_count: int | None
    latency_seconds: float
    dimension: str | None = None
    """What ran out, for a 429 of the limiter."""
    injected: str | None = None
    """Which errors were put in, joined by commas."""
    injected_by: str | None = None
    """``seed`` or ``script``."""
    prompt_digest: str | None = None
    counted: dict[str, float] = field(default_factory=dict)
    """What it took from the account's limits, by dimension; a refused call may take something too."""
    batch: str | None = None
    """The batch that it was a request of; it took nothing from the limits of live calls."""


class Ledger:
    """Rows in order of completion, numbered from 1."""

    def __init__(
        self, path: Path | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._rows: list[dict[str, Any]] = []
        self._seq = 0
        self._now = now
        # Line buffering hands each row to the operating system, so a killed process leaves them behind.
        self._file = path.open("a", encoding="utf-8", buffering=1) if path else None

    def record(self, entry: Entry) -> None:
        self._seq += 1
        row = {"seq": self._seq, "time": self._now().isoformat(), **vars(entry)}
        self._rows.append(row)
        if self._file:
            self._file.write(json.dumps(row) + "\n")

    def rows(self, after: int = 0) -> list[dict[str, Any]]:
        return [row for row in self._rows if row["seq"] > after]

    def totals(self) -> dict[str, dict[str, Any]]:
        """Per vendor: calls (requests that only count tokens left out), ok, by_kind, tokens, repeated_calls
        (calls whose prompt had already been answered and billed)."""
        totals: dict[str, dict[str, Any]] = {}
        answered: set[str] = set()
        for row in self._rows:
            total = totals.setdefault(row["vendor"], _nothing())
            total["by_kind"][row["kind"]] = total["by_kind"].get(row["kind"], 0) + 1
            if row["kind"] == "count":
                continue
            total["calls"] += 1
            total["ok"] += row["kind"] == "ok"
            total["input_tokens"] += row["input_tokens"]
            total["output_tokens"] += row["output_tokens"]
            total["repeated_calls"] += row["prompt_digest"] in answered
            if row["input_tokens"] and row["prompt_digest"]:
                answered.add(row["prompt_digest"])
        return totals

    def clear(self) -> None:
        """Forget the rows; their numbers go on, and so does the file."""
        self._rows.clear()


def _nothing() -> dict[str, Any]:
    return {"calls": 0, "ok": 0, "by_kind": {}, "input_tokens": 0, "output_tokens": 0, "repeated_calls": 0}
