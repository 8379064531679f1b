"""Anthropic, by its Messages API."""

from collections.abc import Mapping
from datetime import UTC, datetime

import anthropic
import httpx2
from anthropic.types import TextBlockParam
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from pydantic import BaseModel, ValidationError

from contracts.failures import Code, Failure
from contracts.limits import Dimension, ResponseKind, Standing, VendorSignal
from contracts.reports import Usage
from workers.vendors.headers import seconds_until, standings
from workers.vendors.port import ATTEMPT_HEADER, Billing, ModelAnswer, ModelRequest, Stop, VendorFailure
from workers.vendors.refusals import Refusal, refused, scarcest
from workers.vendors.transport import broken, timeout

NAME = "anthropic"
ADDRESS = "https://api.anthropic.com"

CACHEABLE_CHARACTERS = 4096
"""About 1024 tokens; the vendor caches nothing shorter, and for some models only what is longer."""

STOPS = {
    "end_turn": Stop.COMPLETE,
    "stop_sequence": Stop.COMPLETE,
    "max_tokens": Stop.CUT,
    "model_context_window_exceeded": Stop.CUT,
    "refusal": Stop.REFUSED,
}

MEANINGS = {
    "ramp_limit_exceeded": Code.OVERLOADED,
    "enforced_spend_limit_reached": Code.SPEND_LIMIT,
    "contract_spend_limit_reached": Code.SPEND_LIMIT,
    "overloaded_error": Code.OVERLOADED,
    "request_too_large": Code.TOO_LARGE,
    "billing_error": Code.SPEND_LIMIT,
    "authentication_error": Code.UNAUTHORISED,
    "permission_error": Code.UNAUTHORISED,
}
"""By ``error.details.error_code``, else by ``error.type``."""

DIMENSIONS = {
    Dimension.REQUESTS: "requests",
    Dimension.INPUT_TOKENS: "input-tokens",
    Dimension.OUTPUT_TOKENS: "output-tokens",
}
"""As headers name them. A fourth one, of all tokens, is but the sum of two of them."""


class Anthropic:
    """One account of Anthropic; the base URL is without ``/v1``."""

    def __init__(self, key: str, base_url: str | None, http: httpx2.Client) -> None:
        self._client = anthropic.Anthropic(
            api_key=key, base_url=base_url or ADDRESS, max_retries=0, http_client=http
        )

    def ask(self, request: ModelRequest) -> ModelAnswer:
        try:
            raw = self._client.messages.with_raw_response.create(
                **params_of(request),
                extra_headers={ATTEMPT_HEADER: request.attempt},
                timeout=timeout(request.timeout_seconds),
            )
        except anthropic.APIStatusError as error:
            raise refusal_of(error.response, request.needs) from error
        except anthropic.APIConnectionError as error:
            raise broken(NAME, error) from error
        response = raw.http_response
        signal = VendorSignal(kind=ResponseKind.OK, standings=_told(response, datetime.now(UTC)))
        return answer_of(response.content, signal, response.headers.get("request-id"))


def params_of(request: ModelRequest) -> MessageCreateParamsNonStreaming:
    """The body of a request, the same live and in a batch."""
    return {
        "model": request.model,
        "max_tokens": request.max_output_tokens,
        "system": [_standing_part(request.system)],
        "messages": [{"role": "user", "content": request.prompt}],
        "output_config": {"format": {"type": "json_schema", "schema": dict(request.schema)}},
    }


def _standing_part(system: str) -> TextBlockParam:
    """The part of the prompt that all attempts of a lane share. Marked, it is read from the vendor's cache
    while it is asked for at least every five minutes."""
    if len(system) < CACHEABLE_CHARACTERS:
        return {"type": "text", "text": system}
    return {"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}


class _Block(BaseModel):
    type: str
    text: str = ""


class _Usage(BaseModel):
    input_tokens: int
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int

    def counted(self) -> Usage:
        read, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        return Usage(
            # The vendor's `input_tokens` are those that its cache has nothing to do with.
            input_tokens=self.input_tokens + read + written,
            cached_input_tokens=read,
            cache_written_input_tokens=written,
            output_tokens=self.output_tokens,
        )


class _Message(BaseModel):
    content: list[_Block]
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Details(BaseModel):
    error_code: str | None = None


class _Error(BaseModel):
    type: str | None = None
    details: _Details | None = None


class _ErrorBody(BaseModel):
    error: _Error = _Error()


def answer_of(body: bytes, signal: VendorSignal, request_id: str | None) -> ModelAnswer:
    """The answer in a body that came with status 200; raises VendorFailure where there is none."""
    try:
        message = _Message.model_validate_json(body)
    except ValidationError as error:
        raise VendorFailure(
            Failure(code=Code.VENDOR_ERROR, sentence=f"{NAME} answered 200 with no message in it"),
            Billing.AMBIGUOUS,
            signal.model_copy(update={"kind": ResponseKind.ERROR}),
            vendor_request_id=request_id,
            body=body,
        ) from error
    return ModelAnswer(
        text="".join(block.text for block in message.content if block.type == "text"),
        usage=message.usage.counted() if message.usage else None,
        stop=STOPS.get(message.stop_reason or "", Stop.CUT),
        signal=signal,
        vendor_request_id=request_id,
        body=body,
    )


def _told(response: httpx2.Response, now: datetime) -> tuple[Standing, ...]:
    return standings(
        response.headers,
        "anthropic-ratelimit-{dimension}-{part}",
        DIMENSIONS,
        lambda moment: seconds_until(moment, now),
    )


def refusal_of(response: httpx2.Response, needs: Mapping[Dimension, int]) -> VendorFailure:
    """The failure that an error status stands for, to a request that needs so much."""
    try:
        error = _ErrorBody.model_validate_json(response.content).error
    except ValidationError:
        error = _Error()
    code = error.details.error_code if error.details else None
    now = datetime.now(UTC)
    told = _told(response, now)
    refusal = Refusal(
        vendor=NAME,
        status=response.status_code,
        headers=dict(response.headers),
        body=response.content,
        standings=told,
        needs=needs,
        meaning=MEANINGS.get(code or "") or MEANINGS.get(error.type or ""),
        hit=scarcest(told, needs),
        vendor_request_id=response.headers.get("request-id"),
        evidence={key: word for key, word in (("type", error.type), ("code", code)) if word},
    )
    return refused(refusal, now)
