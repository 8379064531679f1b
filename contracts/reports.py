"""The report: the typed answer a worker gives for one attempt."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from contracts.artifacts import ArtifactRef
from contracts.base import Contract, Fact, Told
from contracts.failures import Failure
from contracts.limits import VendorSignal
from contracts.verdicts import Decision

NANO = 1_000_000_000
"""Nano-dollars in a dollar. Money is kept in whole nano-dollars, so that sums are exact on every database."""


class Usage(Contract):
    """Tokens as the vendor counted them."""

    input_tokens: int = Field(default=0, ge=0)
    """All input, cached or not."""
    cached_input_tokens: int = Field(default=0, ge=0)
    """The part of the input that was read from the vendor's cache."""
    cache_written_input_tokens: int = Field(default=0, ge=0)
    """The part that was written to it, at a price of its own; it is no cached input yet."""
    output_tokens: int = Field(default=0, ge=0)
    """All output that is billed, thoughts included."""


class Call(Contract):
    """The one vendor request that an attempt made."""

    vendor: str
    account: str
    group: str
    model: str
    simulated: bool
    usage: Usage | None
    """None where the end is ambiguous; the reservation is charged then."""
    sent: bool = True
    """False where the request never left, so that the reservation is refunded."""
    cost_nano_usd: int = Field(default=0, ge=0)
    price_version: str = ""
    vendor_request_id: str | None = None
    seconds: float = Field(ge=0)
    request: ArtifactRef | None = None
    answer: ArtifactRef | None = None
    signal: VendorSignal | None = None
    """What the answer said about the account's limits."""


class Summary(Contract):
    """The compressed content of a report; the raw output stands behind it as an artifact."""

    contract: str
    text: Told = Field(max_length=2000)
    output: ArtifactRef
    confidence: float | None = Field(default=None, ge=0, le=1)
    open_questions: tuple[Told, ...] = Field(default=(), max_length=20)
    decision: Decision | None = None
    """Set by verdicts only; the one thing of a payload that gates read."""
    facts: dict[Told, Fact] = Field(default_factory=dict, max_length=32)


class Completed(Contract):
    kind: Literal["completed"] = "completed"
    summary: Summary


class Failed(Contract):
    kind: Literal["failed"] = "failed"
    failure: Failure


Outcome = Annotated[Completed | Failed, Field(discriminator="kind")]


class Report(Contract):
    outcome: Outcome
    call: Call | None = None
    worker_seconds: float = Field(ge=0)

    @classmethod
    def read(cls, kept: Any) -> Self:
        """A report as a worker handed it in. What a newer worker tells beside that is passed over: what it did is
        paid for, and says what it came to in words that are known here."""
        return cls.model_validate(kept, extra="ignore")

    def artifacts(self) -> list[ArtifactRef]:
        """What it names."""
        made = [self.outcome.summary.output] if isinstance(self.outcome, Completed) else []
        exchanged = [self.call.request, self.call.answer] if self.call else []
        return made + [ref for ref in exchanged if ref]
