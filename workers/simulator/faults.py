"""Scripted faults: the next calls of a kind that go wrong in a chosen way."""

import re
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
    SERVER_ERROR = "server_error"
    HTML_502 = "html_502"
    SPEND_LIMIT = "spend_limit"
    UNAUTHORISED = "unauthorised"
    RESET = "reset"
    """The work is done and billed, then the connection is reset."""
    TIMEOUT = "timeout"
    """The work is done and billed, then nothing comes."""
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
    times: int = 1
    vendor: str | None = None
    model: str | None = None
    prompt: str | None = None
    """A regular expression searched in the whole prompt."""
    retry_after: float = 2.0
    """Seconds, for ``rate_limited`` and ``rate_limited_with_remaining``."""
    seconds: float = 3600.0
    """How long ``timeout`` keeps silent."""

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

    def matches(self, call: Call) -> bool:
        return (
            self.times > 0
            and self.vendor in (None, call.vendor)
            and self.model in (None, call.model)
            and (self.prompt is None or re.search(self.prompt, call.prompt) is not None)
        )


class Script:
    """The faults still to come, first in first out."""

    def __init__(self) -> None:
        self._faults: list[ScriptedFault] = []

    def add(self, fault: ScriptedFault) -> None:
        self._faults.append(fault)

    def take(self, call: Call) -> ScriptedFault | None:
        """The first fault that matches; it has one turn less now."""
        fault = next((each for each in self._faults if each.matches(call)), None)
        if fault is not None:
            fault.times -= 1
            self._faults = [each for each in self._faults if each.times > 0]
        return fault

    def rows(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self._faults]

    def clear(self) -> None:
        self._faults.clear()
