"""What a vendor answers instead of an answer, before it is put into the vendor's words."""

from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    RATE_LIMITED = "429"
    RATE_LIMITED_WITH_REMAINING = "429_with_remaining"
    OVERLOAD = "overload"
    SERVER_ERROR = "error"
    SPEND_LIMIT = "spend_limit"
    UNAUTHORISED = "unauthorised"
    NO_KEY = "no_key"
    INVALID = "invalid"


@dataclass(frozen=True)
class Failure:
    """Why there is no answer."""

    kind: FailureKind
    model: str = ""
    message: str = ""
    """What was wrong, for ``INVALID``."""
    dimension: str = "requests"
    retry_after_seconds: float | None = 0.0
    """None: the vendor does not say when to come again."""
    limit: float = 0
    used: float = 0
    requested: float = 0


@dataclass(frozen=True)
class Produced:
    """What the simulated model wrote."""

    text: str
    input_tokens: int
    output_tokens: int
    stop: str
    """``end``, ``cut`` or ``refused``."""
    id: str
    """Random part of the answer's id."""
    model: str
