"""The catalog: lanes, workflows, vendors and ticks, validated as one whole.

Files are read elsewhere; here are the shapes and the sentences. A catalog with any problem is refused with
all of its problems, so that an author mends a file once.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from graphlib import CycleError, TopologicalSorter
from string import Formatter
from typing import Any, get_origin

from pydantic import Field

from contracts.base import Contract
from contracts.joins import edges, join_problems
from contracts.ladders import ladder_problems, model_on, model_problems
from contracts.lanes import Lane, Operation, Right
from contracts.prerequisites import SUBJECT, Prerequisite
from contracts.registry import contract
from contracts.staleness import staleness_problems
from contracts.ticks import Tick
from contracts.unknown import unknown as _unknown
from contracts.vendor_batches import Inputs
from contracts.vendors import Group, Vendor
from contracts.verdicts import Verdict
from contracts.workflows import Effect, Step, Workflow

TARGET_NAMES = frozenset({"tenant", "portfolio", "job"})
"""What is filled into the target of an effect."""
DISPOSABLE = "scratch:"
"""How the targets begin that may be thrown away."""


class CatalogError(ValueError):
    """Everything that is wrong with a catalog, a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("the catalog is refused: " + "; ".join(problems))
        self.problems = problems


class Catalog(Contract):
    """All entries by name."""

    lanes: dict[str, Lane] = Field(default_factory=dict)
    workflows: dict[str, Workflow] = Field(default_factory=dict)
    vendors: dict[str, Vendor] = Field(default_factory=dict)
    ticks: dict[str, Tick] = Field(default_factory=dict)
    prerequisites: dict[str, Prerequisite] = Field(default_factory=dict)

    def operation(self, step: Step) -> Operation:
        """What the step runs. Only for validated catalogs, and steps that have a lane."""
        lane = self.lanes[step.lane or ""]
        return lane.operations[self.operation_name(step)]

    def operation_name(self, step: Step) -> str:
        return step.operation or next(iter(self.lanes[step.lane or ""].operations))

    def group(self, lane: Lane) -> Group:
        """The budget group of a model lane."""
        assert lane.model is not None
        return self.vendors[lane.model.vendor].groups[lane.model.group]

    def part_for(self, workflow: Workflow) -> "Catalog":
        """The snapshot a job is planned with: its workflow and what that stands on."""
        lanes = {step.lane: self.lanes[step.lane] for step in workflow.steps.values() if step.lane}
        rungs = [rung for lane in lanes.values() for rung in lane.ladder]
        lanes |= {rung.lane: self.lanes[rung.lane] for rung in rungs if rung.lane}
        models = [lane.model for lane in lanes.values()] + [model_on(rung, lanes) for rung in rungs]
        vendors = {model.vendor for model in models if model}
        return Catalog(
            lanes=lanes,
            workflows={workflow.workflow: workflow},
            vendors={name: self.vendors[name] for name in sorted(vendors)},
        )


class Known(Contract):
    """What the entries may refer to."""

    contracts: frozenset[str]
    handlers: frozenset[str]
    looks: frozenset[str] = frozenset()


def validate(
    catalog: Catalog,
    known: Known,
    has_price: Callable[[str, str], bool],
    is_cheaper_by_batch: Callable[[str, str], bool],
) -> Catalog:
    """The catalog itself, or CatalogError with every problem found. The last two are asked of a vendor's model."""
    problems = [
        *_lane_problems(catalog, known, has_price),
        *ladder_problems(catalog.lanes, catalog.vendors, catalog.workflows, has_price),
        *_batch_problems(catalog, is_cheaper_by_batch),
        *_workflow_problems(catalog, known),
        *_tick_problems(catalog, known),
        *_prerequisite_problems(catalog, known),
    ]
    if problems:
        raise CatalogError(problems)
    return catalog


def _lane_problems(catalog: Catalog, known: Known, has_price: Callable[[str, str], bool]) -> Iterator[str]:
    for lane in catalog.lanes.values():
        where = f"lane {lane.lane}"
        for operation in lane.operations.values():
            yield from _unknown(where, "handler", operation.handler, known.handlers)
            yield from _unknown(where, "contract", operation.output, known.contracts)
        if lane.model:
            if lane.right is Right.EFFECT:
                yield f"{where} has a model and an effect right; no model lane has an effect right"
            yield from model_problems(where, lane.model, catalog.vendors, has_price)
        if lane.repeatable:
            yield from _repeating_problems(where, lane)


