"""Fairness: in which order ready subtasks are granted what they contend for.

Each pool is shared by itself. As long as a class of work had less than its floor of what was lately granted
in the pool, it comes first: urgent work before any other class, then the class furthest below its floor;
inside the class strictly by priority, then by tenants in turn. What no floor claims goes to the tenants in
turn; inside the turn of a tenant the same floors hold for its own work, then priority. Turns are measured in
tokens over weights. Nothing is kept back: what a class or a tenant does not ask for goes to the others, who
give it back by further grants alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from orchestrator.deciders.fair_pool import Bill, FairPool
from orchestrator.deciders.fair_queue import FairQueue
from orchestrator.deciders.offers import COST_WITHOUT_MODEL, Flow, Line, Offer, Waiting
from orchestrator.deciders.shares import Shares


class Fairness:
    """What was granted so far, as far as it bears on who comes next.

    It lives in the memory of whoever dispatches; begun again from nothing it is even within minutes. `shares`
    may be replaced at any time and holds from the next order on. Times are in seconds; a clock that jumps
    back stands still until it has caught up.
    """

    def __init__(self, shares: Shares) -> None:
        self.shares = shares
        self._memory = _Memory()

    def order(self, offers: Iterable[Offer], at: float) -> "Order":
        """The offers in fair order, each once; who comes next is decided only when it is asked for."""
        return Order(offers, self.shares, self._memory, at)

    def correct(self, subtask: str, used_tokens: float) -> None:
        """Corrects the charge of a subtask to what its attempt used: 0 where it never ran.

        It is owed once for every charge, when the attempt ends. A subtask without a charge is passed over.
        """
        charge = self._memory.charges.pop(subtask, None)
        if charge:
            charge.bill.charge(used_tokens - charge.tokens, charge.weight, charge.at)


class Order(Iterator[Offer]):
    """One walk over the offers. After each one say what became of it: it is charged; or its whole pool or
    lane is refused and drops out of this walk; or nothing is said, and it alone is passed over."""

    def __init__(self, offers: Iterable[Offer], shares: Shares, memory: "_Memory", at: float) -> None:
        self._shares = shares
        self._floors = shares.floors()
        self._memory = memory
        self._waiting = {pool: Waiting(lines) for pool, lines in _lines(offers).items()}
        self._last: tuple[Offer, Bill] | None = None
        memory.at = max(memory.at, at)
        memory.turns.join(self._waiting)
        for pool, waiting in self._waiting.items():
            memory.pools[pool].join(waiting, self._floors)

    def __next__(self) -> Offer:
        if not self._waiting:
            raise StopIteration
        turns = self._memory.turns
        turns.advance(self._waiting)
        pool = min(turns.furthest_back(self._waiting))
        line, bill = self._memory.pools[pool].choose(self._waiting[pool], self._floors)
        offer = line.offer
        self._keep(pool, self._waiting[pool].without_first_of(line))
        self._last = offer, bill
        return offer

    def charge(self) -> None:
        """Charges the offer that came last, as it was granted."""
        assert self._last, "nothing has come yet"
        offer, bill = self._last
        tokens = max(offer.cost_tokens, COST_WITHOUT_MODEL)
        charge = _Charge(bill, tokens, self._shares.weight(bill.tenant), self._memory.at)
        bill.charge(charge.tokens, charge.weight, charge.at)
        self._memory.turns.charge(offer.pool, 1)
        self._memory.charges[offer.subtask] = charge

    def drop_pool(self, pool: str) -> None:
        """Nothing more of this pool. What it could not pay for stays next, so that nothing smaller overtakes
        it again and again."""
        self._waiting.pop(pool, None)

    def drop_lane(self, lane: str) -> None:
        """Nothing more of this lane."""
        for pool, waiting in list(self._waiting.items()):
            self._keep(pool, Waiting([line for line in waiting.lines if line.offer.flow.lane != lane]))

    def _keep(self, pool: str, waiting: Waiting) -> None:
        if waiting.lines:
            self._waiting[pool] = waiting
        else:
            del self._waiting[pool]


class _Charge(NamedTuple):
    """What a granted attempt was charged, and when."""

    bill: Bill
    tokens: float
    weight: float
    at: float


class _Memory:
    """What outlasts an order. Pools take turns by count, for what they share: workers, and room in a batch."""

    def __init__(self, at: float = 0.0) -> None:
        self.at = at
        self.pools: dict[str, FairPool] = defaultdict(FairPool)
        self.turns = FairQueue()
        self.charges: dict[str, _Charge] = {}


def _lines(offers: Iterable[Offer]) -> dict[str, list[Line]]:
    """The lines by pool."""
    by_flow: dict[tuple[str, Flow], list[Offer]] = defaultdict(list)
    for offer in offers:
        by_flow[offer.pool, offer.flow].append(offer)
    lines: dict[str, list[Line]] = defaultdict(list)
    for (pool, _), those in by_flow.items():
        lines[pool].append(Line(those))
    return lines
