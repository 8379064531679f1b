"""What a vendor says of its limits, with every answer: how much is left, what was hit, how long to wait."""

from enum import StrEnum

from pydantic import Field

from contracts.base import Contract


class Dimension(StrEnum):
    """What a vendor account limits."""

    REQUESTS = "requests"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    TOKENS = "tokens"
    """Input and promised output together, where a vendor has no other token limit."""
    REQUESTS_PER_DAY = "requests_per_day"
    TOKENS_PER_DAY = "tokens_per_day"


class ResponseKind(StrEnum):
    """What an answer says about the account and the vendor, told apart by codes and headers alone."""

    OK = "ok"
    RATE_LIMITED = "rate_limited"
    """The account's own quota is used up for the moment."""
    DAY_LIMITED = "day_limited"
    """The account's own quota is used up for the day."""
    OVERLOADED = "overloaded"
    """The vendor has too much to do, or the account grew too fast; the quota has room."""
    SPEND_LIMITED = "spend_limited"
    """Money or credit has run out; a person decides."""
    UNAUTHORISED = "unauthorised"
    ERROR = "error"
    """Any other error status, and an answer that cannot be read."""
    SILENT = "silent"
    """No answer came."""


class Standing(Contract):
    """One dimension as an answer's headers or error details name it; None where they do not say."""

    dimension: Dimension
    limit: float | None = Field(default=None, gt=0)
    remaining: float | None = Field(default=None, ge=0)
    reset_seconds: float | None = Field(default=None, ge=0)
    """Until the allowance is full again."""


class VendorSignal(Contract):
    """What one request taught about its account."""

    kind: ResponseKind
    standings: tuple[Standing, ...] = ()
    hit: Dimension | None = None
    """What ran out, where the answer says."""
    retry_after_seconds: float | None = Field(default=None, ge=0)
