"""What a wire protocol is: reading a request, and putting answers and failures into the vendor's words."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from workers.simulator.call import Call, Inbound
from workers.simulator.failure import Failure, Produced
from workers.simulator.levels import Levels


@dataclass(frozen=True)
class Wire:
    """A status, a JSON body and headers."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


class Dialect(Protocol):
    """One vendor's protocol. It holds no state."""

    vendor: str

    def read(self, inbound: Inbound) -> Call:
        """The call; raises ``Rejected`` for a request without a key or without what the vendor requires."""
        ...

    def answer(self, produced: Produced) -> Wire: ...

    def failure(self, failure: Failure, request_id: str) -> Wire: ...

    def counted(self, input_tokens: int) -> Wire: ...

    def headers(self, levels: Levels, request_id: str) -> dict[str, str]:
        """What every response of this vendor carries."""
        ...


def joined_text(content: Any) -> str:
    """The text of a message's content: a string, or a list of parts of which some have ``text``."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if isinstance(part, dict) and "text" in part)
    return ""


def whole_seconds(seconds: float) -> int:
    """Rounded up, and at least 1, as ``retry-after`` wants it."""
    return max(1, -int(-seconds // 1))
