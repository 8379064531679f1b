"""What an error status means: the order of the taxonomy, the same for all vendors. Messages are never read,
their wording changes; each adapter passes what its vendor's own error codes mean."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from contracts.failures import Code, Failure
from contracts.limits import Dimension, ResponseKind, Standing, VendorSignal
from workers.vendors.headers import retry_after_seconds
from workers.vendors.port import Billing, VendorFailure

CLEAR_SHARE = 0.1
"""A limit of which less than this share remains may be the one that was hit: vendors round what remains."""

KINDS = {
    Code.RATE_LIMITED: ResponseKind.RATE_LIMITED,
    Code.DAY_LIMIT: ResponseKind.DAY_LIMITED,
    Code.OVERLOADED: ResponseKind.OVERLOADED,
    Code.SPEND_LIMIT: ResponseKind.SPEND_LIMITED,
    Code.UNAUTHORISED: ResponseKind.UNAUTHORISED,
}
"""What a failure's code says of the account; any other code says nothing of it and is an error."""


@dataclass(frozen=True)
class Refusal:
    """One HTTP answer with an error status."""

    vendor: str
    status: int
    headers: Mapping[str, str]
    """With lower-case names."""
    body: bytes
    standings: tuple[Standing, ...] = ()
    needs: Mapping[Dimension, int] = field(default_factory=dict)
    """What the request may use; a rest that is smaller is no headroom."""
    meaning: Code | None = None
    """What the vendor's own error code says, where the adapter knows it."""
    hit: Dimension | None = None
    """What ran out, if it is a limit of the account that ran out."""
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
    code = code_of(refusal)
    delay_seconds = refusal.retry_after_seconds or retry_after_seconds(refusal.headers, now)
    failure = Failure(
        code=code,
        sentence=_sentence(refusal),
        retry_after_seconds=delay_seconds,
        evidence={"status": str(refusal.status), **{k: v[:200] for k, v in refusal.evidence.items()}},
    )
    signal = VendorSignal(
        kind=kind_of(code),
        standings=refusal.standings,
        hit=refusal.hit if code in (Code.RATE_LIMITED, Code.DAY_LIMIT) else None,
        retry_after_seconds=delay_seconds,
    )
    # A gateway cannot know whether the model behind it went on and was billed.
    gateway = refusal.status >= 500 and not refusal.spoken
    return VendorFailure(
        failure,
        Billing.AMBIGUOUS if gateway else Billing.NOT_BILLED,
        signal,
        vendor_request_id=refusal.vendor_request_id,
        body=refusal.body,
    )


def kind_of(code: Code) -> ResponseKind:
    """What an answer with this code says about its account."""
    return KINDS.get(code, ResponseKind.ERROR)


def code_of(refusal: Refusal) -> Code:
    """First what the vendor's code says, then the status."""
    if refusal.meaning is not None:
        return refusal.meaning
    match refusal.status:
        case 401 | 403:
            return Code.UNAUTHORISED
        case 402:
            return Code.SPEND_LIMIT
        case 413:
            return Code.TOO_LARGE
        case 503 | 529:
            return Code.OVERLOADED
        case 429:
            return Code.OVERLOADED if has_headroom(refusal.standings, refusal.needs) else Code.RATE_LIMITED
        case 408 | 409:
            return Code.VENDOR_ERROR
        case status if status >= 500 or not refusal.spoken:
            return Code.VENDOR_ERROR
    return Code.BAD_REQUEST


def has_headroom(standings: tuple[Standing, ...], needs: Mapping[Dimension, int]) -> bool:
    """Whether all limits that the answer names clearly have something left, so that none of them was hit."""
    return bool(standings) and all(_is_clear(standing, needs) for standing in standings)


def scarcest(standings: tuple[Standing, ...], needs: Mapping[Dimension, int]) -> Dimension | None:
    """The dimension whose rest is the smallest part of what the request may need, among those that may have
    run out."""
    shares = {
        standing.dimension: standing.remaining / max(1, needs.get(standing.dimension, 1))
        for standing in standings
        if standing.remaining is not None and not _is_clear(standing, needs)
    }
    return min(shares, key=shares.__getitem__, default=None)


def _is_clear(standing: Standing, needs: Mapping[Dimension, int]) -> bool:
    enough = max(1, needs.get(standing.dimension, 1), CLEAR_SHARE * (standing.limit or 0))
    return standing.remaining is not None and standing.remaining >= enough


def _sentence(refusal: Refusal) -> str:
    said = refusal.evidence.get("code") or refusal.evidence.get("type")
    if said:
        return f"{refusal.vendor} answered {refusal.status} ({said[:200]})"
    speaker = "" if refusal.spoken else ", and not in its own words"
    return f"{refusal.vendor} answered {refusal.status}{speaker}"
