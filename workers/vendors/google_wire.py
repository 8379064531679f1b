"""What Gemini's bodies say, read without the SDK: an unknown word in them is no error."""

from datetime import UTC, datetime

import httpx2
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from contracts.failures import Code, Failure
from contracts.limits import Dimension, ResponseKind, Standing, VendorSignal
from contracts.reports import Usage
from workers.vendors.headers import go_seconds, number
from workers.vendors.port import Billing, ModelAnswer, Stop, VendorFailure
from workers.vendors.refusals import Refusal, refused

NAME = "google"

STOPS = {
    "STOP": Stop.COMPLETE,
    "MAX_TOKENS": Stop.CUT,
    "SAFETY": Stop.REFUSED,
    "RECITATION": Stop.REFUSED,
    "BLOCKLIST": Stop.REFUSED,
    "PROHIBITED_CONTENT": Stop.REFUSED,
    "SPII": Stop.REFUSED,
    "LANGUAGE": Stop.REFUSED,
}

MEANINGS = {"API_KEY_INVALID": Code.UNAUTHORISED}
"""By the reason in ``error.details``."""


class _View(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class _Part(_View):
    text: str = ""
    thought: bool = False


class _Content(_View):
    parts: list[_Part] = []


class _Candidate(_View):
    content: _Content = _Content()
    finish_reason: str | None = None

    def text(self) -> str:
        return "".join(part.text for part in self.content.parts if not part.thought)


class _Usage(_View):
    prompt_token_count: int = 0
    tool_use_prompt_token_count: int = 0
    cached_content_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0

    def counted(self) -> Usage:
        return Usage(
            input_tokens=self.prompt_token_count + self.tool_use_prompt_token_count,
            cached_input_tokens=self.cached_content_token_count,
            # Thoughts are billed as output, but not counted among the candidates.
            output_tokens=self.candidates_token_count + self.thoughts_token_count,
        )


class _Feedback(_View):
    block_reason: str | None = None


class _Answer(_View):
    candidates: list[_Candidate] = []
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    response_id: str | None = None

    def stop(self) -> Stop:
        if self.candidates:
            return STOPS.get(self.candidates[0].finish_reason or "", Stop.CUT)
        # A prompt that was blocked has no candidate at all.
        blocked = self.prompt_feedback is not None and self.prompt_feedback.block_reason is not None
        return Stop.REFUSED if blocked else Stop.COMPLETE


class _Violation(_View):
    quota_id: str = ""
    quota_value: JsonValue = None

    @property
    def per_day(self) -> bool:
        return "PerDay" in self.quota_id

    def dimension(self) -> Dimension | None:
        """By the words of an id such as ``GenerateContentInputTokensPerModelPerMinute-FreeTier``."""
        if "Token" in self.quota_id:
            return Dimension.TOKENS_PER_DAY if self.per_day else Dimension.INPUT_TOKENS
        if "Request" in self.quota_id:
            return Dimension.REQUESTS_PER_DAY if self.per_day else Dimension.REQUESTS
        return None

    def standing(self) -> Standing | None:
        """The limit, where it is one per minute or per day."""
        dimension, limit = self.dimension(), number(str(self.quota_value))
        if dimension is None or not limit or not (self.per_day or "PerMinute" in self.quota_id):
            return None
        return Standing(dimension=dimension, limit=limit)


class _Detail(_View):
    reason: str | None = None
    retry_delay: str | None = None
    violations: list[_Violation] = []


class _Error(_View):
    status: str | None = None
    details: list[_Detail] = []

    def violations(self) -> list[_Violation]:
        """The quotas that were hit, those of the day first: they last longest."""
        found = [violation for detail in self.details for violation in detail.violations]
        return sorted(found, key=lambda violation: not violation.per_day)

    def delay_seconds(self) -> float | None:
        """A duration such as ``26s`` or ``0.5s``."""
        return go_seconds(next((detail.retry_delay for detail in self.details if detail.retry_delay), ""))

    def evidence(self) -> dict[str, str]:
        reasons = [detail.reason for detail in self.details if detail.reason]
        words = (
            ("type", self.status or ""),
            ("code", ", ".join(reasons)),
            ("quota", ", ".join(violation.quota_id for violation in self.violations())),
        )
        return {key: word for key, word in words if word}


class _ErrorBody(_View):
    error: _Error = _Error()


def answer_of(body: str) -> ModelAnswer:
    """The answer in a body that came with status 200; raises VendorFailure where there is none."""
    try:
        answer = _Answer.model_validate_json(body)
    except ValidationError as error:
        failure = Failure(code=Code.VENDOR_ERROR, sentence=f"{NAME} answered 200 with no candidates in it")
        signal = VendorSignal(kind=ResponseKind.ERROR)
        raise VendorFailure(failure, Billing.AMBIGUOUS, signal, body=body.encode()) from error
    return ModelAnswer(
        text=answer.candidates[0].text() if answer.candidates else "",
        usage=answer.usage_metadata.counted() if answer.usage_metadata else None,
        stop=answer.stop(),
        # This vendor says nothing of its limits before one is hit.
        signal=VendorSignal(kind=ResponseKind.OK),
        vendor_request_id=answer.response_id,
        body=body.encode(),
    )


def refusal_of(response: httpx2.Response) -> VendorFailure:
    """The failure that an error status stands for."""
    try:
        error = _ErrorBody.model_validate_json(response.content).error
    except ValidationError:
        error = _Error()
    refusal = Refusal(
        vendor=NAME,
        status=response.status_code,
        headers=dict(response.headers),
        body=response.content,
        standings=tuple(standing for each in error.violations() if (standing := each.standing())),
        meaning=_meaning(error, response.status_code),
        hit=next((violation.dimension() for violation in error.violations()), None),
        retry_after_seconds=error.delay_seconds(),
        evidence=error.evidence(),
    )
    return refused(refusal, datetime.now(UTC))


def _meaning(error: _Error, status: int) -> Code | None:
    if any(violation.per_day for violation in error.violations()):
        # Waiting seconds does not help before midnight in California: a person decides.
        return Code.DAY_LIMIT
    if status == 429 and not error.details:
        # A quota that was hit is always named; without one the vendor itself is short.
        return Code.OVERLOADED
    if status == 400 and error.status == "FAILED_PRECONDITION":
        # Billing is not set up, or the region is not served: a person's matter.
        return Code.UNAUTHORISED
    return next((MEANINGS[detail.reason] for detail in error.details if detail.reason in MEANINGS), None)