def _batch_problems(catalog: Catalog, is_cheaper_by_batch: Callable[[str, str], bool]) -> Iterator[str]:
    """What stands against work by batch: a price table without batches answers with the price of live calls."""
    for vendor in catalog.vendors.values():
        if vendor.batch:
            yield from _carrier_problems(catalog, vendor.vendor, vendor.batch.workflow)
    for lane in catalog.lanes.values():
        model = lane.model
        if lane.right is Right.CARRY and model:
            yield f"lane {lane.lane} carries batches and has a model; it asks nothing for itself"
        if model is None or not model.batch or model.vendor not in catalog.vendors:
            continue
        if catalog.vendors[model.vendor].batch is None:
            yield f"lane {lane.lane} may go by batch, and vendor {model.vendor} does not say how (batch)"
        if not is_cheaper_by_batch(model.vendor, model.name):
            yield (
                f"lane {lane.lane} may go by batch, and no price of {model.name} of {model.vendor} by batch is "
                "known that is below its live price"
            )


def _carrier_problems(catalog: Catalog, vendor: str, name: str) -> Iterator[str]:
    where = f"vendor {vendor}"
    if name not in catalog.workflows:
        yield from _unknown(where, "workflow for its batches", name, catalog.workflows)
        return
    workflow = catalog.workflows[name]
    lanes = {step.lane for step in workflow.steps.values()}
    carry = all(name in catalog.lanes and catalog.lanes[name].right is Right.CARRY for name in lanes if name)
    if not (workflow.internal and workflow.inputs == Inputs.contract and carry and None not in lanes):
        yield (
            f"{where} has its batches carried by workflow {name}, which must be internal, have the inputs "
            f"{Inputs.contract} and run on lanes with the right to carry only"
        )


def _repeating_problems(where: str, lane: Lane) -> Iterator[str]:
    if lane.right is Right.EFFECT:
        yield f"{where} is repeatable and has an effect right; an effect is made, never remembered"
    elif lane.model is None:
        # Nothing is saved, and plain code may read more than its handoff, such as the site as it stands.
        yield f"{where} is repeatable and has no model, so there is no request to save"
    if any(operation.output == Verdict.contract for operation in lane.operations.values()):
        yield f"{where} is repeatable and gives a {Verdict.contract}; a judgement is made anew each time"


def _workflow_problems(catalog: Catalog, known: Known) -> Iterator[str]:
    for workflow in catalog.workflows.values():
        where = f"workflow {workflow.workflow}"
        yield from _unknown(where, "contract", workflow.inputs, known.contracts)
        yield from _unknown(where, "step as its result", workflow.result, workflow.steps)
        if workflow.result in workflow.steps and workflow.steps[workflow.result].for_each:
            yield f"{where} has a mapped step as its result; a job has one result, so join it first"
        for name, step in workflow.steps.items():
            yield from _step_problems(catalog, workflow, name, step)
        yield from _cycle_problems(workflow)
        yield from join_problems(workflow, partial(_output, catalog), _longest(workflow, known))
        yield from staleness_problems(workflow)
        yield from _unheard_problems(catalog, workflow)
        if workflow.inputs in known.contracts:
            yield from _input_problems(workflow)


def _output(catalog: Catalog, step: Step) -> str | None:
    """The contract of what a step makes, as far as its lane and its operation are known."""
    lane = catalog.lanes.get(step.lane or "")
    operation = lane.operations.get(catalog.operation_name(step)) if lane else None
    return operation.output if operation else None


def _longest(workflow: Workflow, known: Known) -> dict[str, int]:
    """How many items the lists of the inputs may have, where their contract says so."""
    if workflow.inputs not in known.contracts:
        return {}
    try:
        fields = contract(workflow.inputs).model_fields
    except (ImportError, AttributeError, TypeError):
        return {}  # told by the problems of the inputs
    return {
        name: bound.max_length
        for name, field in fields.items()
        for bound in field.metadata
        if isinstance(getattr(bound, "max_length", None), int)
    }


def _cycle_problems(workflow: Workflow) -> Iterator[str]:
    try:
        tuple(TopologicalSorter(edges(workflow)).static_order())
    except CycleError as error:
        yield f"workflow {workflow.workflow} has a cycle: {' → '.join(error.args[1])}"


