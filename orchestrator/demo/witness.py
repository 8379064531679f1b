"""The witness: the simulator's own count of calls and tokens beside the ledger's."""

from dataclasses import dataclass

import httpx2
from sqlalchemy import Connection, func, select

from orchestrator.ledger.tables import attempt


@dataclass(frozen=True)
class Count:
    """What one vendor was asked, as one side counted it."""

    calls: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Testimony:
    """Both counts of one vendor."""

    vendor: str
    ledger: Count
    simulator: Count

    @property
    def agrees(self) -> bool:
        return self.ledger == self.simulator


NOTHING = Count(0, 0, 0)
NAMES = {"gemini": "google"}
"""The simulator names its rows by protocol; where a vendor is called otherwise, this says how."""


def testimonies(connection: Connection, since: float, simulator_url: str) -> list[Testimony]:
    """By vendor: attempts of the ledger that sent a request after `since`, and what the simulator was asked."""
    ours, theirs = _ledger(connection, since), _simulator(simulator_url)
    return [
        Testimony(vendor, ours.get(vendor, NOTHING), theirs.get(vendor, NOTHING))
        for vendor in sorted(ours.keys() | theirs.keys())
    ]


def _ledger(connection: Connection, since: float) -> dict[str, Count]:
    rows = connection.execute(
        select(
            attempt.c.vendor,
            func.count(),
            func.sum(attempt.c.input_tokens),
            func.sum(attempt.c.output_tokens),
        )
        .where(attempt.c.sent.is_(True), attempt.c.granted_at >= since)
        .group_by(attempt.c.vendor)
    )
    return {vendor: Count(int(calls), int(given), int(made)) for vendor, calls, given, made in rows}


def _simulator(url: str) -> dict[str, Count]:
    totals = httpx2.get(f"{url}/__admin/totals", timeout=10).raise_for_status().json()
    return {
        NAMES.get(name, name): Count(total["calls"], total["input_tokens"], total["output_tokens"])
        for name, total in totals.items()
    }
