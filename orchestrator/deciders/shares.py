"""Shares: what part of a pool each kind of work keeps reserved, and what each tenant weighs in the rest."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import inf

from contracts.purposes import Purpose

URGENT = 3
"""The priority of an urgent job."""

WorkClass = tuple[str, str]
"""What a floor is kept for, as kind and name: a purpose, a lane, or urgent work of any purpose and lane."""
URGENT_WORK: WorkClass = ("priority", "urgent")

SHIPPED_FLOORS: Mapping[Purpose, float] = {
    # What the fleet exists for: it keeps half however much upkeep there is to do.
    Purpose.FEATURE: 0.5,
    # Enough that upkeep never stops. It borrows whatever the others leave.
    Purpose.MAINTENANCE: 0.1,
    # A review holds up work that is already paid for.
    Purpose.REVIEW: 0.1,
}
SHIPPED_URGENT_FLOOR = 0.2
"""Twice what urgent work usually is. A tenant that calls all its work urgent gains no more than this."""


@dataclass(frozen=True)
class Shares:
    """The floors, as fractions of a pool's tokens, and the weights of tenants, 1 where none is given."""

    purposes: Mapping[Purpose, float] = field(default_factory=lambda: SHIPPED_FLOORS)
    lanes: Mapping[str, float] = field(default_factory=dict)
    urgent: float = SHIPPED_URGENT_FLOOR
    weights: Mapping[str, float] = field(default_factory=dict)

    def weight(self, tenant: str) -> float:
        """What a tenant weighs against the others."""
        return self.weights.get(tenant, 1.0)

    def floors(self) -> dict[WorkClass, float]:
        """Every floor above zero."""
        every = {
            URGENT_WORK: self.urgent,
            **{purpose_class(purpose): floor for purpose, floor in self.purposes.items()},
            **{lane_class(lane): floor for lane, floor in self.lanes.items()},
        }
        return {work_class: floor for work_class, floor in every.items() if floor > 0}


@cache
def purpose_class(purpose: Purpose) -> WorkClass:
    """All work of a purpose."""
    return "purpose", purpose.value


@cache
def lane_class(lane: str) -> WorkClass:
    """All work of a lane."""
    return "lane", lane


def share_problems(shares: Shares) -> Iterator[str]:
    """One sentence for each reason why these shares cannot be kept."""
    yield from _floor_problems("purposes", {key.value: floor for key, floor in shares.purposes.items()})
    yield from _floor_problems("lanes", shares.lanes)
    yield from _floor_problems("priorities", {"urgent": shares.urgent})
    for tenant, weight in shares.weights.items():
        if not 0 < weight < inf:
            yield f"the weight of tenant {tenant} is {weight:g}; a weight is a number above 0"


def _floor_problems(kind: str, floors: Mapping[str, float]) -> Iterator[str]:
    wrong = {name: floor for name, floor in floors.items() if not 0 <= floor <= 1}
    for name, floor in wrong.items():
        yield f"the floor of {name} is {floor:g}; a floor is a fraction from 0 to 1"
    # A tenth has no exact float, so ten of them may come out a hair above one.
    if not wrong and sum(floors.values()) > 1 + 1e-9:
        named = " + ".join(f"{name} {floor:g}" for name, floor in floors.items())
        yield f"the floors of {kind} add up to {sum(floors.values()):g} ({named}); together they are at most 1"
