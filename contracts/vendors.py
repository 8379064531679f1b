"""Vendors: what an account allows, per group of models that share a limit, and how the vendor counts."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from contracts.base import Contract
from contracts.limits import Dimension


class Limits(Contract):
    """An account's allowance for one group of models. What is not named is not limited."""

    requests_per_minute: int | None = Field(default=None, ge=1)
    input_tokens_per_minute: int | None = Field(default=None, ge=1)
    output_tokens_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    requests_per_day: int | None = Field(default=None, ge=1)
    tokens_per_day: int | None = Field(default=None, ge=1)
    concurrency: int = Field(ge=1)
    """Calls at once, which is ours to choose."""
    burst_seconds: float = Field(default=60.0, gt=0)
    """How much of an unused rate the vendor lets an account save up; half of it is used."""

    def by_dimension(self) -> dict[Dimension, int]:
        """The limits that are named: per minute, or per day where the dimension says so."""
        named = {
            Dimension.REQUESTS: self.requests_per_minute,
            Dimension.INPUT_TOKENS: self.input_tokens_per_minute,
            Dimension.OUTPUT_TOKENS: self.output_tokens_per_minute,
            Dimension.TOKENS: self.tokens_per_minute,
            Dimension.REQUESTS_PER_DAY: self.requests_per_day,
            Dimension.TOKENS_PER_DAY: self.tokens_per_day,
        }
        return {dimension: limit for dimension, limit in named.items() if limit is not None}

    @model_validator(mode="after")
    def _limits_something(self) -> "Limits":
        if not self.by_dimension():
            raise ValueError("names no limit at all; work without a limit is not paced")
        return self


class Charging(Contract):
    """How a vendor counts a request against its limits."""

    cached_input_counts: bool = False
    """Whether input that was read from the vendor's cache counts."""
    promise_counts: bool = False
    """Whether the promised output, or an estimate of the input where that is larger, counts in full when the
    request is admitted and is never given back."""
    failures_count: bool = False
    """Whether a refused request counts as one."""
    day_begins_in: str = "UTC"
    """The time zone at whose midnight the limits per day begin anew."""


class ModelFacts(Contract):
    context_tokens: int = Field(ge=1)
    """How many tokens fit, input and output together."""


class Group(Contract):
    """Models of one account that draw on the same limits."""

    models: dict[str, ModelFacts] = Field(min_length=1)
    limits: Limits


class Batching(Contract):
    """How work that can wait goes to a vendor's batches, for half the price and from a pool of its own."""

    workflow: str
    """The workflow that hands a batch in and collects what came of it."""
    fewest: int = Field(default=2, ge=1)
    """Fewer go live, unless one has waited for long."""
    patience_seconds: float = Field(default=60.0, gt=0)
    """What has waited so long for a live call goes by batch, even alone."""
    requests: int = Field(default=1000, ge=1)
    """At most so many wait in an account's batches for one model; what exceeds them goes live."""
    input_tokens: int | None = Field(default=None, ge=1)
    """The same of their input, where the vendor limits that."""


class Vendor(Contract):
    vendor: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    accounts: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")], ...] = Field(
        default=("default",), min_length=1
    )
    """Independent accounts, each with the limits of every group; work is spread over them."""
    charging: Charging = Charging()
    groups: dict[str, Group] = Field(min_length=1)
    batch: Batching | None = None
    """None where nothing goes by batch."""

    @model_validator(mode="after")
    def _one_group_for_a_model(self) -> "Vendor":
        home: dict[str, str] = {}
        for name, group in self.groups.items():
            for model in group.models:
                if home.setdefault(model, name) != name:
                    raise ValueError(
                        f"model {model} stands in the groups {home[model]} and {name}; it draws on one"
                    )
        return self

    @model_validator(mode="after")
    def _each_account_once(self) -> "Vendor":
        if len(set(self.accounts)) < len(self.accounts):
            raise ValueError("names an account twice")
        return self

    @model_validator(mode="after")
    def _known_day(self) -> "Vendor":
        try:
            ZoneInfo(self.charging.day_begins_in)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"there is no time zone {self.charging.day_begins_in}") from None
        return self
