"""Settling: an attempt's end on the books. What was reserved is corrected to what was used."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from contracts.failures import Code
from contracts.limits import ResponseKind, VendorSignal
from contracts.reports import Call, Failed, Report, Usage
from contracts.states import AttemptState
from orchestrator import calibrations, purses
from orchestrator.deciders.charging import Reserved, charged_input, reservation, used
from orchestrator.deciders.estimating import learned
from orchestrator.deciders.offers import COST_WITHOUT_MODEL
from orchestrator.deciders.pacing import Purse, settled
from orchestrator.deciders.recovery import UNANSWERED
from orchestrator.hearing import Spoken, listen
from orchestrator.prices import estimate


@dataclass(frozen=True)
class Entry:
    """One attempt that is over, and its call as far as it is known."""

    reserved: Reserved
    call: Call | None


@dataclass(frozen=True)
class Sample:
    """What an answer taught about its lane and model."""

    budget: str
    """The budget that paid, whose vendor says which input counts."""
    raw_tokens: int
    usage: Usage
    whole: bool


class Books:
    """Corrections to budgets, gathered over a batch and written once for each budget."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Entry]] = defaultdict(list)
        self._samples: dict[tuple[str, str], list[Sample]] = defaultdict(list)
        self._spoken: dict[str, list[Spoken]] = defaultdict(list)

    def settle(self, row: Any, report: Report) -> None:
        """Gives the attempt's reservation back, charges what was used, and learns from it."""
        if row.budget is None:
            return
        self._entries[row.budget].append(Entry(reserved_by(row), report.call))
        call = report.call
        signal = _signal(report)
        if signal:
            missing = isinstance(report.outcome, Failed) and report.outcome.failure.code in UNANSWERED
            spoken = Spoken(signal, row.granted_at, row.reported_at, reserved_by(row), missing)
            self._spoken[row.budget].append(spoken)
        if call and call.usage and call.usage.output_tokens:
            cut = isinstance(report.outcome, Failed) and report.outcome.failure.code is Code.CUT
            sample = Sample(row.budget, row.estimated_input_tokens, call.usage, not cut)
            self._samples[call.model, row.lane].append(sample)

    def refund(self, row: Any) -> None:
        """Gives the whole reservation back: the request never left."""
        if row.budget:
            self._entries[row.budget].append(Entry(reserved_by(row), None))

    def write(self, connection: Connection, at: float, actor: str) -> None:
        """Keeps all of it, and what the vendors' answers taught."""
        if not self._entries:
            return
        found = purses.read_purses(connection, at, {})
        changed = self._corrected(found)
        heard = listen(connection, found | changed, self._spoken, at, actor)
        untold = {key: purse for key, purse in changed.items() if key not in heard}
        purses.write_levels(connection, untold, at)
        if self._samples:
            self._learn(connection, found)

    def _corrected(self, known: Mapping[str, Purse]) -> dict[str, Purse]:
        changed = {}
        for key, entries in self._entries.items():
            if key not in known:
                continue
            purse = known[key]
            for entry in entries:
                taken = used(purse.charging, entry.reserved, entry.call)
                purse = settled(purse, reservation(purse.charging, entry.reserved), taken)
            changed[key] = purse
        return changed

    def _learn(self, connection: Connection, purses_by_key: Mapping[str, Purse]) -> None:
        known = calibrations.read(connection, self._samples)
        for key, samples in self._samples.items():
            for sample in samples:
                if sample.budget not in purses_by_key:
                    continue
                usage = sample.usage
                known[key] = learned(
                    known[key],
                    sample.raw_tokens,
                    usage.input_tokens,
                    charged_input(purses_by_key[sample.budget].charging, usage),
                    usage.output_tokens,
                    sample.whole,
                )
        calibrations.keep(connection, known)


def _signal(report: Report) -> VendorSignal | None:
    """What the vendor said. An account that the worker has no key for says nothing, and must not draw in more
    work by looking unused."""
    if isinstance(report.outcome, Failed) and report.outcome.failure.code is Code.VENDOR_UNAVAILABLE:
        return VendorSignal(kind=ResponseKind.UNAUTHORISED)
    return report.call.signal if report.call else None


def tokens_reserved(row: Any) -> int:
    """Tokens that an attempt is taken to have used where nobody knows; work without any still took its turn."""
    return max(int(row.reserved_input_tokens + row.reserved_output_tokens), COST_WITHOUT_MODEL)


def tokens_of(row: Any, call: Call | None) -> int:
    """Tokens that an attempt used, input and output, as fairness counts them; what it reserved where nobody
    knows. Work that ran without any still took its turn."""
    if call and call.sent and call.usage is None:
        return tokens_reserved(row)
    used = call.usage.input_tokens + call.usage.output_tokens if call and call.usage else 0
    return max(used, COST_WITHOUT_MODEL)


def reserved_by(row: Any) -> Reserved:
    """What an attempt's row holds of its budget."""
    return Reserved(row.reserved_input_tokens, row.reserved_output_tokens, row.promised_output_tokens)


def settled_columns(row: Any, report: Report, at: float) -> dict[str, Any]:
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
        by_batch = row.vendor_batch_id is not None
        reserved = row.reserved_input_tokens, row.reserved_output_tokens
        return estimate(call.vendor, call.model, *reserved, by_batch)
    return call.cost_nano_usd


def charged(row: Any, state: AttemptState, at: float) -> dict[str, Any]:
    """The columns of an attempt of which nobody knows what it used: charged at its reservation."""
    return {
        "id": row.id,
        "state": state,
        "ended_at": at,
        "input_tokens": row.reserved_input_tokens,
        "output_tokens": row.reserved_output_tokens,
        "ambiguous": row.budget is not None or row.vendor_batch_id is not None,
    }


def references(report: Report) -> list[dict[str, Any]]:
    """The artifacts that a report names."""
    return [ref.model_dump(mode="json") for ref in report.artifacts()]
