"""Settling: an attempt's end on the books. What was reserved is corrected to what was used."""

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection

from contracts.failures import Code, Failure
from contracts.reports import Call, Completed, Failed, Report
from contracts.states import AttemptState
from orchestrator import purses
from orchestrator.deciders.pacing import Amount, Levels, settle
from orchestrator.prices import estimate

NOTHING = Amount(0, 0, 0)


class Books:
    """Corrections to budgets, gathered over a batch and written once for each budget."""

    def __init__(self) -> None:
        self._corrections: dict[str, list[tuple[Amount, Amount]]] = defaultdict(list)
        self._closed: dict[str, tuple[float, str]] = {}

    def correct(self, row: Any, used: Amount) -> None:
        """Gives the attempt's reservation back and charges what was used."""
        if row.budget:
            reserved = Amount(1, row.reserved_input_tokens, row.reserved_output_tokens)
            self._corrections[row.budget].append((reserved, used))

    def refund(self, row: Any) -> None:
        """Gives the whole reservation back: the request never left."""
        self.correct(row, NOTHING)

    def hear(self, row: Any, failure: Failure, at: float) -> None:
        """Closes the budget for as long as its vendor asked, where the vendor says the limit is reached."""
        if row.budget and failure.code is Code.RATE_LIMITED and failure.retry_after_seconds:
            self._closed[row.budget] = (at + failure.retry_after_seconds, failure.sentence)

    def write(self, connection: Connection, at: float) -> None:
        if not self._corrections:
            return
        known = purses.read_purses(connection, at, {})
        for key, corrections in self._corrections.items():
            if key not in known:
                continue
            levels: Levels = known[key].levels
            for reserved, used in corrections:
                levels = settle(levels, reserved, used)
            purses.write_levels(connection, key, levels, at)
        for key, (until, why) in self._closed.items():
            purses.close(connection, key, until, why)


def used_by(row: Any, call: Call | None) -> Amount:
    """What the attempt really took. An ambiguous end is charged at the reservation."""
    if call is None or not call.sent:
        return NOTHING
    if call.usage is None:
        return Amount(1, row.reserved_input_tokens, row.reserved_output_tokens)
    return Amount(1, call.usage.input_tokens - call.usage.cached_input_tokens, call.usage.output_tokens)


def settled(row: Any, report: Report, at: float) -> dict[str, Any]:
    """The attempt's columns at its end."""
    call, usage = report.call, report.call.usage if report.call else None
    failure = report.outcome.failure if isinstance(report.outcome, Failed) else None
    ambiguous = bool(call and call.sent and usage is None)
    return {
        "id": row.id,
        "state": AttemptState.SETTLED,
        "ended_at": at,
        "vendor": call.vendor if call else None,
        "model": call.model if call else None,
        "simulated": call.simulated if call else None,
        "sent": call.sent if call else None,
        "input_tokens": usage.input_tokens if usage else (row.reserved_input_tokens if ambiguous else 0),
        "cached_input_tokens": usage.cached_input_tokens if usage else 0,
        "output_tokens": usage.output_tokens if usage else (row.reserved_output_tokens if ambiguous else 0),
        "cost_nano_usd": _cost(row, call) if call else 0,
        "ambiguous": ambiguous,
        "category": failure.category if failure else None,
        "code": failure.code if failure else None,
    }


def _cost(row: Any, call: Call) -> int:
    """Nano-dollars: what the worker priced, or the reservation's price where the end is ambiguous."""
    if call.usage is None and call.sent:
        return estimate(call.vendor, call.model, row.reserved_input_tokens, row.reserved_output_tokens)
    return call.cost_nano_usd


def charged(row: Any, state: AttemptState, at: float) -> dict[str, Any]:
    """The columns of an attempt of which nobody knows what it used: charged at its reservation."""
    return {
        "id": row.id,
        "state": state,
        "ended_at": at,
        "input_tokens": row.reserved_input_tokens,
        "output_tokens": row.reserved_output_tokens,
        "ambiguous": row.budget is not None,
    }


def references(report: Report) -> list[dict[str, Any]]:
    """The artifacts that a report names."""
    refs = [report.outcome.summary.output] if isinstance(report.outcome, Completed) else []
    if report.call:
        refs += [ref for ref in (report.call.request, report.call.answer) if ref]
    return [ref.model_dump(mode="json") for ref in refs]
