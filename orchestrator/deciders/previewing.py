"""Previewing: how much of ended jobs a replay would make anew, and how long the budgets of today take for it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from contracts.artifacts import ArtifactRef, digest_of
from contracts.catalog import Catalog
from contracts.limits import Dimension
from contracts.states import SubtaskState
from contracts.workflows import Step, Workflow
from orchestrator.deciders.nodes import Delivered, Node
from orchestrator.deciders.pacing import DAILY, Amount, Purse, per_second, words
from orchestrator.deciders.planning import source_of
from orchestrator.deciders.replaying import (
    Division,
    Effects,
    Instance,
    Source,
    Unfit,
    divide,
    effects_anew,
)

DAY_SECONDS = 86_400.0
_NOTHING = ArtifactRef(digest=digest_of(b""), size_bytes=0)


@dataclass(frozen=True, order=True)
class Stage:
    """How far an instance of a step came, in the latest of its rounds."""

    step: str
    state: SubtaskState
    """Done, dead or, for whatever else it came to, skipped."""
    void: bool = False
    """Its result does not hold any more."""
    named: bool = False
    """It is named as the place to start from."""


@dataclass(frozen=True)
class Listed:
    """What new inputs say otherwise of a list that steps are mapped over."""

    field: str
    before: int
    """How many items it had."""
    after: int
    changed: frozenset[int] = frozenset()
    """Items that are there before and after, and differ."""


@dataclass(frozen=True)
class Renewal:
    """What a job's new inputs say otherwise than its old ones."""

    lists: tuple[Listed, ...]
    fields: frozenset[str] = frozenset()
    """The others that differ."""


@dataclass(frozen=True, order=True)
class Item:
    """One item of a list, whichever place it has there."""

    where: int
    """In both inputs, or only in the new or in the old ones: `BOTH`, `NEW`, `GONE`."""
    changed: bool
    stages: tuple[Stage, ...]


BOTH, NEW, GONE = range(3)


@dataclass(frozen=True)
class Shape:
    """All that a replay's decision on a job depends on, and so the same of many jobs: which of the items of a list
    failed makes no difference, and how far each came in its steps does."""

    single: tuple[Stage, ...]
    """Of the steps that are not mapped."""
    items: tuple[tuple[str, tuple[Item, ...]], ...]
    """By the list that steps are mapped over."""
    fields: frozenset[str]
    """Of the other inputs, those that differ."""


@dataclass(frozen=True)
class Divided:
    """What becomes of a job."""

    division: Division
    effects: Effects


@dataclass(frozen=True)
class Bound:
    """How long something takes at least, and what decides that."""

    seconds: float
    by: str


def renewal(workflow: Workflow, before: Mapping[str, Any], after: Mapping[str, Any]) -> Renewal:
    """What these inputs say otherwise than those before."""
    mapped = _mapped(workflow)
    lists = []
    for name in mapped:
        old, new = before.get(name, []), after[name]
        changed = frozenset(at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other)
        lists.append(Listed(name, len(old), len(new), changed))
    differ = (name for name in after if name not in mapped and before.get(name) != after[name])
    return Renewal(tuple(lists), frozenset(differ))


def supposed(workflow: Workflow, came: Mapping[Instance, Stage], edited: frozenset[str]) -> Renewal:
    """The same of inputs that nobody has read: lists as long as their steps had instances, and of an edited one all
    items changed."""
    lists = []
    for name in _mapped(workflow):
        places = (item for step, item in came if step in workflow.steps and source_of(workflow, step) == name)
        count = max(places, default=0) + 1
        lists.append(Listed(name, count, count, frozenset(range(count) if name in edited else ())))
    return Renewal(tuple(lists), frozenset(edited - _mapped(workflow).keys()))


def shape_of(workflow: Workflow, came: Mapping[Instance, Stage], renewed: Renewal) -> Shape:
    """The shape of a job that came so far, by the steps of today."""
    single: list[Stage] = []
    stages: dict[tuple[str, int], list[Stage]] = defaultdict(list)
    for (step, item), stage in came.items():
        if step not in workflow.steps:
            continue
        source = source_of(workflow, step)
        if source is not None:
            stages[source, item].append(stage)
        elif item == 0:
            single.append(stage)
    items = tuple((each.field, tuple(sorted(_items(each, stages)))) for each in renewed.lists)
    return Shape(tuple(sorted(single)), items, renewed.fields)


def divided(
    catalog: Catalog, workflow: Workflow, planned_with: Catalog, shape: Shape, from_step: str | None = None
) -> Divided | Unfit:
    """What a replay makes of every job of this shape. It is decided as for a job, on one that stands for them."""
    came = dict(_came(shape))
    makes = {
        stage.step: _makes(planned_with, planned_with.workflows[workflow.workflow].steps[stage.step])
        for stage in came.values()
    }
    nodes = [_node(place, stage, makes[stage.step]) for place, stage in came.items()]
    wrong = frozenset(_id(place) for place, stage in came.items() if stage.void)
    named = next((place for place, stage in came.items() if stage.named), None)
    old, new = _inputs(shape)
    source = Source(nodes, old, wrong)
    division = divide(catalog, workflow, source, new, from_step, named)
    if isinstance(division, Unfit):
        return division
    return Divided(division, effects_anew(workflow, division, source, new))


def _mapped(workflow: Workflow) -> dict[str, None]:
    """The fields that steps are mapped over, each once, in one order."""
    sources = (source_of(workflow, name) for name in workflow.steps)
    return {source: None for source in sources if source is not None}


def _items(listed: Listed, stages: Mapping[tuple[str, int], list[Stage]]) -> Iterator[Item]:
    for at in range(max(listed.before, listed.after)):
        where = BOTH if at < min(listed.before, listed.after) else GONE if at < listed.before else NEW
        found = stages.get((listed.field, at), []) if where != GONE else []
        yield Item(where, at in listed.changed, tuple(sorted(found)))


def _came(shape: Shape) -> Iterator[tuple[Instance, Stage]]:
    for stage in shape.single:
        yield (stage.step, 0), stage
    for _, items in shape.items:
        for at, item in enumerate(items):
            for stage in item.stages:
                yield (stage.step, at), stage


def _inputs(shape: Shape) -> tuple[dict[str, Any], dict[str, Any]]:
    """Old and new ones that differ where the jobs' do."""
    old: dict[str, Any] = dict.fromkeys(shape.fields, "before")
    new: dict[str, Any] = dict.fromkeys(shape.fields, "after")
    for field_, items in shape.items:
        old[field_] = ["before" for item in items if item.where != NEW]
        new[field_] = ["after" if item.changed else "before" for item in items if item.where != GONE]
    return old, new


def _id(place: Instance) -> str:
    return f"{place[0]}/{place[1]}"


def _node(place: Instance, stage: Stage, makes: str) -> Node:
    done = stage.state is SubtaskState.DONE
    delivered = Delivered(makes, "", _NOTHING) if done else None
    return Node(_id(place), *place, round=1, state=stage.state, delivered=delivered)


def _makes(catalog: Catalog, step: Step) -> str:
    return catalog.operation(step).output if step.lane else ""


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
