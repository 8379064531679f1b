"""What a vendor's headers say of its limits: the truth, nothing, nonsense, or a lie."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from itertools import cycle

from workers.simulator.levels import Level, Levels


class Telling(StrEnum):
    TRUE = "true"
    NONE = "none"
    """No header about limits at all."""
    GARBLED = "garbled"
    """Values that are no numbers, no times, or out of any range."""
    FULL = "full"
    """Everything is left, whatever was used."""
    EMPTY = "empty"
    """Nothing is left, whatever was used."""


_GARBAGE = ("soon", "-1", "nan", "1e999", "")


def told(telling: str, levels: Levels) -> Levels:
    """The levels that the headers are made of."""
    if telling == Telling.FULL:
        return {
            name: replace(level, remaining=level.limit, reset_seconds=0) for name, level in levels.items()
        }
    if telling == Telling.EMPTY:
        return {name: Level(level.limit, remaining=0, reset_seconds=60) for name, level in levels.items()}
    return levels


def spelled(telling: str, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers as they are sent."""
    if telling == Telling.NONE:
        return {name: value for name, value in headers.items() if not _of_limits(name)}
    if telling == Telling.GARBLED:
        garbage = cycle(_GARBAGE)
        return {name: next(garbage) if _of_limits(name) else value for name, value in headers.items()}
    return dict(headers)


def _of_limits(name: str) -> bool:
    return "ratelimit" in name or name.startswith("retry-after")
