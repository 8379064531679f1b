"""The two memories of fairness: whose turn it is, and what was granted lately."""

from collections.abc import Collection, Container, Iterable

from orchestrator.deciders.shares import WorkClass

HALF_LIFE_SECONDS = 60.0
"""After so long a grant counts half of what it did."""
REMEMBERED = 1000
"""So many who left are remembered at least, for the order among those who come back together."""

Tag = tuple[float, float]
"""When, in virtual time, the next service of a member starts; and, among equals, when its last one ended."""


class FairQueue:
    """Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) over named members.

    Who is served moves on by cost over weight, and who stands furthest back comes next. Virtual time is where
    the furthest back of those who can be served stands. Who comes, or comes back, starts there, so that
    nobody saves up turns by being away.
    """

    def __init__(self) -> None:
        self._at = 0.0
        self._tags: dict[str, Tag] = {}
        self._waiting: frozenset[str] = frozenset()

    def join(self, waiting: Collection[str]) -> None:
        """Tells who waits; who did not before starts at the current virtual time, or where it stood ahead."""
        for name in waiting:
            if name not in self._waiting:
                start, ended = self._tags.get(name, (0.0, 0.0))
                self._tags[name] = max(start, self._at), ended
        self._waiting = frozenset(waiting)
        if len(self._tags) > len(waiting) + REMEMBERED:
            self._tags = {
                name: tag for name, tag in self._tags.items() if name in self._waiting or tag[0] > self._at
            }

    def advance(self, eligible: Collection[str]) -> None:
        """Moves virtual time on to the furthest back of the members that can be served."""
        self._at = max(self._at, min(map(self._tags.__getitem__, eligible))[0])

    def furthest_back(self, eligible: Collection[str]) -> set[str]:
        """The members whose turn it is: one, or several that stand equal."""
        least = min(map(self._tags.__getitem__, eligible))
        return {name for name in eligible if self._tags[name] == least}

    def charge(self, name: str, cost: float) -> None:
        """Moves a member on by cost over weight, or back where less was used than charged."""
        start, _ = self._tags.get(name, (self._at, 0.0))
        self._tags[name] = start + cost, start + cost


class Recent:
    """How much of what was lately granted went to each class of work, in tokens, halved every
    `HALF_LIFE_SECONDS`. Each class is measured by those grants alone that it had a claim on, so that a class
    owes nothing for what nobody else wanted, and is owed nothing for what it did not want."""

    def __init__(self) -> None:
        self._at = 0.0
        self._sums: dict[WorkClass, tuple[float, float]] = {}

    def add(
        self, claiming: Iterable[WorkClass], served: Container[WorkClass], tokens: float, at: float
    ) -> None:
        """Counts a grant at its moment, also a correction of it: who had a claim, and whom it served."""
        if at > self._at:
            faded = _faded(at - self._at)
            self._sums = {key: (own * faded, whole * faded) for key, (own, whole) in self._sums.items()}
            self._at = at
        counted = tokens * _faded(self._at - at)
        for key in claiming:
            own, whole = self._sums.get(key, (0.0, 0.0))
            gained = counted if key in served else 0.0
            self._sums[key] = max(own + gained, 0.0), max(whole + counted, 0.0)

    def share(self, work_class: WorkClass) -> float:
        """The part that went to a class, 0 to 1; 0 where it claimed nothing."""
        own, whole = self._sums.get(work_class, (0.0, 0.0))
        return own / whole if whole > 0 else 0.0


def _faded(seconds: float) -> float:
    return float(0.5 ** (seconds / HALF_LIFE_SECONDS))
