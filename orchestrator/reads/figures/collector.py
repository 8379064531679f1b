"""The collector: reads all of the ledger's figures when Prometheus asks."""

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from contracts.catalog import Catalog
from orchestrator.ledger.engine import Ledger
from orchestrator.reads.figures import standing, waiting, work


class LedgerFigures(Collector):
    """All figures that have a source in the ledger; raises LedgerUnreachable while it is collected."""

    def __init__(self, ledger: Ledger, catalog: Catalog) -> None:
        self._ledger = ledger
        self._catalog = catalog

    def collect(self) -> Iterator[Metric]:
        with self._ledger.read() as connection:
            found = [
                *work.ended_work(connection),
                *work.attempts(connection),
                *waiting.waits(connection),
                *standing.lanes(connection, self._catalog),
                *standing.people(connection),
                *standing.pace(connection),
                *standing.leader(connection),
                *standing.autonomy_tax(connection),
            ]
        yield from found
