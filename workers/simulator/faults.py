"""Scripted faults: the next calls of a kind that go wrong in a chosen way."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from workers.simulator.call import Call


class Fault(StrEnum):
    """Ways in which a call can go wrong."""

    OVERLOAD = "overload"
    RATE_LIMITED = "rate_limited"
    RATE_LIMITED_WITH_REMAINING = "rate_limited_with_remaining"
    """A 429 although the headers show plenty."""
    RATE_LIMITED_BARE = "rate_limited_bare"
    """A 429 that does not say when to come again."""
    SERVER_ERROR = "server_error"
    HTML_502 = "html_502"
    SPEND_LIMIT = "spend_limit"
    UNAUTHORISED = "unauthorised"
    RESET = "reset"
    """The work is done and billed, then the connection is reset."""
    TIMEOUT = "timeout"
    """The work is done and billed, then nothing comes."""
    TORN = "torn"
    """Half of the answer's bytes, then the connection is reset."""
    DRIP = "drip"
    """The answer comes a few bytes at a time."""
    WRONG_USAGE = "wrong_usage"
    """The answer names many times the tokens that were used and billed."""
    REPEATED_ID = "repeated_id"
    """The answer and its request bear ids that others bore."""
    INJECTION = "injection"
    """The answer's texts give orders to whoever reads them."""
    CUT = "cut"
    NOT_JSON = "not_json"
    EMPTY = "empty"
    REFUSAL = "refusal"
    WRONG_SCHEMA = "wrong_schema"
    HUGE = "huge"
    BAD_QUOTE = "bad_quote"
    SHORT_DESCRIPTION = "short_description"


AT_THE_DOOR = frozenset(
    {
        Fault.OVERLOAD,
        Fault.RATE_LIMITED,
        Fault.RATE_LIMITED_WITH_REMAINING,
        Fault.RATE_LIMITED_BARE,
        Fault.SERVER_ERROR,
        Fault.HTML_502,
        Fault.SPEND_LIMIT,
        Fault.UNAUTHORISED,
    }
)
"""Faults of the vendor that come before any work is done."""


@dataclass
class ScriptedFault:
    """The next ``times`` calls that match everything named here."""

    kind: Fault
    times: int | None = 1
    """None: as long as the fault lasts."""
    from_seconds: float = 0.0
    """When it begins, counted from its announcement."""
    until_seconds: float | None = None
    """When it ends, counted likewise; None: when its times are used up."""
    at_work: int = 0
    """How many calls must be at work already: the capacity that is left."""
    vendor: str | None = None
    model: str | None = None
    prompt: str | None = None
    """A regular expression searched in the whole prompt."""
    retry_after: float = 2.0
    """Seconds, for ``rate_limited`` and ``rate_limited_with_remaining``."""
    seconds: float = 3600.0
    """How long ``timeout`` keeps silent, and how long ``drip`` takes."""

    @classmethod
    def of(cls, given: dict[str, Any]) -> "ScriptedFault":
        """Raises ``ValueError`` for an unknown kind, key or expression."""
        known = [each.name for each in fields(cls)]
        if unknown := sorted(set(given) - set(known)):
            raise ValueError(f"a fault knows no {', '.join(unknown)}; it knows {', '.join(known)}")
        try:
            kind = Fault(given.get("kind", ""))
        except ValueError:
            raise ValueError(f"no such kind of fault; there are {', '.join(Fault)}") from None
        re.compile(given.get("prompt") or "")
        return cls(**{**given, "kind": kind})

    def spent(self, age_seconds: float) -> bool:
        """Whether it is over, so long after its announcement."""
        used_up = self.times is not None and self.times <= 0
        return used_up or (self.until_seconds is not None and age_seconds >= self.until_seconds)

    def matches(self, call: Call, at_work: int, age_seconds: float) -> bool:
        return (
            not self.spent(age_seconds)
            and age_seconds >= self.from_seconds
            and at_work >= self.at_work
            and self.vendor in (None, call.vendor)
            and self.model in (None, call.model)
            and (self.prompt is None or re.search(self.prompt, call.prompt) is not None)
        )


class Script:
    """The faults still to come, first in first out."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._faults: list[tuple[ScriptedFault, float]] = []
        """Each with the moment of its announcement."""

    def add(self, fault: ScriptedFault) -> None:
        self._faults.append((fault, self._clock()))

    def take(self, call: Call, at_work: int) -> ScriptedFault | None:
        """The first fault that matches a call that finds so many at work; it has one turn less now."""
        now = self._clock()
        self._faults = [(each, since) for each, since in self._faults if not each.spent(now - since)]
        matching = (each for each, since in self._faults if each.matches(call, at_work, now - since))
        fault = next(matching, None)
        if fault is not None and fault.times is not None:
            fault.times -= 1
        return fault

    def rows(self) -> list[dict[str, Any]]:
        """The faults that are not over."""
        now = self._clock()
        return [asdict(fault) for fault, since in self._faults if not fault.spent(now - since)]

    def clear(self) -> None:
        self._faults.clear()
