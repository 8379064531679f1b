"""The collector: reads all of the ledger's figures when Prometheus asks."""

import threading
import time
from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection

from contracts.catalog import Catalog
from orchestrator.ledger.engine import Ledger
from orchestrator.reads.figures import standing, waiting, work

REST_FACTOR = 20.0
"""Counting over all that was ever done grows with the ledger, so it rests for so many times as long as it
took: it never takes more than a twentieth of one connection's time, however often it is asked."""


class LedgerFigures(Collector):
    """All figures that have a source in the ledger; raises LedgerUnreachable while it is collected. What stands
    now is read at every scrape, what was counted may be as old as the rest.

    `tells_leader` is for processes that are no orchestrator: those tell themselves whether they lead, and a
    figure stands in an answer once."""

    def __init__(
        self,
        ledger: Ledger,
        catalog: Catalog,
        monotonic: Callable[[], float] = time.monotonic,
        tells_leader: bool = False,
    ) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self._monotonic = monotonic
        self._tells_leader = tells_leader
        self._lock = threading.Lock()
        self._counted: list[Metric] = []
        self._rests_until = float("-inf")

    def collect(self) -> Iterator[Metric]:
        with self._ledger.read() as connection:
            found = [*self._counters(connection), *self._standing(connection)]
        yield from found

    def _counters(self, connection: Connection) -> list[Metric]:
        """Counted anew, or as they were counted last while that rests."""
        with self._lock:
            began = self._monotonic()
            if began >= self._rests_until:
                self._counted = [
                    *work.ended_work(connection),
                    *work.attempts(connection),
                    *waiting.waits(connection),
                ]
                ended = self._monotonic()
                self._rests_until = ended + REST_FACTOR * (ended - began)
            return self._counted

    def _standing(self, connection: Connection) -> Iterator[Metric]:
        yield from standing.lanes(connection, self._catalog)
        yield from standing.people(connection)
        yield from standing.promises(connection)
        yield from standing.pace(connection)
        yield from standing.workers(connection)
        if self._tells_leader:
            yield from standing.leader(connection)
        yield from standing.autonomy_tax(connection)
