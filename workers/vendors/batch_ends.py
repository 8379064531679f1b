"""How requests of a batch end without an answer, the same for all vendors. None of these is billed, but for one
that the vendor says nothing of."""

from contracts.failures import Code, Failure
from contracts.limits import ResponseKind, VendorSignal
from workers.vendors.port import Billing, VendorFailure

BATCH_SECONDS = 120.0
"""Longest silence of the socket: a batch is large, and so are its results."""
SIGNAL = VendorSignal(kind=ResponseKind.OK)
"""A batch says nothing of the limits of live calls."""


def expired(vendor: str) -> VendorFailure:
    """Its time was up before its turn came."""
    return _ended(Code.TIMEOUT, f"the batch of {vendor} expired before this request's turn", b"")


def cancelled(vendor: str) -> VendorFailure:
    return _ended(Code.INTERRUPTED, f"the batch of {vendor} was cancelled before this request's turn", b"")


def errored(vendor: str, code: Code, word: str, body: bytes) -> VendorFailure:
    """The vendor tried and could not; `word` is its own for why."""
    told = f" ({word[:200]})" if word else ""
    return _ended(code, f"{vendor} could not answer this request of a batch{told}", body)


def unread(vendor: str, body: bytes) -> VendorFailure:
    """There is a result, and nobody can read it; it may have been billed."""
    failure = Failure(code=Code.VENDOR_ERROR, sentence=f"{vendor} gave a result of a batch without an answer")
    return VendorFailure(failure, Billing.AMBIGUOUS, SIGNAL, body=body)


def missing(vendor: str) -> VendorFailure:
    """The batch has ended, and nothing is said of this request."""
    failure = Failure(code=Code.VENDOR_ERROR, sentence=f"the batch of {vendor} ended without this request")
    return VendorFailure(failure, Billing.AMBIGUOUS, SIGNAL)


def _ended(code: Code, sentence: str, body: bytes) -> VendorFailure:
    return VendorFailure(Failure(code=code, sentence=sentence), Billing.NOT_BILLED, SIGNAL, body=body)
