"""Previewing: how much of ended jobs a replay would make anew, and how long the budgets of today take for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from math import ceil
from typing import Any

from contracts.limits import Dimension
from contracts.workflows import Workflow
from orchestrator.deciders.pacing import DAILY, Amount, Purse, per_second, words
from orchestrator.deciders.planning import source_of
from orchestrator.deciders.replaying import fields_of

DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class Tally:
    """How far one step of a job came."""

    done: int
    dead: int
    total: int


@dataclass(frozen=True)
class Parts:
    """What becomes of the instances of one step."""

    anew: int
    kept: int
    left: int
    """Lost branches that something kept went on without."""


@dataclass(frozen=True)
class Restart:
    """From where jobs are made anew, beside what was not done."""

    step: str | None = None
    """All of this step."""
    named: bool = False
    """Whether one subtask was named to start from."""
    instances: Mapping[str, int] = field(default_factory=dict)
    """How many of each step: the one that was named, and those whose results do not hold any more."""
    edited: frozenset[str] = frozenset()
    """The fields of the inputs that are edited."""

    @property
    def is_named(self) -> bool:
        return self.step is not None or self.named


@dataclass(frozen=True)
class Bound:
    """How long something takes at least, and what decides that."""

    seconds: float
    by: str


def divided(workflow: Workflow, came: Mapping[str, Tally], restart: Restart) -> dict[str, Parts]:
    """How many subtasks of each step are made anew, as `replaying.divide` decides it job by job; at most, where an
    edit leaves some items of a list as they were."""
    order = TopologicalSorter({name: set(step.needs) for name, step in workflow.steps.items()})
    names = list(order.static_order())
    tallies = {name: came.get(name) or _unknown(workflow, name, came) for name in names}
    moved: dict[str, int] = {}
    for name in names:
        moved[name] = _moved(workflow, name, tallies[name], restart, moved)
    kept = {name: min(tally.done, tally.total - moved[name]) for name, tally in tallies.items()}
    left: dict[str, int] = {}
    for name in reversed(names):
        lost = tallies[name].total - moved[name] - kept[name]
        left[name] = _left(workflow, name, lost, kept, left)
    return {
        name: Parts(tallies[name].total - kept[name] - left[name], kept[name], left[name])
        for name in workflow.steps
    }


def _moved(workflow: Workflow, name: str, tally: Tally, restart: Restart, moved: Mapping[str, int]) -> int:
    """Those that are made anew whatever they came to, and those behind them."""
    if name == restart.step or _reads(workflow, name, restart.edited):
        return tally.total
    count = restart.instances.get(name, 0)
    if not restart.is_named:
        count = max(count, tally.dead)
    for other in workflow.steps[name].needs:
        if moved[other]:
            count = max(count, moved[other] if _together(workflow, name, other) else tally.total)
    return min(count, tally.total)


def _left(workflow: Workflow, name: str, lost: int, kept: Mapping[str, int], left: Mapping[str, int]) -> int:
    count = 0
    for other, step in workflow.steps.items():
        if name not in step.needs:
            continue
        if _together(workflow, name, other):
            count = max(count, left[other] + max(kept[other] - kept[name], 0))
        elif kept[other] or left[other]:
            count = lost
    return min(count, lost)


def _together(workflow: Workflow, name: str, other: str) -> bool:
    """Whether both map over the same, so that each instance needs only its own."""
    source = source_of(workflow, name)
    return source is not None and source_of(workflow, other) == source


def edited_fields(edit: Iterable[Mapping[str, Any]], fields: Iterable[str]) -> frozenset[str]:
    """The fields of the inputs that a JSON Patch touches."""
    touched: set[str] = set()
    for operation in edit:
        if operation["op"] == "test":
            continue
        for pointer in (operation["path"], operation["from"] if operation["op"] == "move" else None):
            if pointer == "":
                return frozenset(fields)
            if pointer is not None:
                touched.add(pointer.split("/")[1].replace("~1", "/").replace("~0", "~"))
    return frozenset(touched)


def lasts(accounts: Sequence[Purse], need: Amount) -> Bound:
    """How long the accounts that may pay take together for an amount, if they do nothing else."""
    opening = min(purse.closed_seconds for purse in accounts)
    open_ones = [purse for purse in accounts if purse.closed_seconds <= opening]
    bound = Bound(opening, f"{open_ones[0].key}: {open_ones[0].closed_why}" if opening else "")
    for dimension in open_ones[0].buckets:
        seconds = opening + _refilling(open_ones, dimension, need.get(dimension, 0.0))
        if seconds > bound.seconds:
            bound = Bound(seconds, f"{open_ones[0].scope} {words(dimension)}")
    return bound


def _refilling(accounts: Sequence[Purse], dimension: Dimension, need: float) -> float:
    buckets = [purse.buckets[dimension] for purse in accounts if dimension in purse.buckets]
    missing = need - sum(bucket.level for bucket in buckets)
    if missing <= 0:
        return 0.0
    if dimension in DAILY:
        return ceil(missing / sum(bucket.limit for bucket in buckets)) * DAY_SECONDS
    return missing / sum(per_second(dimension, bucket) for bucket in buckets)


def _unknown(workflow: Workflow, name: str, came: Mapping[str, Tally]) -> Tally:
    """Of a step that the ended job did not have: as many as another one that maps over the same."""
    alike = (other for other in came if other in workflow.steps and _together(workflow, name, other))
    total = max((came[other].total for other in alike), default=1)
    return Tally(0, total, total)


def _reads(workflow: Workflow, name: str, edited: frozenset[str]) -> bool:
    over = source_of(workflow, name)
    return bool(edited & (fields_of(workflow.steps[name]) | ({over} if over else set())))
