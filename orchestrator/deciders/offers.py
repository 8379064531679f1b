"""Offers: ready subtasks as fairness sees them, in lines of those that differ in nothing but their place."""

from collections.abc import Iterable
from heapq import heapify, heappop
from typing import NamedTuple

from contracts.purposes import Purpose
from orchestrator.deciders.shares import URGENT, URGENT_WORK, WorkClass, lane_class, purpose_class

COST_WITHOUT_MODEL = 1
"""Tokens that work without a model is taken to cost, so that lanes of tools are shared by count."""


class Flow(NamedTuple):
    """The key of a queue of ready work."""

    purpose: Purpose
    lane: str
    tenant: str


class Offer(NamedTuple):
    """One ready subtask."""

    subtask: str
    flow: Flow
    pool: str
    """What it contends for: the budget it draws on, or for work without one the workers of its lane."""
    priority: int
    place: float
    """When it first became ready, in seconds; the earlier comes first."""
    cost_tokens: float
    """The estimate; counted as at least `COST_WITHOUT_MODEL`."""


class Line:
    """The offers of one flow in one pool: by priority, then by place."""

    def __init__(self, offers: Iterable[Offer]) -> None:
        self._waiting = [(-offer.priority, offer.place, offer.subtask, offer) for offer in offers]
        heapify(self._waiting)
        self.tenant = self.offer.flow.tenant
        self._show()

    @property
    def offer(self) -> Offer:
        """The one that is next in this line."""
        return self._waiting[0][-1]

    def advance(self) -> bool:
        """Takes the first away; False where none is left, and the line is of no more use."""
        heappop(self._waiting)
        if self._waiting:
            self._show()
        return bool(self._waiting)

    def _show(self) -> None:
        self.urgency = self._waiting[0][0]
        """The lower, the sooner."""
        self.rank = self._waiting[0][:3]
        """By priority, then by place; the least comes first. Never equal in two lines."""
        self.classes = classes_of(self.offer)


class Waiting:
    """The lines that wait together, and which of them belong to each class of work."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.by_class: dict[WorkClass, list[Line]] = {}
        for line in lines:
            for work_class in line.classes:
                self.by_class.setdefault(work_class, []).append(line)

    def without_first_of(self, line: Line) -> "Waiting":
        """What waits after the next of a line was taken."""
        before = line.classes
        if not line.advance():
            return Waiting([other for other in self.lines if other is not line])
        return self if line.classes == before else Waiting(self.lines)

    def of_tenant(self, tenant: str) -> "Waiting":
        """The part of one tenant."""
        return Waiting([line for line in self.lines if line.tenant == tenant])

    def claiming(self, floors: Iterable[WorkClass]) -> list[WorkClass]:
        """The classes that have a claim on the next grant: those that wait beside others. Urgent work has one
        also while it is away, since it is to be served at once when it comes."""
        return [
            work_class
            for work_class in floors
            if 0 < len(self.by_class.get(work_class, ())) < len(self.lines)
            or (work_class == URGENT_WORK and work_class not in self.by_class)
        ]


def classes_of(offer: Offer) -> tuple[WorkClass, ...]:
    """Every class of work that the offer's grant counts for."""
    own = purpose_class(offer.flow.purpose), lane_class(offer.flow.lane)
    return (*own, URGENT_WORK) if offer.priority >= URGENT else own
