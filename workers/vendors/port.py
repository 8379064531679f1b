"""The port of a model vendor: one request in, one answer or one typed failure out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from contracts.account_limits import Allowed
from contracts.failures import Failure, HandlerFailure
from contracts.limits import Dimension, VendorSignal
from contracts.reports import Usage

ATTEMPT_HEADER = "x-fleet-attempt"
"""Carries the attempt's id to the vendor, so that its ledger and ours can be compared."""


class Stop(StrEnum):
    """Why the model stopped; read before anything is validated."""

    COMPLETE = "complete"
    CUT = "cut"
    """By a limit, or for a reason that is not known: what there is may be half an answer."""
    REFUSED = "refused"
    """By the model or the vendor's policy; the same request meets the same end."""


class Billing(StrEnum):
    """What a failed request may have cost."""

    NOT_SENT = "not_sent"
    """It never left; the reservation is refunded."""
    NOT_BILLED = "not_billed"
    """The vendor said no with an error status: no tokens."""
    AMBIGUOUS = "ambiguous"
    """It left and nobody knows what became of it; the reservation is charged."""


@dataclass(frozen=True)
class ModelRequest:
    model: str
    system: str
    prompt: str
    schema: Mapping[str, Any]
    """JSON schema of the answer, as every vendor accepts it (see ``schemas.strict``)."""
    schema_name: str
    """Letters, digits, hyphens and underscores, at most 64."""
    max_output_tokens: int
    timeout_seconds: float
    """Longest silence of the socket while it is written or read."""
    attempt: str

    @property
    def needs(self) -> dict[Dimension, int]:
        """What the request may use at most of each dimension; three characters a token, on the safe side."""
        input_tokens = (len(self.system) + len(self.prompt) + len(json.dumps(dict(self.schema)))) // 3
        return {
            Dimension.REQUESTS: 1,
            Dimension.INPUT_TOKENS: input_tokens,
            Dimension.OUTPUT_TOKENS: self.max_output_tokens,
            Dimension.TOKENS: input_tokens + self.max_output_tokens,
        }


@dataclass(frozen=True)
class ModelAnswer:
    text: str
    usage: Usage | None
    """None where the vendor did not say; charged like an ambiguous end."""
    stop: Stop
    signal: VendorSignal
    """What the answer said about the account's limits."""
    vendor_request_id: str | None
    body: bytes
    """The answer as it came over the wire."""


class VendorFailure(HandlerFailure):
    """No answer: the typed failure, what it may have cost, what it said about the account's limits, and the
    body that said so (empty without one)."""

    def __init__(
        self,
        failure: Failure,
        billing: Billing,
        signal: VendorSignal,
        *,
        vendor_request_id: str | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(failure)
        self.billing = billing
        self.signal = signal
        self.vendor_request_id = vendor_request_id
        self.body = body


class Vendor(Protocol):
    """A model vendor. Safe to use from several threads."""

    def ask(self, request: ModelRequest) -> ModelAnswer:
        """Sends exactly one HTTP request. Raises VendorFailure."""
        ...


@dataclass(frozen=True)
class Submission:
    """A batch that its vendor took in."""

    id: str
    """The vendor's own."""
    expires_at: datetime | None
    """When the vendor gives up what it has not answered; None where it does not say."""


@dataclass(frozen=True)
class Ended:
    """What came of a batch, by the attempts of its requests."""

    results: Mapping[str, ModelAnswer | VendorFailure]
    rest: VendorFailure
    """What became of those that are not named."""


class BatchVendor(Protocol):
    """A vendor's batches: requests handed in together and answered within a day, for less. Safe to use from
    several threads."""

    def submit(self, requests: list[ModelRequest], attempt: str) -> Submission:
        """Hands the requests in, one model's, each named by its own attempt; `attempt` is the one that does it.
        Sends one HTTP request that counts. Raises VendorFailure."""
        ...

    def look(self, batch: str) -> Ended | None:
        """What came of a batch, or None while it is under way. Costs nothing. Raises VendorFailure."""
        ...


class LimitsVendor(Protocol):
    """A vendor that tells what it allows an account. Safe to use from several threads."""

    def read(self, attempt: str) -> tuple[Allowed, ...]:
        """Every limit of a group of models. Sends exactly one HTTP request, which asks no model and costs nothing.
        Raises VendorFailure."""
        ...
