"""Google's batches of generateContent, their requests and answers inline."""

from collections.abc import Iterator

import httpx2
from google import genai
from google.genai import errors, types

from contracts.failures import Code
from workers.vendors import batch_ends
from workers.vendors.batch_ends import BATCH_SECONDS
from workers.vendors.google import ADDRESS, heard, params_of
from workers.vendors.google_wire import NAME, answer_of, refusal_of
from workers.vendors.port import ATTEMPT_HEADER, Ended, ModelAnswer, ModelRequest, Submission, VendorFailure
from workers.vendors.transport import broken

NAMED = "key"
"""The entry of a request's metadata that comes back with its answer."""
STATES = types.JobState
SUCCEEDED = {STATES.JOB_STATE_SUCCEEDED, STATES.JOB_STATE_PARTIALLY_SUCCEEDED}
LOST = {
    STATES.JOB_STATE_EXPIRED: batch_ends.expired,
    STATES.JOB_STATE_CANCELLED: batch_ends.cancelled,
}
CODES = {
    1: Code.INTERRUPTED,
    3: Code.BAD_REQUEST,
    4: Code.TIMEOUT,
    5: Code.BAD_REQUEST,
    7: Code.UNAUTHORISED,
    8: Code.OVERLOADED,
    14: Code.OVERLOADED,
    16: Code.UNAUTHORISED,
}
"""By the codes of gRPC, which a batch gives for its requests."""


class GoogleBatches:
    """Batches of one project of Google; the base URL is without the API's version."""

    def __init__(self, key: str, base_url: str | None, http: httpx2.Client) -> None:
        self._client = genai.Client(
            api_key=key,
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=base_url or ADDRESS,
                api_version="v1beta",
                httpx_client=http,
                retry_options=types.HttpRetryOptions(attempts=1),
                timeout=int(BATCH_SECONDS * 1000),
            ),
        )

    def submit(self, requests: list[ModelRequest], attempt: str) -> Submission:
        inlined = [
            types.InlinedRequest(
                model=request.model,
                contents=request.prompt,
                metadata={NAMED: request.attempt},
                config=params_of(request),
            )
            for request in requests
        ]
        try:
            batch = self._client.batches.create(
                model=requests[0].model,
                src=inlined,
                config=types.CreateBatchJobConfig(
                    http_options=types.HttpOptions(headers={ATTEMPT_HEADER: attempt})
                ),
            )
        except errors.APIError as error:
            raise refusal_of(heard(error)) from error
        except httpx2.HTTPError as error:
            raise broken(NAME, error) from error
        return Submission(batch.name or "", None)

    def look(self, batch: str) -> Ended | None:
        try:
            found = self._client.batches.get(name=batch)
        except errors.APIError as error:
            raise refusal_of(heard(error)) from error
        except httpx2.HTTPError as error:
            raise broken(NAME, error) from error
        state = found.state or STATES.JOB_STATE_UNSPECIFIED
        if state in LOST:
            return Ended({}, LOST[state](NAME))
        if state is STATES.JOB_STATE_FAILED:
            code = found.error.code if found.error else None
            return Ended({}, batch_ends.errored(NAME, _meaning(code), f"code {code}", b""))
        if state not in SUCCEEDED:
            return None
        return Ended(dict(_results(found)), batch_ends.missing(NAME))


def _results(batch: types.BatchJob) -> Iterator[tuple[str, ModelAnswer | VendorFailure]]:
    for each in (batch.dest.inlined_responses if batch.dest else None) or []:
        name = (each.metadata or {}).get(NAMED)
        if name is not None:
            yield name, _result(each)


def _result(each: types.InlinedResponse) -> ModelAnswer | VendorFailure:
    if each.response is None:
        code = each.error.code if each.error else None
        body = each.model_dump_json(by_alias=True, exclude_none=True).encode()
        return batch_ends.errored(NAME, _meaning(code), f"code {code}", body)
    body_text = each.response.model_dump_json(by_alias=True, exclude_none=True)
    try:
        return answer_of(body_text)
    except VendorFailure:
        return batch_ends.unread(NAME, body_text.encode())


def _meaning(code: int | None) -> Code:
    return CODES.get(code or 0, Code.VENDOR_ERROR)
