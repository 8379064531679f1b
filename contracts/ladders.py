"""Ladders as a catalog holds them: what stands against a rung before any work has climbed to it."""

from collections.abc import Callable, Iterator, Mapping

from contracts.lanes import Lane, Model, Right, Rung
from contracts.registry import contract, contract_names
from contracts.unknown import unknown
from contracts.vendors import Vendor
from contracts.workflows import Workflow

HasPrice = Callable[[str, str], bool]
"""Whether a model, by vendor and name, has a price."""


def peer_operation(lane: Lane, operation: str, peer: Lane) -> str | None:
    """The operation of the peer that makes what this one makes: of the same name, or the only one."""
    output = lane.operations[operation].output
    same = [name for name, each in peer.operations.items() if each.output == output]
    if operation in same:
        return operation
    return same[0] if len(same) == 1 else None


def model_on(rung: Rung, lanes: Mapping[str, Lane]) -> Model | None:
    """The model with which a rung goes on, where it changes that."""
    peer = lanes.get(rung.lane or "")
    return peer.model if peer else rung.model


def ladder_problems(
    lanes: Mapping[str, Lane],
    vendors: Mapping[str, Vendor],
    workflows: Mapping[str, Workflow],
    has_price: HasPrice,
) -> Iterator[str]:
    """Everything that is wrong with the ladders of these lanes, a sentence each."""
    for lane in lanes.values():
        if lane.ladder and lane.right is not Right.READ_ONLY:
            yield f"lane {lane.lane} has a ladder and the right {lane.right}; only what changes nothing climbs"
        if sum(rung.human is not None for rung in lane.ladder) > 1:
            yield f"lane {lane.lane} asks a person on more than one rung of its ladder"
        for number, rung in enumerate(lane.ladder, 1):
            where = f"lane {lane.lane}, rung {number}"
            if rung.model:
                yield from _own_model_problems(where, lane, rung.model, vendors, has_price)
            if rung.lane:
                yield from _peer_problems(where, lane, rung.lane, lanes)
            yield from _source_problems(where, lane, rung, workflows)
            yield from _vendor_problems(where, lane, rung, lanes, workflows)


def model_problems(
    where: str, model: Model, vendors: Mapping[str, Vendor], has_price: HasPrice
) -> Iterator[str]:
    """What stands against working with this model."""
    if model.vendor not in vendors:
        yield from unknown(where, "vendor", model.vendor, vendors)
        return
    groups = vendors[model.vendor].groups
    if model.group not in groups:
        yield from unknown(where, f"group of {model.vendor}", model.group, groups)
        return
    yield from unknown(
        where, f"model of {model.vendor}/{model.group}", model.name, groups[model.group].models
    )
    if not has_price(model.vendor, model.name):
        yield f"{where} uses {model.name} of {model.vendor}, which has no price; unpriced work is refused"


def _own_model_problems(
    where: str, lane: Lane, model: Model, vendors: Mapping[str, Vendor], has_price: HasPrice
) -> Iterator[str]:
    if lane.model is None:
        yield f"{where} names a model, and the lane has none of its own"
    if model.batch:
        yield f"{where} may go by batch; what has climbed is asked live"
    yield from model_problems(where, model, vendors, has_price)


def _peer_problems(where: str, lane: Lane, name: str, lanes: Mapping[str, Lane]) -> Iterator[str]:
    if name not in lanes:
        yield from unknown(where, "lane", name, lanes)
        return
    peer = lanes[name]
    if peer.lane == lane.lane or peer.right is not Right.READ_ONLY:
        yield f"{where} names lane {name}, which is no peer: another lane that changes nothing"
    for operation, each in lane.operations.items():
        if peer_operation(lane, operation, peer) is None:
            yield f"{where} names lane {name}, which has no one operation that makes {each.output}"


def _source_problems(where: str, lane: Lane, rung: Rung, workflows: Mapping[str, Workflow]) -> Iterator[str]:
    """A lane serves several workflows; what it gives must be there in one of them at least."""
    own = [workflow for workflow in workflows.values() if _steps_of(lane, workflow)]
    steps = {name for workflow in own for name in workflow.steps}
    for source in rung.give.values():
        if source.startswith("inputs."):
            yield from unknown(where, "field of inputs", source.removeprefix("inputs."), _fields(own))
        elif not source.startswith("origin."):
            yield from unknown(where, "step as context", source, steps)


def _fields(workflows: list[Workflow]) -> set[str]:
    """The fields of these workflows' inputs; an unknown contract is told of elsewhere."""
    known = {workflow.inputs for workflow in workflows} & contract_names()
    return {field for name in known for field in contract(name).model_fields}


def _vendor_problems(
    where: str, lane: Lane, rung: Rung, lanes: Mapping[str, Lane], workflows: Mapping[str, Workflow]
) -> Iterator[str]:
    """A rung whose vendor judges the same work, or is judged by it, could never be climbed."""
    model = model_on(rung, lanes)
    if model is None:
        return
    for workflow in workflows.values():
        for name in _steps_of(lane, workflow):
            for other in sorted(_apart_from(name, workflow)):
                theirs = lanes.get(workflow.steps[other].lane or "")
                if theirs and theirs.model and theirs.model.vendor == model.vendor:
                    yield (
                        f"{where} uses {model.vendor}, and in workflow {workflow.workflow} steps {name} and "
                        f"{other} must be independent of each other; lane {theirs.lane} uses {model.vendor} too"
                    )


def _steps_of(lane: Lane, workflow: Workflow) -> list[str]:
    return [name for name, step in workflow.steps.items() if step.lane == lane.lane]


def _apart_from(name: str, workflow: Workflow) -> set[str]:
    """The steps of which this one must be independent, and those that must be independent of it."""
    of_it = {other for other, step in workflow.steps.items() if name in step.independent_of}
    return of_it | {other for other in workflow.steps[name].independent_of if other in workflow.steps}
