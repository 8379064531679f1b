"""Figures of waiting: how long what has ended had waited, by lane and cause.

A wait counts where there was one: an attempt that met no backoff is no wait of zero seconds.
"""

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import Connection, Table, case, func, select

from orchestrator.ledger.tables import attempt, subtask
from orchestrator.reads.figures.names import NOBODY, Figure
from orchestrator.reads.waits import CAUSES_OF_ATTEMPTS, CAUSES_OF_SUBTASKS

BUCKETS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)


def waits(connection: Connection) -> Iterator[Metric]:
    """The histogram over all attempts and subtasks that ended."""
    family = HistogramMetricFamily(
        Figure.WAIT_SECONDS, "How long ended work had waited.", labels=["lane", "cause"]
    )
    for table, causes in ((attempt, CAUSES_OF_ATTEMPTS), (subtask, CAUSES_OF_SUBTASKS)):
        rows = connection.execute(_counted(table, causes)).all()
        for row in rows:
            for cause in causes:
                _add(family, row._mapping, cause)
    yield family


def _counted(table: Table, causes: tuple[str, ...]) -> Any:
    """One pass over the table: for each lane and cause the waits within each bucket, their number and sum."""
    columns = [
        column.label(f"{cause}_{name}")
        for cause in causes
        for name, column in _columns(table.c[f"{cause}_seconds"])
    ]
    return select(table.c.lane, *columns).where(table.c.ended_at.is_not(None)).group_by(table.c.lane)


def _columns(seconds: Any) -> Iterator[tuple[str, Any]]:
    for index, bound in enumerate(BUCKETS_SECONDS):
        yield str(index), func.count(case(((seconds > 0) & (seconds <= bound), 1)))
    yield "count", func.count(case((seconds > 0, 1)))
    yield "sum", func.coalesce(func.sum(case((seconds > 0, seconds))), 0)


def _add(family: HistogramMetricFamily, row: Any, cause: str) -> None:
    count = int(row[f"{cause}_count"])
    if not count:
        return
    buckets = [(str(bound), int(row[f"{cause}_{index}"])) for index, bound in enumerate(BUCKETS_SECONDS)]
    family.add_metric(
        [row["lane"] or NOBODY, cause], [*buckets, ("+Inf", count)], sum_value=float(row[f"{cause}_sum"])
    )
