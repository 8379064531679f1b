"""Suspecting: whose crash it was, when a process and everything in it is gone; and how many suspects may run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.deciders.slots import Slots


@dataclass(frozen=True)
class Blame:
    """What a lost attempt is blamed for."""

    counts: bool
    """Whether the loss counts a crash of its own."""
    suspect: bool
    """Whether it runs in no process with another suspect, until it has shown whether it kills."""
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


@dataclass(frozen=True)
class Process:
    """A worker's process that takes work."""

    lanes: frozenset[str]
    free: int
    """Slots in which nothing runs."""
    suspected: bool
    """Whether a suspect runs in it."""


def room(processes: Iterable[Process], granted: Mapping[str, int]) -> Slots:
    """How many suspects may be granted in each lane: one for every process that has a free slot and no suspect in
    it. `granted` are those by lane that nobody has claimed yet; each of them will take one such process."""
    takes = [(each.lanes, 1) for each in processes if each.free > 0 and not each.suspected]
    return Slots(takes, granted, {})
