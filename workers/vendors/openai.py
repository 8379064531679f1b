"""OpenAI, by its Responses API."""

from collections.abc import Mapping
from datetime import UTC, datetime

import httpx2
import openai
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import BaseModel, ValidationError

from contracts.failures import Code, Failure
from contracts.limits import Dimension, ResponseKind, Standing, VendorSignal
from contracts.reports import Usage
from workers.vendors.headers import go_seconds, standings
from workers.vendors.port import ATTEMPT_HEADER, Billing, ModelAnswer, ModelRequest, Stop, VendorFailure
from workers.vendors.refusals import Refusal, kind_of, refused
from workers.vendors.transport import broken, timeout

NAME = "openai"
ADDRESS = "https://api.openai.com/v1"

MEANINGS = {
    "slow_down": Code.OVERLOADED,
    "server_is_overloaded": Code.OVERLOADED,
    "credit_balance_exhausted": Code.SPEND_LIMIT,
    "insufficient_quota": Code.SPEND_LIMIT,
    "organization_spend_limit_exceeded": Code.SPEND_LIMIT,
    "project_spend_limit_exceeded": Code.SPEND_LIMIT,
    "organization_usage_limit_exceeded": Code.SPEND_LIMIT,
    "billing_hard_limit_reached": Code.SPEND_LIMIT,
    "billing_not_active": Code.SPEND_LIMIT,
    "context_length_exceeded": Code.TOO_LARGE,
    "invalid_api_key": Code.UNAUTHORISED,
}
"""By ``error.code``, else by ``error.type``."""

DIMENSIONS = {Dimension.REQUESTS: "requests", Dimension.TOKENS: "tokens"}
"""As headers name them, and the type of an error of its own quota."""


class OpenAI:
    """One account of OpenAI; the base URL includes ``/v1``."""

    def __init__(self, key: str, base_url: str | None, http: httpx2.Client) -> None:
        self._client = openai.OpenAI(
            api_key=key, base_url=base_url or ADDRESS, max_retries=0, http_client=http
        )

    def ask(self, request: ModelRequest) -> ModelAnswer:
        try:
            raw = self._client.responses.with_raw_response.create(
                **params_of(request),
                extra_headers={ATTEMPT_HEADER: request.attempt},
                timeout=timeout(request.timeout_seconds),
            )
        except openai.APIStatusError as error:
            raise refusal_of(error.response, request.needs) from error
        except openai.APIConnectionError as error:
            raise broken(NAME, error) from error
        http = raw.http_response
        signal = VendorSignal(kind=ResponseKind.OK, standings=_told(http))
        return answer_of(http.content, signal, http.headers.get("x-request-id"))


def params_of(request: ModelRequest) -> ResponseCreateParamsNonStreaming:
    """The body of a request, the same live and in a batch."""
    return {
        "model": request.model,
        "instructions": request.system,
        "input": request.prompt,
        "max_output_tokens": request.max_output_tokens,
        "text": {
            "format": {
                "type": "json_schema",
                "name": request.schema_name,
                "schema": dict(request.schema),
                "strict": True,
            }
        },
        "store": False,
    }


class _Part(BaseModel):
    type: str
    text: str = ""


class _Item(BaseModel):
    type: str
    content: list[_Part] | None = None


class _Cached(BaseModel):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class _Usage(BaseModel):
    input_tokens: int
    input_tokens_details: _Cached | None = None
    output_tokens: int

    def counted(self) -> Usage:
        cache = self.input_tokens_details or _Cached()
        return Usage(
            input_tokens=self.input_tokens,
            cached_input_tokens=cache.cached_tokens,
            cache_written_input_tokens=cache.cache_write_tokens,
            output_tokens=self.output_tokens,
        )


class _Incomplete(BaseModel):
    reason: str | None = None


class _Error(BaseModel):
    code: str | None = None
    type: str | None = None
    param: str | None = None


class _Response(BaseModel):
    status: str
    incomplete_details: _Incomplete | None = None
    error: _Error | None = None
    output: list[_Item]
    usage: _Usage | None = None

    def parts(self) -> list[_Part]:
        return [part for item in self.output if item.type == "message" for part in item.content or []]

    def stop(self) -> Stop:
        reason = self.incomplete_details.reason if self.incomplete_details else None
        if reason == "content_filter" or any(part.type == "refusal" for part in self.parts()):
            return Stop.REFUSED
        return Stop.COMPLETE if self.status == "completed" else Stop.CUT


class _ErrorBody(BaseModel):
    error: _Error = _Error()


def answer_of(body: bytes, signal: VendorSignal, request_id: str | None) -> ModelAnswer:
    """The answer in a body that came with status 200; raises VendorFailure where there is none."""
    try:
        response = _Response.model_validate_json(body)
    except ValidationError as error:
        raise _unanswered("answered 200 with no response in it", None, body, signal, request_id) from error
    if response.status not in {"completed", "incomplete"}:
        word = response.error.code if response.error else None
        raise _unanswered(f"ended the response as {response.status}", word, body, signal, request_id)
    return ModelAnswer(
        text="".join(part.text for part in response.parts() if part.type == "output_text"),
        usage=response.usage.counted() if response.usage else None,
        stop=response.stop(),
        signal=signal,
        vendor_request_id=request_id,
        body=body,
    )


def _told(http: httpx2.Response) -> tuple[Standing, ...]:
    return standings(http.headers, "x-ratelimit-{part}-{dimension}", DIMENSIONS, go_seconds)


def _unanswered(
    what: str, word: str | None, body: bytes, signal: VendorSignal, request_id: str | None
) -> VendorFailure:
    code = MEANINGS.get(word or "", Code.VENDOR_ERROR)
    return VendorFailure(
        Failure(code=code, sentence=f"{NAME} {what[:200]}", evidence={"code": word[:200]} if word else {}),
        Billing.AMBIGUOUS,
        signal.model_copy(update={"kind": kind_of(code)}),
        vendor_request_id=request_id,
        body=body,
    )


def refusal_of(response: httpx2.Response, needs: Mapping[Dimension, int]) -> VendorFailure:
    """The failure that an error status stands for, to a request that needs so much."""
    try:
        error = _ErrorBody.model_validate_json(response.content).error
    except ValidationError:
        error = _Error()
    words = (("type", error.type), ("code", error.code), ("param", error.param))
    refusal = Refusal(
        vendor=NAME,
        status=response.status_code,
        headers=dict(response.headers),
        body=response.content,
        standings=_told(response),
        needs=needs,
        meaning=MEANINGS.get(error.code or "") or MEANINGS.get(error.type or ""),
        hit=next((dimension for dimension, name in DIMENSIONS.items() if name == error.type), None),
        vendor_request_id=response.headers.get("x-request-id"),
        evidence={key: word for key, word in words if word},
    )
    return refused(refusal, datetime.now(UTC))
