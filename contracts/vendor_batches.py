"""The payloads of the lane that carries batches of other lanes' requests to their vendors."""

from typing import ClassVar

from pydantic import AwareDatetime, Field

from contracts.base import Contract, Fact, Payload


class Inputs(Contract):
    """What a job that carries a batch is about."""

    contract: ClassVar[str] = "batch.Inputs@1"

    batch: str
    """Its id in the ledger."""
    vendor: str
    account: str
    model: str
    requests: int = Field(ge=1)


class Submitted(Payload):
    """How the hand-in went."""

    contract: ClassVar[str] = "batch.Submitted@1"

    name: str | None
    """The vendor's own name of the batch; None where the vendor did not take it, or nobody knows."""
    sentence: str
    expires_at: AwareDatetime | None = None
    requests: int = Field(ge=0)

    def headline(self) -> str:
        return self.sentence

    def facts(self) -> dict[str, Fact]:
        return {"requests": self.requests}


class Collected(Payload):
    """What came of a batch."""

    contract: ClassVar[str] = "batch.Collected@1"

    sentence: str
    outcomes: dict[str, int] = Field(default_factory=dict)
    """How many of its requests were completed, and how many failed with which code."""

    def headline(self) -> str:
        return self.sentence

    def facts(self) -> dict[str, Fact]:
        return dict(self.outcomes)
