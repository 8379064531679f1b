"""The job: what upstream hands over, and everything that makes its existence answerable."""

from typing import Any

from pydantic import AnyHttpUrl, AwareDatetime, Field, field_validator

from contracts.base import Contract
from contracts.purposes import Purpose

Name = Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*$")

LONGEST_URL = 2000
SMALLEST_CAP_USD = 0.000001
LARGEST_CAP_USD = 1_000_000_000.0


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
    """When nobody needs its result any more: what has not started by then never does, and what runs is stopped."""
    max_cost_usd: float | None = None
    """What it may spend at most; at the cap what has not started is parked."""
    callback_url: AnyHttpUrl | None = None

    @field_validator("max_cost_usd")
    @classmethod
    def _can_be_spent(cls, usd: float | None) -> float | None:
        if usd is not None and not SMALLEST_CAP_USD <= usd <= LARGEST_CAP_USD:
            raise ValueError(
                f"a job's cap lies between {SMALLEST_CAP_USD:.6f} and {LARGEST_CAP_USD:,.0f} dollars, "
                f"and this is {usd:g}; leave it out for a job without one"
            )
        return usd

    @field_validator("callback_url")
    @classmethod
    def _not_too_long(cls, url: AnyHttpUrl | None) -> AnyHttpUrl | None:
        if url is not None and len(str(url)) > LONGEST_URL:
            raise ValueError(
                f"a callback_url has at most {LONGEST_URL} characters, and this has {len(str(url))}"
            )
        return url
