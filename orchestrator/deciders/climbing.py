"""Climbing: the next rung of a lane's ladder that may be taken, and what it changes of the handoff."""

from collections.abc import Callable
from dataclasses import dataclass

from contracts.catalog import Catalog
from contracts.handoffs import Handoff, ModelRoute
from contracts.ladders import model_on, peer_operation
from contracts.lanes import Model, Rung
from contracts.states import SubtaskState
from contracts.workflows import Workflow
from orchestrator.deciders import fitting
from orchestrator.deciders.handing import JobFacts, context_of, dependent_vendor, route_of
from orchestrator.deciders.nodes import Node, current


@dataclass(frozen=True)
class Standing:
    """Where a subtask stands that is to climb, and what its next rung is held against."""

    job: JobFacts
    catalog: Catalog
    workflow: Workflow
    node: Node
    nodes: list[Node]
    origin: list[Node]
    handoff: Handoff
    """With everything that was tried so far."""
    rung: int
    """How many rungs lie below it."""
    has_price: Callable[[str, str], bool]
    """Whether a model, by vendor and name, has a price."""

    @property
    def ladder(self) -> tuple[Rung, ...]:
        """Its step's own lane declares it, whatever lane it has come to."""
        return self.catalog.lanes[self.workflow.steps[self.node.step].lane or ""].ladder


@dataclass(frozen=True)
class Up:
    """It goes on from this rung."""

    rung: int
    taken: Rung
    handoff: Handoff
    model: Model | None
    """The model with which it goes on, where that is another."""
    why: str


@dataclass(frozen=True)
class Top:
    """No rung is left that may be taken."""

    why: str
    """What was passed over, or nothing."""


def climb(standing: Standing) -> Up | Top:
    """The next rung that no gate forbids; each one passed over says why."""
    passed: list[str] = []
    ladder = standing.ladder
    for number, rung in enumerate(ladder[standing.rung :], standing.rung + 1):
        named = f"rung {number} of {len(ladder)}, {rung.told()}"
        handoff = _changed(standing, rung)
        against = _against(standing, handoff.route) or fitting.misfit(handoff, standing.catalog)
        if against is None:
            model = model_on(rung, standing.catalog.lanes)
            return Up(number, rung, handoff, model, "; ".join([*passed, named]))
        passed.append(f"{named}, is passed over: {against}")
    return Top("; ".join(passed))


def _changed(standing: Standing, rung: Rung) -> Handoff:
    handoff, catalog = standing.handoff, standing.catalog
    if rung.model:
        return handoff.model_copy(update={"route": route_of(catalog, rung.model)})
    if rung.lane:
        return _moved(standing, rung.lane)
    if rung.narrower:
        return handoff.model_copy(update={"subproblem": f"{handoff.subproblem} {rung.narrower}"})
    more = context_of(
        rung.give, standing.job, standing.workflow, standing.node, _open(standing.nodes), standing.origin
    )
    known = {item.artifact.digest for item in handoff.context if item.artifact}
    new = tuple(
        item
        for item in more
        if (item.artifact.digest not in known if item.artifact else item.value is not None)
    )
    return handoff.model_copy(update={"context": (*handoff.context, *new)})


def _open(nodes: list[Node]) -> list[Node]:
    """A sealed verdict is nobody's to read yet."""
    return [node for node in nodes if node.state is SubtaskState.DONE]


def _moved(standing: Standing, name: str) -> Handoff:
    """To a peer lane: its hands, its standing instructions and its model."""
    catalog, own = standing.catalog, standing.workflow.steps[standing.node.step]
    peer = catalog.lanes[name]
    operation = peer_operation(catalog.lanes[own.lane or ""], catalog.operation_name(own), peer)
    assert operation is not None
    assignment = standing.handoff.assignment.model_copy(
        update={"lane": name, "operation": operation, "handler": peer.operations[operation].handler}
    )
    return standing.handoff.model_copy(
        update={
            "assignment": assignment,
            "role": peer.instructions,
            "route": route_of(catalog, peer.model) if peer.model else None,
        }
    )


def _against(standing: Standing, route: ModelRoute | None) -> str | None:
    """What forbids going on by this route: the gate of independence, seen from both sides, or a missing price."""
    step, vendor = standing.workflow.steps[standing.node.step], route.vendor if route else None
    refused = dependent_vendor(step, vendor, standing.nodes, standing.origin)
    if refused:
        return f"it {refused.why}"
    for name, other in standing.workflow.steps.items():
        if standing.node.step in other.independent_of and vendor in _vendors_of(standing, name):
            return f"step {name} must be of another vendor, and is of {vendor}"
    if route and not standing.has_price(route.vendor, route.model):
        return f"{route.model} of {route.vendor} has no price, and unpriced work is refused"
    return None


def _vendors_of(standing: Standing, step: str) -> set[str]:
    """Of the step's own lane, and those that it has really used."""
    lane = standing.catalog.lanes.get(standing.workflow.steps[step].lane or "")
    declared = {lane.model.vendor} if lane and lane.model else set()
    return declared | {node.vendor for node in current(standing.nodes, step) if node.vendor}
