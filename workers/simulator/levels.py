"""What is left of a limit, as headers show it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """One dimension."""

    limit: float
    remaining: float
    reset_seconds: float
    """Until the bucket is full again."""


Levels = Mapping[str, Level]
"""By dimension."""
