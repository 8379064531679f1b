"""Replaying: what of an ended job is kept, what is made anew, and with which inputs.

What is made anew carries along whatever was built on it, reviews and approvals included. What is kept stands by
all that it was built on, and what it went on without stays left out.
"""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import jsonpatch
from pydantic import BaseModel, JsonValue, ValidationError

from contracts.artifacts import ArtifactRef, Document
from contracts.catalog import Catalog
from contracts.joins import edges
from contracts.lanes import Right
from contracts.purposes import Purpose
from contracts.registry import contract
from contracts.states import SubtaskState
from contracts.workflows import Effect, ReplayClass, Step, Workflow
from orchestrator.deciders.documents import Known, as_uploaded, with_documents
from orchestrator.deciders.fitting import too_large
from orchestrator.deciders.nodes import Node, Planned, current, name_of
from orchestrator.deciders.planning import plan, source_of
from orchestrator.deciders.stopping import too_many
from orchestrator.problems import faults

WINDOW_SECONDS = 60.0
MOST_CHARACTERS = 8 * 1024 * 1024
"""Of a job's inputs as JSON, after a copy: a hundred copies of everything into itself fill any memory."""
_MEMBERS = {"add": "value", "replace": "value", "test": "value", "move": "from", "copy": "from"}
"""What an operation of a JSON Patch needs beside its path."""

Instance = tuple[str, int]
"""A step and an item of it."""


@dataclass(frozen=True)
class Source:
    """An ended job as a replay finds it."""

    nodes: list[Node]
    inputs: dict[str, Any]
    wrong: frozenset[str] = frozenset()
    """Subtasks whose results were found wrong, or were built on wrong ones."""


@dataclass(frozen=True)
class Division:
    """The subtasks of the new job."""

    kept: tuple[tuple[Planned, Node], ...]
    left: tuple[tuple[Planned, Node], ...]
    """Lost branches that something kept went on without."""
    anew: tuple[Planned, ...]


@dataclass(frozen=True)
class Unfit:
    """This job cannot be replayed so, in a sentence."""

    why: str
    about: str = ""
    """What is the same of the sentence, where that differs from job to job."""

    @property
    def kind(self) -> str:
        """What is the same of all that cannot be replayed for the same reason."""
        return self.about or self.why


def divide(
    catalog: Catalog,
    workflow: Workflow,
    source: Source,
    inputs: dict[str, Any],
    from_step: str | None = None,
    from_instance: Instance | None = None,
) -> Division | Unfit:
    """What stays and what is made anew, by the catalog's workflow of today and the new job's inputs."""
    if any(_carries(catalog, step) for step in workflow.steps.values()):
        return Unfit("it carried a vendor's batch, whose requests went on by themselves when it ended")
    places = [(each.step, each.item) for each in plan(workflow, inputs)]
    found = {(node.step, node.item): node for step in workflow.steps for node in current(source.nodes, step)}
    before = _before(workflow, places)
    named = from_step is not None or from_instance is not None
    moved: set[Instance] = set()
    for place, needed in before.items():
        node, restarts = found.get(place), place[0] == from_step or place == from_instance
        if (
            restarts
            or node is None
            or _is_forced(workflow, node, source, inputs, named)
            or moved & set(needed)
        ):
            moved.add(place)
    kept = {place for place in before if place not in moved and found[place].state is SubtaskState.DONE}
    left = _left(before, kept, moved)
    for place in filter(kept.__contains__, before):
        if outdated := _outdated(catalog, workflow, found[place]):
            return outdated
    anew = tuple(Planned(*place, round=1) for place in places if place not in kept | left)
    if not anew:
        return Unfit("all of it is done and no step was named to start from; name one (from_step)")
    return Division(_with(kept, places, found), _with(left, places, found), anew)


@dataclass(frozen=True)
class Effects:
    """The effects of what is made anew, by step."""

    other: dict[str, Effect]
    """Those that would be handed something else than they were: what they apply is not what they applied."""
    same: dict[str, Effect]
    """Those that are handed what they were."""


def effects_anew(workflow: Workflow, division: Division, source: Source, inputs: dict[str, Any]) -> Effects:
    """What a replay would apply, and whether under the name it had."""
    anew = {place.step for place in division.anew}
    found = Effects({}, {})
    for name, step in workflow.steps.items():
        if step.effect is None or name not in anew:
            continue
        read_anew = any(source.inputs.get(field) != inputs.get(field) for field in fields_of(step))
        changed = read_anew or anew & set(step.needs)
        (found.other if changed else found.same)[name] = step.effect
    return found


