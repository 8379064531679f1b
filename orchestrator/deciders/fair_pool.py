"""One pool: who comes next of those who contend for the same budget, or for the workers of the same lane."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from orchestrator.deciders.fair_queue import REMEMBERED, FairQueue, Recent
from orchestrator.deciders.offers import Line, Waiting
from orchestrator.deciders.shares import URGENT_WORK, WorkClass

FLOOR_MARGIN = 0.015
"""A floor is held over minutes and on estimates, which answers correct; so much above it, what was really used in
any single minute of long and short answers stays above it as well."""


class Bill(NamedTuple):
    """Where a grant is charged."""

    tenant: str
    classes: tuple[WorkClass, ...]
    queue: FairQueue
    claims: tuple[tuple[Recent, list[WorkClass]], ...]
    """Which classes had a claim on it, in the pool and in the tenant's own part."""

    def charge(self, tokens: float, weight: float, at: float) -> None:
        """Counts the tokens, or a correction of them."""
        self.queue.charge(self.tenant, tokens / weight)
        for recent, claiming in self.claims:
            recent.add(claiming, self.classes, tokens, at)


class FairPool:
    """What was granted of one pool, and whose turn it is: under each floor, and in the rest."""

    def __init__(self) -> None:
        self._recent = Recent()
        self._recent_by_tenant: dict[str, Recent] = defaultdict(Recent)
        self._rest = FairQueue()
        self._reserved: dict[WorkClass, FairQueue] = defaultdict(FairQueue)

    def join(self, waiting: Waiting, floors: Iterable[WorkClass]) -> None:
        """Tells what waits for this pool."""
        tenants = {line.tenant for line in waiting.lines}
        self._rest.join(tenants)
        for work_class in floors:
            self._reserved[work_class].join({line.tenant for line in waiting.by_class.get(work_class, ())})
        if len(self._recent_by_tenant) > len(tenants) + REMEMBERED:
            for gone in self._recent_by_tenant.keys() - tenants:
                del self._recent_by_tenant[gone]

    def choose(self, waiting: Waiting, floors: Mapping[WorkClass, float]) -> tuple[Line, Bill]:
        """The line whose first offer comes next, and where that is charged if it is granted."""
        claiming = waiting.claiming(floors)
        work_class = _furthest_below(self._recent, waiting, claiming, floors)
        if work_class:
            queue, lines = self._reserved[work_class], waiting.by_class[work_class]
            queue.advance({line.tenant for line in lines})
            most_urgent = min(line.urgency for line in lines)
            line = _first(_in_turn(queue, [line for line in lines if line.urgency == most_urgent]))
            own = waiting.of_tenant(line.tenant)
            own_claiming = own.claiming(floors)
        else:
            queue, lines = self._rest, waiting.lines
            queue.advance({line.tenant for line in lines})
            tenant = _first(_in_turn(queue, lines)).tenant
            own = waiting.of_tenant(tenant)
            own_claiming = own.claiming(floors)
            work_class = _furthest_below(self._recent_by_tenant[tenant], own, own_claiming, floors)
            line = _first(own.by_class[work_class] if work_class else own.lines)
        claims = (self._recent, claiming), (self._recent_by_tenant[line.tenant], own_claiming)
        return line, Bill(line.tenant, line.classes, queue, claims)


def _furthest_below(
    recent: Recent, waiting: Waiting, claiming: list[WorkClass], floors: Mapping[WorkClass, float]
) -> WorkClass | None:
    """Of the classes that wait below their floor: urgent work, or else the one that has least of its floor."""
    below = [
        (work_class != URGENT_WORK, share / floors[work_class], work_class)
        for work_class in claiming
        if work_class in waiting.by_class
        and (share := recent.share(work_class)) < floors[work_class] + FLOOR_MARGIN
    ]
    return min(below)[-1] if below else None


def _in_turn(queue: FairQueue, lines: list[Line]) -> list[Line]:
    """The lines of the tenant whose turn it is, or of all that stand equal."""
    tenants = queue.furthest_back({line.tenant for line in lines})
    return [line for line in lines if line.tenant in tenants]


def _first(lines: list[Line]) -> Line:
    return min(lines, key=lambda line: line.rank)
