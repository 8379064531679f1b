"""Calibrations: what was learned of each lane with each model, read before work is granted and kept after."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, select, tuple_, update

from orchestrator.deciders.estimating import UNKNOWN, Calibration
from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.tables import calibration

Known = dict[tuple[str, str], Calibration]
"""By model and lane."""

_KEEP = (
    update(calibration)
    .where(calibration.c.model == bindparam("_model"), calibration.c.lane == bindparam("_lane"))
    .values(
        samples=bindparam("_samples"),
        input_factor=bindparam("_input_factor"),
        charged_factor=bindparam("_charged_factor"),
        output_mean=bindparam("_output_mean"),
        recent_outputs=bindparam("_recent_outputs"),
    )
)


def read(connection: Connection, wanted: Iterable[tuple[str, str]]) -> Known:
    """What is known of these models and lanes; of those never tried, nothing."""
    keys = set(wanted)
    known: Known = dict.fromkeys(keys, UNKNOWN)
    if keys:
        query = select(calibration).where(tuple_(calibration.c.model, calibration.c.lane).in_(keys))
        for row in connection.execute(query):
            known[row.model, row.lane] = Calibration(
                row.samples,
                row.input_factor,
                row.charged_factor,
                row.output_mean,
                tuple(row.recent_outputs),
            )
    return known


def keep(connection: Connection, known: Known) -> None:
    """Keeps what was learned."""
    rows = [
        {
            "model": model,
            "lane": lane,
            "samples": learned.samples,
            "input_factor": learned.input_factor,
            "charged_factor": learned.charged_factor,
            "output_mean": learned.output_mean,
            "recent_outputs": list(learned.recent_outputs),
        }
        for (model, lane), learned in known.items()
    ]
    if rows:
        insert_missing(connection, calibration, rows)
        connection.execute(_KEEP, [_bound(row) for row in rows])


def _bound(row: dict[str, Any]) -> dict[str, Any]:
    return {f"_{column}": value for column, value in row.items()}
