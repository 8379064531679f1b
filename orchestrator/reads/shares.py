"""Shares: the floors and weights that hold at this moment."""

from sqlalchemy import Connection

from orchestrator import shares
from orchestrator.reads.base import Read


class FloorRead(Read):
    """A part of every pool that is kept for one kind of work."""

    kind: str
    """``purpose``, ``lane`` or ``priority``."""
    name: str
    fraction: float


class WeightRead(Read):
    """What a tenant weighs; those that are not named weigh 1."""

    tenant: str
    weight: float


class SharesRead(Read):
    """All of them, shipped or set."""

    floors: tuple[FloorRead, ...]
    weights: tuple[WeightRead, ...]


def shares_read(connection: Connection) -> SharesRead:
    """The floors above zero and the weights that are set, by name."""
    held = shares.read(connection)
    floors = sorted(held.floors().items())
    return SharesRead(
        floors=tuple(FloorRead(kind=kind, name=name, fraction=part) for (kind, name), part in floors),
        weights=tuple(WeightRead(tenant=name, weight=each) for name, each in sorted(held.weights.items())),
    )
