"""Suspecting: whose crash it was, when a process and everything in it is gone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Blame:
    """What a lost attempt is blamed for."""

    counts: bool
    """Whether the loss counts a crash of its own."""
    suspect: bool
    """Whether it runs where no other suspect does, until it has shown whether it kills."""
    why: str


ALONE = Blame(counts=True, suspect=False, why="")
"""Nothing else was in its process, or nothing is known to have ended that."""


def blame(suspect: bool, others: Sequence[bool], lost_before: bool) -> Blame:
    """Decides over one lost attempt. `suspect`: whether it ran as one; `others`: the same of everything else that
    was in its process when that fell silent; `lost_before`: whether an earlier attempt of its subtask was lost."""
    if not others:
        return replace(ALONE, suspect=suspect)
    together = f"{len(others)} other{'s' if len(others) > 1 else ''}"
    if suspect and not any(others):
        return Blame(True, True, f"it was the only suspect beside {together}")
    if not suspect and not lost_before:
        return Blame(
            False, False, f"lost together with {together} for the first time, so it runs again at once"
        )
    return Blame(
        False, True, f"lost together with {together}, so it is a suspect and runs again beside no other one"
    )
