"""Funding: which account pays for an attempt, and how much of it is reserved."""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.deciders.charging import Reserved, reservation
from orchestrator.deciders.estimating import Calibration, expected_input, expected_output, promise
from orchestrator.deciders.pacing import Held, Purse, full, reserve


@dataclass(frozen=True)
class Wish:
    """What one subtask would like to have paid."""

    scope: str
    raw_input_tokens: int
    """Estimated from characters."""
    declared_output_tokens: int
    """The lane's own guess."""
    most_output_tokens: int
    """The lane's cap on an answer."""
    whole_promise: bool
    """Whether it must be given the whole cap, as a tighter one was not enough."""


@dataclass(frozen=True)
class Funded:
    """An account has paid: what is left of it, and what was reserved."""

    purse: Purse
    reserved: Reserved


def fund(wish: Wish, accounts: Iterable[Purse], known: Calibration) -> Funded | Held:
    """Pays from the account with the largest part left, or tells of the one that can pay soonest."""
    chosen: Funded | None = None
    soonest: Held | None = None
    for purse in accounts:
        reserved = _reserved(wish, purse, known)
        match reserve(purse, reservation(purse.charging, reserved)):
            case Held() as held:
                soonest = held if soonest is None or held.seconds < soonest.seconds else soonest
            case paid:
                if chosen is None or _left(paid) > _left(chosen.purse):
                    chosen = Funded(paid, reserved)
    return (
        chosen
        or soonest
        or Held(f"no budget {wish.scope} is known; work without a budget is refused", float("inf"))
    )


def _reserved(wish: Wish, purse: Purse, known: Calibration) -> Reserved:
    most = wish.most_output_tokens
    tight = purse.charging.promise_counts and not wish.whole_promise
    promised = promise(known, most) if tight else most
    # A promise is charged by the characters themselves, so no calibration applies where it counts.
    raw = wish.raw_input_tokens
    return Reserved(
        input_tokens=raw if purse.charging.promise_counts else expected_input(known, raw),
        output_tokens=expected_output(known, wish.declared_output_tokens, promised),
        promised_tokens=promised,
    )


def _left(purse: Purse) -> float:
    """The part that is left of the scarcest dimension."""
    return min((bucket.level / full(name, bucket) for name, bucket in purse.buckets.items()), default=1.0)
