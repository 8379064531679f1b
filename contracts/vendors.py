"""Vendors: what an account allows, per group of models that share a limit."""

from pydantic import Field

from contracts.base import Contract


class Limits(Contract):
    """A vendor account's allowance for one group of models."""

    requests_per_minute: int = Field(ge=1)
    input_tokens_per_minute: int = Field(ge=1)
    output_tokens_per_minute: int = Field(ge=1)
    concurrency: int = Field(ge=1)


class ModelFacts(Contract):
    context_tokens: int = Field(ge=1)
    """How many tokens fit, input and output together."""


class Group(Contract):
    """Models of one account that draw on the same limits."""

    models: dict[str, ModelFacts] = Field(min_length=1)
    limits: Limits


class Vendor(Contract):
    vendor: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    account: str = "default"
    groups: dict[str, Group] = Field(min_length=1)
