"""The job: what upstream hands over, and everything that makes its existence answerable."""

from typing import Any

from pydantic import AnyHttpUrl, AwareDatetime, Field, field_validator

from contracts.base import Contract
from contracts.purposes import Purpose

Name = Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*$")

LONGEST_URL = 2000


class JobRequest(Contract):
    """The body of ``POST /v1/jobs``."""

    tenant: str = Name
    portfolio: str = Name
    workflow: str = Field(min_length=1, max_length=64)
    inputs: dict[str, Any]
    """Checked against the workflow's own input contract."""
    purpose: Purpose
    reason: str = Field(min_length=3, max_length=500)
    """Why this job exists, for whoever asks at three in the morning."""
    requested_by: str = Field(min_length=1, max_length=100)
    kpi: str | None = Field(default=None, max_length=100)
    priority: int = Field(default=1, ge=0, le=3)
    """0 routine, 1 normal, 2 soon, 3 urgent."""
    deadline: AwareDatetime | None = None
    max_cost_usd: float | None = Field(default=None, gt=0)
    callback_url: AnyHttpUrl | None = None

    @field_validator("callback_url")
    @classmethod
    def _not_too_long(cls, url: AnyHttpUrl | None) -> AnyHttpUrl | None:
        if url is not None and len(str(url)) > LONGEST_URL:
            raise ValueError(
                f"a callback_url has at most {LONGEST_URL} characters, and this has {len(str(url))}"
            )
        return url


NOT_HONOURED_YET: dict[str, str] = {
    "deadline": "deadlines are not enforced yet, so a job with one is refused rather than run late",
    "max_cost_usd": "spending caps are not enforced yet, so a job with one is refused rather than overspent",
}
"""Fields that are known but not enforced: a job that sets one is refused with this sentence."""
