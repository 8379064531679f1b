"""What a fault is, and which of them can be done to a fleet."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.stacks import Stack


@dataclass(frozen=True)
class Fault:
    """One way in which things go wrong."""

    name: str
    says: str
    bite: Callable[[Stack], int]
    """Harms the fleet, and answers how often that hit anything, by what a witness saw of it."""
    needs: str | None = None
    """`postgresql`, `sqlite` or `broker`: of which the run must have one of its own; a clock and a full disk need
    more, and others only Linux."""
    bit_later: Callable[[Stack], int] | None = None
    """Counts afterwards, where only a witness knows."""


FAULTS: dict[str, Fault] = {}
BY_NAME_ONLY = frozenset({"broker-away-60"})


def fault(name: str, needs: str | None = None) -> Callable[[Callable[[Stack], int]], Callable[[Stack], int]]:
    """Registers a function by its name; the first sentence about it is what the fault says."""

    def known(bite: Callable[[Stack], int]) -> Callable[[Stack], int]:
        said = " ".join((bite.__doc__ or "").split())
        FAULTS[name] = Fault(name, said.split(". ")[0].rstrip("."), bite, needs)
        return bite

    return known


def faults_for(stack: Stack) -> list[Fault]:
    """Those that can be done to it."""
    return [each for each in FAULTS.values() if _has(stack, each.needs)]


def left_out(stack: Stack) -> list[Fault]:
    """Those that cannot."""
    return [each for each in FAULTS.values() if not _has(stack, each.needs)]


def _can_skew(stack: Stack) -> bool:
    # SQLite has no clock but that of the process that asks: there the fault would be in the ledger.
    return stack.postgres is not None and sys.platform == "linux" and shutil.which("cc") is not None


def _has(stack: Stack, needed: str | None) -> bool:
    has = {
        "postgresql": stack.postgres is not None,
        "sqlite": stack.postgres is None,
        "broker": stack.broker is not None,
        "Linux": sys.platform == "linux",
        "PostgreSQL and cc": _can_skew(stack),
        "PostgreSQL and mount": stack.postgres is not None and stack.postgres.disk is not None,
        None: True,
    }
    return has[needed]
