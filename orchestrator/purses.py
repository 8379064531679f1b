"""Purses: budget rows as the deciders see them. The rows outlive the catalog that seeded them, and outrank it."""

from typing import Any

from sqlalchemy import Connection, select, update

from contracts.catalog import Catalog
from contracts.vendors import Limits, Vendor
from orchestrator.deciders.pacing import Levels, Purse, Rates, capacity, refill
from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.tables import budget

COLUMNS = ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute", "concurrency")


def seed(connection: Connection, catalog: Catalog, at: float) -> None:
    """Writes a full budget for every group of the catalog that has none yet. Orchestrators that start together
    all try; whoever is first stands."""
    groups = [
        (vendor, name, group.limits)
        for vendor in catalog.vendors.values()
        for name, group in vendor.groups.items()
    ]
    insert_missing(connection, budget, [_full(vendor, name, limits, at) for vendor, name, limits in groups])


def _full(vendor: Vendor, group: str, limits: Limits, at: float) -> dict[str, Any]:
    """The row of a budget of which nothing is used."""
    full = capacity(rates_of(limits))
    return {
        "key": f"{vendor.vendor}/{vendor.account}/{group}",
        "vendor": vendor.vendor,
        "account": vendor.account,
        "group": group,
        **{column: getattr(limits, column) for column in COLUMNS},
        "requests_level": full.requests,
        "input_level": full.input_tokens,
        "output_level": full.output_tokens,
        "refilled_at": at,
    }


def rates_of(row: Any) -> Rates:
    """The rates in a budget row or in the catalog's limits, which name them alike."""
    return Rates(
        row.requests_per_minute, row.input_tokens_per_minute, row.output_tokens_per_minute, row.concurrency
    )


def purse_of(row: Any, in_flight: int, at: float) -> Purse:
    """The budget as it stands at this moment, refilled."""
    levels = Levels(row.requests_level, row.input_level, row.output_level)
    return Purse(
        key=row.key,
        rates=rates_of(row),
        levels=refill(levels, rates_of(row), at - row.refilled_at),
        in_flight=in_flight,
        closed_seconds=max((row.closed_until or 0) - at, 0.0),
        closed_why=row.closed_why,
    )


def read_purses(connection: Connection, at: float, in_flight: dict[str, int]) -> dict[str, Purse]:
    """All budgets as they stand now, locked until the transaction ends."""
    rows = connection.execute(select(budget).order_by(budget.c.key).with_for_update())
    return {row.key: purse_of(row, in_flight.get(row.key, 0), at) for row in rows}


def write_levels(connection: Connection, key: str, levels: Levels, at: float) -> None:
    """Keeps the levels as of now."""
    connection.execute(
        update(budget)
        .where(budget.c.key == key)
        .values(
            requests_level=levels.requests,
            input_level=levels.input_tokens,
            output_level=levels.output_tokens,
            refilled_at=at,
        )
    )


def close(connection: Connection, key: str, until: float, why: str) -> None:
    """Closes a budget until a moment; a later moment already set stands."""
    connection.execute(
        update(budget)
        .where(budget.c.key == key, (budget.c.closed_until.is_(None)) | (budget.c.closed_until < until))
        .values(closed_until=until, closed_why=why)
    )