def _unheard_problems(catalog: Catalog, workflow: Workflow) -> Iterator[str]:
    """Where something lasting may follow, every verdict must have somebody who settles its objections."""
    steps = workflow.steps
    if not any(step.approval or (step.effect and not step.effect.disposable) for step in steps.values()):
        return
    heard = {name for step in steps.values() if step.revise for name in step.revise.objections_of}
    for name, step in steps.items():
        if name not in heard and _judges(catalog, step):
            yield (
                f"workflow {workflow.workflow}: nobody hears the objections of step {name}; "
                f"name it in the objections_of of a step’s revise"
            )


def _judges(catalog: Catalog, step: Step) -> bool:
    """Whether a step gives verdicts, as far as its lane and its operation are known."""
    return _output(catalog, step) == Verdict.contract


def _input_problems(workflow: Workflow) -> Iterator[str]:
    """What the steps take from the job's inputs, held against the fields that the inputs have."""
    try:
        model = contract(workflow.inputs)
    except (ImportError, AttributeError, TypeError) as error:
        yield f"workflow {workflow.workflow} has the inputs {workflow.inputs}, which cannot be loaded: {error}"
        return
    fields = {name: field.annotation for name, field in model.model_fields.items()}
    for name, step in workflow.steps.items():
        where = f"workflow {workflow.workflow}, step {name}"
        for field in _input_fields(step):
            yield from _unknown(where, f"field of {workflow.inputs}", field, fields)
        if step.for_each and step.for_each.startswith("inputs."):
            field = step.for_each.removeprefix("inputs.")
            if field in fields and not _is_list(fields[field]):
                yield f"{where} maps over {step.for_each}, which is no list"


def _input_fields(step: Step) -> list[str]:
    sources = [*step.give.values(), *([step.for_each] if step.for_each else [])]
    named = [source.removeprefix("inputs.") for source in sources if source.startswith("inputs.")]
    return list(dict.fromkeys([*named, *re.findall(r"\{inputs\.([^{}]*)\}", step.ask)]))


def _is_list(annotation: Any) -> bool:
    return (get_origin(annotation) or annotation) in (list, tuple)


def _step_problems(catalog: Catalog, workflow: Workflow, name: str, step: Step) -> Iterator[str]:
    where = f"workflow {workflow.workflow}, step {name}"
    for other in [*step.needs, *step.sealed_with, *(step.revise.objections_of if step.revise else ())]:
        yield from _unknown(where, "step", other, workflow.steps)
    if (step.lane is None) == (step.approval is None):
        yield f"{where} must name either a lane or an approval"
        return
    if step.approval:
        yield from _unknown(where, "step to approve", step.approval.of, step.needs)
        return
    if step.trouble is None:
        yield f"{where} does not say what happens when it loops, is cut or fails (trouble: loop, cut, fail)"
    if not step.ask or not step.success:
        yield f"{where} lacks its subproblem (ask) or its success condition (success)"
    yield from _source_problems(where, workflow, step)
    if step.lane not in catalog.lanes:
        yield from _unknown(where, "lane", step.lane or "", catalog.lanes)
        return
    lane = catalog.lanes[step.lane]
    if step.operation is None and len(lane.operations) > 1:
        yield f"{where} must say which operation of lane {lane.lane} it runs: {', '.join(lane.operations)}"
    elif step.operation is not None:
        yield from _unknown(where, f"operation of lane {lane.lane}", step.operation, lane.operations)
    yield from _independence_problems(catalog, workflow, name, step)
    yield from _effect_problems(where, workflow, step, lane)
    yield from _revision_problems(catalog, where, workflow, step)


def _source_problems(where: str, workflow: Workflow, step: Step) -> Iterator[str]:
    for source in step.give.values():
        if source == "item":
            if step.for_each is None:
                yield f"{where} gives its item without a for_each"
        elif not source.startswith(("inputs.", "origin.")):
            yield from _unknown(where, "needed step as context", source, step.needs)
    if step.for_each and not step.for_each.startswith("inputs."):
        yield from _unknown(where, "needed step to map over", step.for_each, step.needs)
        if step.for_each in workflow.steps and workflow.steps[step.for_each].for_each is None:
            yield f"{where} maps over {step.for_each}, which is not mapped itself"


