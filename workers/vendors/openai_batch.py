"""OpenAI's Batch API: a file of requests to the Responses API, and files of what came of them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx2
import openai
from openai.types import Batch
from pydantic import BaseModel, JsonValue, ValidationError

from contracts.failures import Code
from workers.vendors import batch_ends
from workers.vendors.batch_ends import BATCH_SECONDS, SIGNAL
from workers.vendors.openai import ADDRESS, MEANINGS, NAME, answer_of, params_of, refusal_of
from workers.vendors.port import (
    ATTEMPT_HEADER,
    Billing,
    Ended,
    ModelAnswer,
    ModelRequest,
    Submission,
    VendorFailure,
)
from workers.vendors.transport import broken, timeout

ENDPOINT = "/v1/responses"
ENDED = {"completed", "expired", "cancelled", "failed"}


class OpenAIBatches:
    """Batches of one account of OpenAI; the base URL includes ``/v1``."""

    def __init__(self, key: str, base_url: str | None, http: httpx2.Client) -> None:
        self._client = openai.OpenAI(
            api_key=key, base_url=base_url or ADDRESS, max_retries=0, http_client=http
        )

    def submit(self, requests: list[ModelRequest], attempt: str) -> Submission:
        uploaded = self._upload(requests)
        try:
            batch = self._client.batches.create(
                input_file_id=uploaded,
                endpoint="/v1/responses",
                completion_window="24h",
                extra_headers={ATTEMPT_HEADER: attempt},
                timeout=timeout(BATCH_SECONDS),
            )
        except openai.APIStatusError as error:
            raise refusal_of(error.response, {}) from error
        except openai.APIConnectionError as error:
            raise broken(NAME, error) from error
        return Submission(batch.id, _moment(batch.expires_at))

    def look(self, batch: str) -> Ended | None:
        try:
            found = self._client.batches.retrieve(batch, timeout=timeout(BATCH_SECONDS))
            if found.status not in ENDED:
                return None
            return Ended(dict(self._results(found)), _rest(found))
        except openai.APIStatusError as error:
            raise refusal_of(error.response, {}) from error
        except openai.APIConnectionError as error:
            raise broken(NAME, error) from error

    def _upload(self, requests: list[ModelRequest]) -> str:
        """The name of the file that holds the requests. Whatever goes wrong here costs nothing."""
        lines = [
            json.dumps(
                {
                    "custom_id": request.attempt,
                    "method": "POST",
                    "url": ENDPOINT,
                    "body": params_of(request),
                }
            )
            for request in requests
        ]
        content = "\n".join(lines).encode()
        try:
            kept = self._client.files.create(
                file=("batch.jsonl", content), purpose="batch", timeout=timeout(BATCH_SECONDS)
            )
        except openai.APIStatusError as error:
            raise refusal_of(error.response, {}) from error
        except openai.APIConnectionError as error:
            failed = broken(NAME, error)
            raise VendorFailure(failed.failure, Billing.NOT_BILLED, failed.signal) from error
        return kept.id

    def _results(self, batch: Batch) -> Iterator[tuple[str, ModelAnswer | VendorFailure]]:
        for name in filter(None, (batch.output_file_id, batch.error_file_id)):
            content = self._client.files.content(name, timeout=timeout(BATCH_SECONDS))
            for text in content.text.splitlines():
                if text.strip():
                    line = _Line.model_validate_json(text)
                    yield line.custom_id, _result(line, text.encode())


class _Answered(BaseModel):
    status_code: int
    request_id: str | None = None
    body: dict[str, JsonValue]


class _Error(BaseModel):
    code: str | None = None
    type: str | None = None


class _ErrorBody(BaseModel):
    error: _Error = _Error()


class _Line(BaseModel):
    custom_id: str
    response: _Answered | None = None
    error: _Error | None = None


def _result(line: _Line, text: bytes) -> ModelAnswer | VendorFailure:
    if line.response is None:
        word = line.error.code if line.error else None
        if word == "batch_expired":
            return batch_ends.expired(NAME)
        if word == "batch_cancelled":
            return batch_ends.cancelled(NAME)
        return batch_ends.errored(NAME, MEANINGS.get(word or "", Code.VENDOR_ERROR), word or "", text)
    body = json.dumps(line.response.body).encode()
    if line.response.status_code != 200:
        return _errored(line.response, body)
    try:
        return answer_of(body, SIGNAL, line.response.request_id)
    except VendorFailure:
        return batch_ends.unread(NAME, body)


def _errored(answered: _Answered, body: bytes) -> VendorFailure:
    try:
        error = _ErrorBody.model_validate(answered.body).error
    except ValidationError:
        error = _Error()
    word = error.code or error.type or ""
    default = Code.BAD_REQUEST if answered.status_code in (400, 404, 422) else Code.VENDOR_ERROR
    return batch_ends.errored(NAME, MEANINGS.get(word, default), word, body)


def _rest(batch: Batch) -> VendorFailure:
    """What became of those of which no file says anything."""
    if batch.status == "expired":
        return batch_ends.expired(NAME)
    if batch.status == "cancelled":
        return batch_ends.cancelled(NAME)
    if batch.status == "failed":
        told = batch.errors.data if batch.errors and batch.errors.data else []
        word = next((error.code for error in told if error.code), "")
        return batch_ends.errored(NAME, MEANINGS.get(word, Code.VENDOR_ERROR), word, b"")
    return batch_ends.missing(NAME)


def _moment(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