def same_name(effects: Effects, begun: frozenset[str]) -> bool | Unfit:
    """Whether the new job's effects bear the names of those before it, where the steps in `begun` had begun theirs.
    One name cannot mean two things, and under a new one what was applied is not found."""
    other, same = sorted(begun & effects.other.keys()), sorted(begun & effects.same.keys())
    if other and same:
        return Unfit(
            f"{', '.join(other)} would apply something else than before and {', '.join(same)} the same again; "
            f"replay from {same[0]} first, and the rest after it"
        )
    return not other


def renewed(
    catalog: Catalog,
    workflow: Workflow,
    inputs: dict[str, Any],
    edit: tuple[dict[str, JsonValue], ...] | None,
    known: Known,
) -> dict[str, Any] | Unfit:
    """The new job's inputs, edited where an edit is given, or what today's contract and lanes have against them."""
    new = edited(workflow, inputs, edit, known)
    if isinstance(new, Unfit):
        return new
    if large := too_large(workflow, catalog, new):
        return Unfit("; ".join(large), "its documents are too large")
    many = too_many(workflow, len(plan(workflow, new)))
    return Unfit(many, "it would begin with too many subtasks") if many else new


def edited(
    workflow: Workflow, inputs: dict[str, Any], edit: tuple[dict[str, JsonValue], ...] | None, known: Known
) -> dict[str, Any] | Unfit:
    """The new job's inputs: the old ones, edited where an edit is given, as today's contract reads them. What an edit
    says of an artifact counts for as little as what upstream says: its documents stand on what was uploaded."""
    try:
        patched = _patched(inputs, edit) if edit else inputs
        if patched is None:
            return Unfit(f"the edit copies its inputs to more than {MOST_CHARACTERS:,} characters")
        read = contract(workflow.inputs).model_validate(patched)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        return _since("the edit does not fit its inputs", str(error))
    except ValidationError as error:
        no_more = "its inputs are not compatible with today's"
        about = f"{'its inputs are no' if edit else no_more} {workflow.inputs}"
        return _since(about, faults(error.errors(), "inputs"))
    inline = next((document for document in _documents(read) if document.text is not None), None)
    if inline is not None:
        why = f"document “{inline.name}” stands in the edit itself; upload it and name its artifact"
        return Unfit(why, "a document stands in the edit itself")
    dumped: dict[str, Any] = read.model_dump(mode="json")
    return _settled(read, dumped, known) if edit else dumped


def _settled(read: BaseModel, dumped: dict[str, Any], known: Known) -> dict[str, Any] | Unfit:
    missing: list[str] = []

    def keep(document: Document) -> ArtifactRef:
        assert document.artifact is not None, "what stands in the edit itself is refused before"
        ref = as_uploaded(document, known)
        missing.extend([document.artifact.digest] if ref is None else [])
        return ref or document.artifact

    settled: dict[str, Any] = with_documents(read, dumped, keep)
    return not_uploaded(missing[0]) if missing else settled


def digests_in(value: Any) -> set[str]:
    """All digests of artifacts inside dumped inputs."""
    match value:
        case {"digest": str(digest), "size_bytes": int()}:
            return {digest}
        case dict():
            return {found for entry in value.values() for found in digests_in(entry)}
        case list():
            return {found for entry in value for found in digests_in(entry)}
        case _:
            return set()


def not_uploaded(digest: str) -> Unfit:
    """Its inputs name an artifact that nobody uploaded."""
    return Unfit(f"no artifact {digest} was uploaded (PUT /v1/artifacts)")


def fault_of(edit: tuple[dict[str, JsonValue], ...]) -> str | None:
    """Why this is no JSON Patch, or None where it is one."""
    try:
        jsonpatch.JsonPatch(list(edit))
        return next(filter(None, map(_lack, edit)), None)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        return str(error)


def replay_class(step: Step) -> ReplayClass:
    """What doing a step twice would do to the world."""
    return step.effect.replay_class if step.effect else ReplayClass.READ_ONLY


def unsafe_steps(workflow: Workflow) -> list[str]:
    """The steps that a replay may do again only with somebody's approval."""
    return [name for name, step in workflow.steps.items() if replay_class(step) is ReplayClass.UNSAFE]


def purpose_again(purpose: Purpose) -> Purpose:
    """Why the new job exists: doing something again is rework, except where all of it is maintenance."""
    return Purpose.MAINTENANCE if purpose is Purpose.MAINTENANCE else Purpose.REWORK


def window_of(per_minute: float) -> float:
    """Over how many seconds releases are counted: a minute, or as long as one release may take."""
    return max(WINDOW_SECONDS, WINDOW_SECONDS / per_minute)


def room(most_open: int, open_: int, per_minute: float | None, lately: int) -> int:
    """How many jobs may be released now; `lately` is how many were within the window."""
    places = most_open - open_
    if per_minute is not None:
        places = min(places, max(int(per_minute), 1) - lately)
    return max(places, 0)


def _since(about: str, error: str) -> Unfit:
    return Unfit(f"{about}: {error}", about)


