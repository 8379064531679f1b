"""What a vendor says it allows one of its accounts, asked outside of any model call."""

from typing import ClassVar

from pydantic import Field

from contracts.base import Contract, Fact, Payload
from contracts.limits import Dimension


class Allowed(Contract):
    """One limit of one of the vendor's own groups of models."""

    models: tuple[str, ...]
    """All that share it, by the vendor's names and aliases."""
    dimension: Dimension
    value: float = Field(gt=0)
    """Per minute, or per day where the dimension says so."""


class AccountLimits(Payload):
    """The limits of an account, as its vendor lists them."""

    contract: ClassVar[str] = "limits.AccountLimits@1"

    vendor: str
    account: str
    simulated: bool
    allowed: tuple[Allowed, ...] = ()
    refused: str = ""
    """Why the vendor does not tell, where it refuses the key."""

    def headline(self) -> str:
        told = self.refused or f"{len(self.allowed)} limit(s) are told"
        return f"{self.vendor}/{self.account}{' (simulated)' if self.simulated else ''}: {told}"

    def facts(self) -> dict[str, Fact]:
        return {"limits": len(self.allowed), "simulated": self.simulated}
