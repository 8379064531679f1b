"""The HTTP client under all SDKs, and what its errors mean for us."""

import httpx2

from contracts.failures import Code, Failure
from contracts.limits import ResponseKind, VendorSignal
from workers.vendors.port import Billing, VendorFailure

CONNECT_SECONDS = 5.0

SILENT = VendorSignal(kind=ResponseKind.SILENT)

_BEFORE_SENDING = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
    httpx2.InvalidURL,
)


def http_client(*, through_proxies: bool) -> httpx2.Client:
    """A pool of connections. Redirects are not followed: a request must not be sent twice."""
    return httpx2.Client(
        timeout=timeout(60.0),
        follow_redirects=False,
        trust_env=through_proxies,
        limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100),
        event_hooks={"request": [_cap_connect]},
    )


def timeout(seconds: float) -> httpx2.Timeout:
    return httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


def broken(vendor: str, error: BaseException) -> VendorFailure:
    """The failure behind an exchange without an HTTP answer. An SDK's class does not tell whether the request
    had left (a reset after sending is a "connection error" too), so the transport's own error is asked."""
    cause = _transport_error(error)
    evidence = {"error": type(cause or error).__name__}
    if isinstance(cause, _BEFORE_SENDING):
        failure = Failure(
            code=Code.NOT_SENT, sentence=f"the request did not reach {vendor}", evidence=evidence
        )
        return VendorFailure(failure, Billing.NOT_SENT, SILENT)
    if isinstance(cause, httpx2.TimeoutException):
        failure = Failure(
            code=Code.TIMEOUT, sentence=f"{vendor} did not answer within the timeout", evidence=evidence
        )
        return VendorFailure(failure, Billing.AMBIGUOUS, SILENT)
    failure = Failure(
        code=Code.VENDOR_ERROR, sentence=f"the connection to {vendor} broke off", evidence=evidence
    )
    return VendorFailure(failure, Billing.AMBIGUOUS, SILENT)


def _cap_connect(request: httpx2.Request) -> None:
    # One SDK takes a single timeout for everything, and connecting must not wait as long as reading.
    limits = request.extensions.get("timeout") or {}
    connect = limits.get("connect")
    capped = CONNECT_SECONDS if connect is None else min(connect, CONNECT_SECONDS)
    request.extensions["timeout"] = {**limits, "connect": capped}


def _transport_error(error: BaseException) -> BaseException | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (httpx2.HTTPError, httpx2.InvalidURL)):
            return seen
        seen = seen.__cause__
    return None
