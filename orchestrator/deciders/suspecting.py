"""Suspecting: whose crash it was, when a process and everything in it is gone."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Blame:
    """What a lost attempt is blamed for."""

    counts: bool
    """Whether the loss counts a crash of its own; else it is a suspect, and runs where no other suspect does."""
    why: str


ALONE = Blame(True, "")
"""Nothing else was in its process, or nothing is known to have ended that."""


def blame(suspect: bool, others: Sequence[bool]) -> Blame:
    """Decides over one lost attempt. `suspect`: whether it ran as one; `others`: the same of everything else that
    was in its process when that fell silent."""
    if not others:
        return ALONE
    together = f"{len(others)} other{'s' if len(others) > 1 else ''}"
    if suspect and not any(others):
        return Blame(True, f"it was the only suspect beside {together}")
    return Blame(
        False, f"lost together with {together}, so it is a suspect and runs again beside no other one"
    )