def _independence_problems(catalog: Catalog, workflow: Workflow, name: str, step: Step) -> Iterator[str]:
    where = f"workflow {workflow.workflow}, step {name}"
    if not step.independent_of and _judges_a_model(catalog, workflow, name, step):
        yield f"{where} judges what a model made and must say of whose vendor it is independent (independent_of)"
    for other in step.independent_of:
        if other.startswith("origin."):
            continue
        if other not in workflow.steps:
            yield from _unknown(where, "step", other, workflow.steps)
            continue
        mine, theirs = (catalog.lanes.get(s.lane or "") for s in (step, workflow.steps[other]))
        if not (mine and mine.model and theirs and theirs.model):
            yield f"{where} can be independent only of another step with a model, which {other} is not"
        elif mine.model.vendor == theirs.model.vendor:
            yield (
                f"{where} must be independent of {other}, but lanes {mine.lane} and {theirs.lane} "
                f"both use {mine.model.vendor}"
            )


def _judges_a_model(catalog: Catalog, workflow: Workflow, name: str, step: Step) -> bool:
    """Whether a model gives a verdict where another model worked: in this workflow, or in the linked job."""

    def has_model(other: Step) -> bool:
        lane = catalog.lanes.get(other.lane or "")
        return lane is not None and lane.model is not None

    if not (has_model(step) and _judges(catalog, step)):
        return False
    of_origin = any(source.startswith("origin.") for source in step.give.values())
    return of_origin or any(has_model(other) for key, other in workflow.steps.items() if key != name)


def _effect_problems(where: str, workflow: Workflow, step: Step, lane: Lane) -> Iterator[str]:
    if step.effect is None:
        if lane.right is Right.EFFECT:
            yield f"{where} runs on the effect lane {lane.lane} and declares no effect"
        return
    if lane.right is not Right.EFFECT:
        yield f"{where} declares an effect, but lane {lane.lane} has no effect right"
    if step.for_each is not None:
        yield (
            f"{where} declares one effect for all items of {step.for_each}, and it would be applied once; "
            "let one step that needs them all apply it"
        )
    yield from _target_problems(where, step.effect)
    approver = step.effect.approved_by
    if approver is None and not step.effect.disposable:
        yield f"{where} touches a target that is not disposable without an approval"
    if approver is not None and (approver not in workflow.steps or not workflow.steps[approver].approval):
        yield f"{where} names “{approver}” as its approval, which is no approval step"


def _target_problems(where: str, effect: Effect) -> Iterator[str]:
    try:
        parts = [part[1:] for part in Formatter().parse(effect.target)]
    except ValueError as error:
        yield f"{where} has the target “{effect.target}”, which cannot be filled in: {error}"
        return
    for name, spec, conversion in parts:
        if name is not None and (name not in TARGET_NAMES or spec or conversion):
            listing = ", ".join(f"{{{known}}}" for known in sorted(TARGET_NAMES))
            yield f"{where} has the target “{effect.target}”, in which only {listing} are filled in"
            break
    if effect.disposable and not effect.target.startswith(DISPOSABLE):
        yield f"{where} calls {effect.target} disposable, and only targets that begin with {DISPOSABLE} are"


def _revision_problems(catalog: Catalog, where: str, workflow: Workflow, step: Step) -> Iterator[str]:
    if step.revise is None:
        return
    for reviewer in step.revise.objections_of:
        review = workflow.steps.get(reviewer)
        lane = catalog.lanes.get(review.lane or "") if review else None
        if review and lane and not _judges(catalog, review):
            yield f"{where} listens for objections of {reviewer}, which gives no {Verdict.contract}"


def _tick_problems(catalog: Catalog, known: Known) -> Iterator[str]:
    for tick in catalog.ticks.values():
        where = f"tick {tick.tick}"
        yield from _unknown(where, "look", tick.look, known.looks)
        yield from _unknown(where, "workflow", tick.workflow, catalog.workflows)


def _prerequisite_problems(catalog: Catalog, known: Known) -> Iterator[str]:
    for entry in catalog.prerequisites.values():
        where = f"prerequisite {entry.prerequisite}"
        if entry.placeholders() - {SUBJECT}:
            yield f"{where} has inputs in which only {SUBJECT} is filled in"
        if entry.supplied_by not in catalog.workflows:
            yield from _unknown(where, "workflow", entry.supplied_by, catalog.workflows)
            continue
        inputs = catalog.workflows[entry.supplied_by].inputs
        if inputs in known.contracts:
            fields = contract(inputs).model_fields
            for name in entry.inputs:
                yield from _unknown(where, f"field of {inputs}", name, fields)
            for name, field in fields.items():
                if field.is_required() and name not in entry.inputs:
                    yield f"{where} does not say the {name} that {inputs} needs"
