"""What an error status means: the order of the taxonomy, the same for all vendors. Messages are never read,
their wording changes; each adapter passes what its vendor's own error codes mean."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from contracts.failures import Code, Failure
from workers.vendors.port import Billing, VendorFailure

CLEAR_SHARE = 0.1
"""A limit of which less than this share remains may be the one that was hit: vendors round what remains."""


@dataclass(frozen=True)
class Refusal:
    """One HTTP answer with an error status."""

    vendor: str
    status: int
    headers: Mapping[str, str]
    """With lower-case names."""
    body: bytes
    wanted_tokens: int = 0
    """What the request may be charged; a rest that is smaller is no headroom."""
    meaning: Code | None = None
    """What the vendor's own error code says, where the adapter knows it."""
    retry_after_seconds: float | None = None
    """A delay named in the body."""
    vendor_request_id: str | None = None
    evidence: dict[str, str] = field(default_factory=dict)

    @property
    def spoken(self) -> bool:
        """Whether the body is JSON, as the vendor itself speaks, and no gateway's page."""
        try:
            json.loads(self.body)
        except ValueError:
            return False
        return True


def refused(refusal: Refusal, now: datetime) -> VendorFailure:
    """The typed failure of an error status; `now` turns a date in ``retry-after`` into a delay."""
    failure = Failure(
        code=code_of(refusal),
        sentence=_sentence(refusal),
        retry_after_seconds=refusal.retry_after_seconds or retry_after_seconds(refusal.headers, now),
        evidence={"status": str(refusal.status), **{k: v[:200] for k, v in refusal.evidence.items()}},
    )
    # A gateway cannot know whether the model behind it went on and was billed.
    gateway = refusal.status >= 500 and not refusal.spoken
    return VendorFailure(
        failure,
        Billing.AMBIGUOUS if gateway else Billing.NOT_BILLED,
        vendor_request_id=refusal.vendor_request_id,
        body=refusal.body,
    )


def code_of(refusal: Refusal) -> Code:
    """First what the vendor's code says, then the status."""
    if refusal.meaning is not None:
        return refusal.meaning
    match refusal.status:
        case 401 | 402 | 403:
            return Code.UNAUTHORISED
        case 413:
            return Code.TOO_LARGE
        case 503 | 529:
            return Code.OVERLOADED
        case 429:
            return (
                Code.OVERLOADED if has_headroom(refusal.headers, refusal.wanted_tokens) else Code.RATE_LIMITED
            )
        case 408 | 409:
            return Code.VENDOR_ERROR
        case status if status >= 500 or not refusal.spoken:
            return Code.VENDOR_ERROR
    return Code.BAD_REQUEST


def has_headroom(headers: Mapping[str, str], wanted_tokens: int) -> bool:
    """Whether all limits that the answer names clearly have something left, so that none of them was hit."""
    remaining = {name: _number(value) for name, value in headers.items() if _names_rest(name)}
    return bool(remaining) and all(
        _is_clear(
            left,
            limit=_number(headers.get(name.replace("remaining", "limit"))) or 0,
            wanted=wanted_tokens if "tokens" in name else 1,
        )
        for name, left in remaining.items()
    )


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """The delay asked for by ``retry-after-ms`` or ``retry-after`` (seconds or a date), or None."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    told = headers.get("retry-after")
    seconds = _number(told)
    return seconds if seconds is not None or told is None else _until(told, now)


def _until(date: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _names_rest(header: str) -> bool:
    return "ratelimit" in header and "remaining" in header


def _is_clear(left: float | None, *, limit: float, wanted: int) -> bool:
    return left is not None and left >= max(1, wanted, CLEAR_SHARE * limit)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _sentence(refusal: Refusal) -> str:
    said = refusal.evidence.get("code") or refusal.evidence.get("type")
    if said:
        return f"{refusal.vendor} answered {refusal.status} ({said[:200]})"
    speaker = "" if refusal.spoken else ", and not in its own words"
    return f"{refusal.vendor} answered {refusal.status}{speaker}"
