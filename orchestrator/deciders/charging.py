"""Charging: what a request takes from each dimension of a budget, by its vendor's own rules."""

from dataclasses import dataclass

from contracts.limits import Dimension
from contracts.reports import Call, Usage
from contracts.vendors import Charging
from orchestrator.deciders.pacing import Amount

NOTHING: Amount = {}


@dataclass(frozen=True)
class Reserved:
    """What an attempt was expected to take when it was granted, in tokens."""

    input_tokens: int
    output_tokens: int
    promised_tokens: int
    """The most output the request allowed."""

    def __add__(self, other: "Reserved") -> "Reserved":
        return Reserved(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.promised_tokens + other.promised_tokens,
        )


NOT_A_TOKEN = Reserved(0, 0, 0)


def reservation(charging: Charging, reserved: Reserved) -> Amount:
    """What is taken when the attempt is granted: the mean that is expected, and a promise where it counts."""
    return _amount(reserved.input_tokens, reserved.output_tokens, _admitted(charging, reserved))


def used(charging: Charging, reserved: Reserved, call: Call | None) -> Amount:
    """What the request really took. An ambiguous end is charged at the reservation."""
    if call is None or not call.sent:
        return NOTHING
    if call.usage is None:
        return reservation(charging, reserved)
    if call.usage == Usage():
        return _refused(charging)
    taken = charged_input(charging, call.usage)
    together = _admitted(charging, reserved) if charging.promise_counts else taken + call.usage.output_tokens
    return _amount(taken, call.usage.output_tokens, together)


def charged_input(charging: Charging, usage: Usage) -> int:
    """The input tokens that count against the limits."""
    return usage.input_tokens - (0 if charging.cached_input_counts else usage.cached_input_tokens)


def _refused(charging: Charging) -> Amount:
    """A request that the vendor turned away: at most it counts as one."""
    if not charging.failures_count:
        return NOTHING
    return {Dimension.REQUESTS: 1, Dimension.REQUESTS_PER_DAY: 1}


def _admitted(charging: Charging, reserved: Reserved) -> int:
    """Tokens that count when the request is admitted."""
    if charging.promise_counts:
        return max(reserved.promised_tokens, reserved.input_tokens)
    return reserved.input_tokens + reserved.output_tokens


def _amount(input_tokens: int, output_tokens: int, together: int) -> Amount:
    return {
        Dimension.REQUESTS: 1,
        Dimension.INPUT_TOKENS: input_tokens,
        Dimension.OUTPUT_TOKENS: output_tokens,
        Dimension.TOKENS: together,
        Dimension.REQUESTS_PER_DAY: 1,
        Dimension.TOKENS_PER_DAY: together,
    }