def _patched(inputs: dict[str, Any], edit: tuple[dict[str, JsonValue], ...]) -> Any:
    """The inputs after each operation in turn, or None as soon as copies of them are too large."""
    patched: Any = copy.deepcopy(inputs)
    for operation in edit:
        patched = jsonpatch.apply_patch(patched, [operation], in_place=True)
        if operation["op"] == "copy" and len(json.dumps(patched)) > MOST_CHARACTERS:
            return None
    return patched


def _lack(operation: dict[str, JsonValue]) -> str | None:
    """What an operation needs and does not have, which else would show only when it is applied."""
    name, path = operation["op"], operation["path"]
    member = _MEMBERS.get(str(name))
    if member is not None and member not in operation:
        return f"{name} of “{path}” has no “{member}”"
    if member == "from":
        source = operation["from"]
        if not isinstance(source, str):
            return f"{name} of “{path}” has a “from” that is no text"
        jsonpatch.JsonPointer(source)
    return None


def _carries(catalog: Catalog, step: Step) -> bool:
    return step.lane is not None and catalog.lanes[step.lane].right is Right.CARRY


def _before(workflow: Workflow, places: list[Instance]) -> dict[Instance, list[Instance]]:
    """Whom every instance waits for, after all of those: of what is mapped over the same, its own."""
    waits, found = edges(workflow), dict[Instance, list[Instance]]()
    instances: dict[str, list[Instance]] = {name: [] for name in workflow.steps}
    for place in places:
        instances[place[0]].append(place)
    for step in TopologicalSorter(waits).static_order():
        own = source_of(workflow, step)
        along = {other for other in waits[step] if own is not None and source_of(workflow, other) == own}
        all_of = [place for other in sorted(waits[step] - along) for place in instances[other]]
        for place in instances[step]:
            found[place] = [(other, place[1]) for other in sorted(along)] + all_of
    return found


def _is_forced(workflow: Workflow, node: Node, source: Source, inputs: dict[str, Any], named: bool) -> bool:
    """Whether it is made anew whatever stands before it: a result that does not hold any more; a dead letter where
    no place to start from was named."""
    if node.state is SubtaskState.DONE:
        return (
            node.delivered is None
            or node.id in source.wrong
            or _reads_otherwise(workflow, node, source, inputs)
        )
    return node.state is SubtaskState.DEAD and not named


def _reads_otherwise(workflow: Workflow, node: Node, source: Source, inputs: dict[str, Any]) -> bool:
    """Whether the new job's inputs say something else of what it was made of."""
    step, over = workflow.steps[node.step], source_of(workflow, node.step)
    if any(source.inputs.get(field) != inputs.get(field) for field in fields_of(step)):
        return True
    if over is not None and "item" in step.give.values():
        return bool(source.inputs[over][node.item] != inputs[over][node.item])
    gathered = {source_of(workflow, other) for other in step.needs} - {over, None}
    return any(len(source.inputs.get(field, [])) != len(inputs[field]) for field in gathered if field)


def _left(before: dict[Instance, list[Instance]], kept: set[Instance], moved: set[Instance]) -> set[Instance]:
    """What was lost and stays so: something that is kept went on without it."""
    left: set[Instance] = set()
    for place, needed in reversed(before.items()):
        if place in kept or place in left:
            left |= {each for each in needed if each not in kept and each not in moved}
    return left


def _with(
    chosen: set[Instance], places: list[Instance], found: dict[Instance, Node]
) -> tuple[tuple[Planned, Node], ...]:
    return tuple((Planned(*place, round=1), found[place]) for place in places if place in chosen)


def fields_of(step: Step) -> set[str]:
    """The fields of the inputs that a step reads as a whole."""
    given = {name.removeprefix("inputs.") for name in step.give.values() if name.startswith("inputs.")}
    return given | set(re.findall(r"\{inputs\.(\w+)\}", step.ask))


def _outdated(catalog: Catalog, workflow: Workflow, node: Node) -> Unfit | None:
    step = workflow.steps[node.step]
    if step.lane is None or node.delivered is None:
        return None
    makes = catalog.operation(step).output
    if node.delivered.contract == makes:
        return None
    name = name_of(node.step, node.item, node.round, source_of(workflow, node.step) is not None)
    made = f"delivered a {node.delivered.contract}, and"
    return Unfit(
        f"{name} {made} {node.step} makes a {makes} now; replay it from step {node.step}",
        f"{node.step} {made} makes a {makes} now; replay from step {node.step}",
    )


def _documents(value: Any) -> Iterator[Document]:
    match value:
        case Document():
            yield value
        case BaseModel():
            for _, entry in value:
                yield from _documents(entry)
        case tuple() | list():
            for entry in value:
                yield from _documents(entry)
