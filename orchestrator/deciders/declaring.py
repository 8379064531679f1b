"""Declaring: what a vendor's own list of limits makes of the limits that are declared here."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from contracts.account_limits import Allowed
from contracts.limits import Dimension
from orchestrator.deciders.learning import Learned, capped

Models = Mapping[str, Collection[str]]
"""The models of each group of ours."""


def said_of(groups: Models, allowed: Iterable[Allowed]) -> dict[str, dict[Dimension, float]]:
    """What the list says of each group of ours that it names. Where several of the vendor's own groups hold models
    of one of ours, the lowest limit counts: it is safe for any mix of them."""
    said: dict[str, dict[Dimension, float]] = defaultdict(dict)
    for each in allowed:
        for group in _named(groups, each):
            before = said[group].get(each.dimension, each.value)
            said[group][each.dimension] = min(before, each.value)
    return dict(said)


def sharing(groups: Models, allowed: Iterable[Allowed]) -> list[tuple[str, ...]]:
    """Groups of ours that draw on one limit of the vendor's, so that each is paced as if it had it alone."""
    return sorted({named for each in allowed if len(named := _named(groups, each)) > 1})


def _named(groups: Models, allowed: Allowed) -> tuple[str, ...]:
    return tuple(name for name in sorted(groups) if not set(allowed.models).isdisjoint(groups[name]))


def declared(dimension: Dimension, before: Learned, said: float, by_hand: bool) -> Learned:
    """The dimension after its vendor's list said its limit. A lower one holds at once, and what was learned above it
    is cut to it; a higher one is climbed to, as after a refusal. A limit that an operator has set `by_hand` is
    only ever lowered: what vendors allow is a maximum, and an operator may have reasons to stay below it."""
    limit = min(said, before.declared_limit) if by_hand else said
    after = replace(before, declared_limit=limit, limit=min(before.limit, limit))
    return capped(dimension, after)
