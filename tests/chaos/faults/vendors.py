"""Faults of the vendors, which the simulator plays; its own ledger tells which calls they met."""

from collections.abc import Callable
from functools import partial

from tests.chaos.faults.registry import FAULTS, Fault, fault
from tests.chaos.stacks import LEASE_SECONDS, Stack, eventually

VENDOR_AWAY_SECONDS = 20.0
"""Longer than a subtask's tries would last."""
VENDOR_TIMES = 3
SLOW_SECONDS = 1.5 * LEASE_SECONDS
"""Of an answer that drips or does not come: longer than a lease."""
CALL_SECONDS = 20.0
"""Within so long somebody calls a vendor."""

VENDOR_FAULTS = {
    "rate_limited": "429 with a Retry-After",
    "rate_limited_bare": "429 that does not say when to come again",
    "spend_limit": "the account's money has run out, until somebody opens it again",
    "overload": "529",
    "server_error": "500",
    "html_502": "502 with a page of HTML",
    "reset": "the connection is reset after the work was done",
    "torn": "the connection is reset in the middle of an answer",
    "timeout": f"nothing comes for {SLOW_SECONDS:g} s after the work was done, and then the connection is reset",
    "drip": f"an answer that takes {SLOW_SECONDS:g} s from its first byte to its last",
    "cut": "an answer that is cut short",
    "not_json": "an answer that is no JSON",
    "wrong_schema": "an answer of another shape",
    "wrong_usage": "an answer that names ten times the tokens that it took",
    "empty": "an empty answer",
    "refusal": "the model refuses",
    "huge": "an answer of ten megabytes",
    "repeated_id": "an answer and a request under the ids of others",
    "injection": "an answer whose texts give orders to whoever reads them",
}
FIRST_ANSWERS = frozenset({"not_json", "wrong_schema"})
"""Faults that leave repairs alone. The others may break these too, so that their steps end unrepaired."""
REPAIRED_TIMES = 6
"""Of these, so that some repairs meet nothing else."""
NO_REPAIR = r"\A(?![\s\S]*# Tried before)"
"""A prompt that tells of no earlier answer."""


def _script(stack: Stack, kind: str) -> int:
    fault = {"kind": kind, "times": VENDOR_TIMES, "seconds": SLOW_SECONDS}
    first = {"times": REPAIRED_TIMES, "prompt": NO_REPAIR} if kind in FIRST_ANSWERS else {}
    stack.vendors.script(fault | first)
    return 0


def _seen(stack: Stack, kind: str) -> int:
    """How often the vendors' own ledger says that it happened, whichever fault asked for it."""
    return sum(
        row["injected_by"] == "script" and kind in (row["injected"] or "").split(",")
        for row in stack.vendors.ledger()
    )


for kind, says in VENDOR_FAULTS.items():
    FAULTS[f"vendor-{kind.replace('_', '-')}"] = Fault(
        f"vendor-{kind.replace('_', '-')}",
        says,
        partial(_script, kind=kind),
        bit_later=partial(_seen, kind=kind),
    )


@fault("vendor-unreachable")
def vendor_unreachable(stack: Stack) -> int:
    """Nobody listens at the vendors' address, until a call could not be sent."""
    return _until_not_sent(stack, stack.vendors_proxy.shut, "ConnectError")


@fault("vendor-silent", "Linux")
def vendor_silent(stack: Stack) -> int:
    """Whoever connects to the vendors waits for nothing, until a call gave up."""
    return _until_not_sent(stack, stack.vendors_proxy.fall_silent, "ConnectTimeout")


def _until_not_sent(stack: Stack, harm: Callable[[], None], error: str) -> int:
    """Answers how many calls could not be sent for this."""

    def not_sent() -> int:
        query = "SELECT count(*) AS number FROM attempt WHERE code = 'not_sent' AND CAST(report AS TEXT) LIKE :error"
        return int(stack.rows(query, error=f"%{error}%")[0].number)

    before = not_sent()
    try:
        harm()
        eventually(lambda: not_sent() > before, CALL_SECONDS)
    finally:
        stack.vendors_proxy.listen_again()
    return not_sent() - before


def _vendor_away(stack: Stack) -> int:
    stack.vendors.script(
        {"kind": "server_error", "vendor": "anthropic", "times": None, "until_seconds": VENDOR_AWAY_SECONDS}
    )
    return 0


def _taken_for_away(stack: Stack) -> int:
    """How often the fleet noticed it and let one call ask."""
    noticed = "SELECT count(*) AS number FROM event WHERE sentence LIKE '%calls in a row were not answered%'"
    return int(stack.rows(noticed)[0].number)


FAULTS["vendor-away"] = Fault(
    "vendor-away",
    f"one vendor answers nothing but 500 for {VENDOR_AWAY_SECONDS:.0f} seconds",
    _vendor_away,
    bit_later=_taken_for_away,
)
