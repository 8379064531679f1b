"""Anthropic's Message Batches."""

import anthropic
import httpx2
from anthropic.types import ErrorResponse
from anthropic.types.messages import MessageBatchIndividualResponse

from contracts.failures import Code
from workers.vendors import batch_ends
from workers.vendors.anthropic import ADDRESS, MEANINGS, NAME, answer_of, params_of, refusal_of
from workers.vendors.batch_ends import BATCH_SECONDS, SIGNAL
from workers.vendors.port import ATTEMPT_HEADER, Ended, ModelAnswer, ModelRequest, Submission, VendorFailure
from workers.vendors.transport import broken, timeout

CODES = {
    "invalid_request_error": Code.BAD_REQUEST,
    "not_found_error": Code.BAD_REQUEST,
    "rate_limit_error": Code.OVERLOADED,
}
"""By ``error.type``, where no live call is needed to tell; a batch meets no limit of live calls."""


class AnthropicBatches:
    """Batches of one account of Anthropic; the base URL is without ``/v1``."""

    def __init__(self, key: str, base_url: str | None, http: httpx2.Client) -> None:
        self._client = anthropic.Anthropic(
            api_key=key, base_url=base_url or ADDRESS, max_retries=0, http_client=http
        )

    def submit(self, requests: list[ModelRequest], attempt: str) -> Submission:
        try:
            batch = self._client.messages.batches.create(
                requests=[
                    {"custom_id": request.attempt, "params": params_of(request)} for request in requests
                ],
                extra_headers={ATTEMPT_HEADER: attempt},
                timeout=timeout(BATCH_SECONDS),
            )
        except anthropic.APIStatusError as error:
            raise refusal_of(error.response, {}) from error
        except anthropic.APIConnectionError as error:
            raise broken(NAME, error) from error
        return Submission(batch.id, batch.expires_at)

    def look(self, batch: str) -> Ended | None:
        try:
            found = self._client.messages.batches.retrieve(batch, timeout=timeout(BATCH_SECONDS))
            if found.processing_status != "ended":
                return None
            lines = self._client.messages.batches.results(batch, timeout=timeout(BATCH_SECONDS))
            return Ended({line.custom_id: _result(line) for line in lines}, batch_ends.missing(NAME))
        except anthropic.APIStatusError as error:
            raise refusal_of(error.response, {}) from error
        except (anthropic.APIConnectionError, httpx2.HTTPError) as error:
            raise broken(NAME, error) from error


def _result(line: MessageBatchIndividualResponse) -> ModelAnswer | VendorFailure:
    match line.result.type:
        case "succeeded":
            body = line.result.message.to_json().encode()
            try:
                return answer_of(body, SIGNAL, line.result.message.id)
            except VendorFailure:
                return batch_ends.unread(NAME, body)
        case "errored":
            return _errored(line.result.error)
        case "expired":
            return batch_ends.expired(NAME)
        case "canceled":
            return batch_ends.cancelled(NAME)
    return batch_ends.unread(NAME, line.to_json().encode())


def _errored(error: ErrorResponse) -> VendorFailure:
    word = error.error.type
    code = CODES.get(word) or MEANINGS.get(word) or Code.VENDOR_ERROR
    return batch_ends.errored(NAME, code, word, error.to_json().encode())
