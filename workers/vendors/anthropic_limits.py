"""Anthropic's list of an organisation's rate limits, which takes an admin key."""

from collections.abc import Iterator

import anthropic
import httpx2
from pydantic import BaseModel, ValidationError

from contracts.account_limits import Allowed
from contracts.failures import Code, Failure
from contracts.limits import Dimension, ResponseKind, VendorSignal
from workers.vendors.anthropic import ADDRESS, NAME, refusal_of
from workers.vendors.port import ATTEMPT_HEADER, Billing, VendorFailure
from workers.vendors.transport import broken, timeout

READ_SECONDS = 30.0

DIMENSIONS = {
    "requests_per_minute": Dimension.REQUESTS,
    "input_tokens_per_minute": Dimension.INPUT_TOKENS,
    "input_tokens_per_minute_cache_aware": Dimension.INPUT_TOKENS,
    "output_tokens_per_minute": Dimension.OUTPUT_TOKENS,
}
"""By the vendor's word for the type of a limit. What is not named here limits nothing that the fleet does."""


class AnthropicLimits:
    """The limits of one account of Anthropic; the base URL is without ``/v1``."""

    def __init__(self, key: str, base_url: str | None, http: httpx2.Client) -> None:
        self._client = anthropic.Anthropic(
            api_key=key, base_url=base_url or ADDRESS, max_retries=0, http_client=http
        )

    def read(self, attempt: str) -> tuple[Allowed, ...]:
        # Without a page size the vendor lists everything at once.
        try:
            raw = self._client.organization.rate_limits.with_raw_response.list(
                group_type="model_group",
                extra_headers={ATTEMPT_HEADER: attempt},
                timeout=timeout(READ_SECONDS),
            )
        except anthropic.APIStatusError as error:
            raise refusal_of(error.response, {}) from error
        except anthropic.APIConnectionError as error:
            raise broken(NAME, error) from error
        return allowed_in(raw.http_response.content)


class _Limit(BaseModel):
    type: str
    value: float


class _Entry(BaseModel):
    models: tuple[str, ...] | None = None
    limits: tuple[_Limit, ...]


class _List(BaseModel):
    data: tuple[_Entry, ...]


def allowed_in(body: bytes) -> tuple[Allowed, ...]:
    """The limits in a body that came with status 200; raises VendorFailure where there is no list of them."""
    try:
        listed = _List.model_validate_json(body)
    except ValidationError as error:
        raise VendorFailure(
            Failure(code=Code.VENDOR_ERROR, sentence=f"{NAME} answered 200 with no list of limits in it"),
            Billing.NOT_BILLED,
            VendorSignal(kind=ResponseKind.ERROR),
            body=body,
        ) from error
    return tuple(allowed for entry in listed.data for allowed in _allowed(entry))


def _allowed(entry: _Entry) -> Iterator[Allowed]:
    for limit in entry.limits:
        # A limit of zero says that the account may not use the model, and no pace follows from that.
        if entry.models and limit.type in DIMENSIONS and limit.value > 0:
            yield Allowed(models=entry.models, dimension=DIMENSIONS[limit.type], value=limit.value)
