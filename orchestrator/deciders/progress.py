"""Progress: what comes next in one job, seen from all of its subtasks.

Pure and repeatable: it may be asked at any time, and a job in which nothing can move answers with nothing.
One answer is one layer; whoever applies it asks again until nothing is left to do.
"""

from dataclasses import dataclass, field

from contracts.states import SubtaskState
from contracts.workflows import Workflow
from orchestrator.deciders import revising
from orchestrator.deciders.joining import Met, Never, cancels, is_left_over, join, starves
from orchestrator.deciders.nodes import Node, Planned, current


@dataclass(frozen=True)
class Start:
    """A waiting node whose needs are met."""

    node: Node
    missing: tuple[Node, ...]


@dataclass
class Progress:
    """What can move now."""

    unseal: list[Node] = field(default_factory=list)
    start: list[Start] = field(default_factory=list)
    skip: list[tuple[Node, str]] = field(default_factory=list)
    cancel: list[tuple[Node, str]] = field(default_factory=list)
    die: list[tuple[Node, str]] = field(default_factory=list)
    """Nodes before which objections stand that no revision is left to settle."""
    starve: list[tuple[Node, str]] = field(default_factory=list)
    """Nodes that lack what they need, of which no dead letter tells yet."""
    plan: list[Planned] = field(default_factory=list)
    plan_why: str = ""

    def __bool__(self) -> bool:
        ends = self.skip or self.cancel or self.die or self.starve
        return bool(self.unseal or self.start or ends or self.plan)


def progress(workflow: Workflow, nodes: list[Node]) -> Progress:
    """The next layer of moves."""
    found = Progress(unseal=_unsealable(workflow, nodes))
    if found.unseal or _revise(workflow, nodes, found):
        return found
    found.cancel = _left_over(workflow, nodes)
    left_over = {node.id for node, _ in found.cancel}
    for node in nodes:
        if node.state is SubtaskState.WAITING and node.id not in left_over:
            _decide_waiting(workflow, node, nodes, found)
    if not found and doomed(workflow, nodes):
        found.cancel = [(node, "the job's result can no longer come") for node in nodes if not_started(node)]
    return found


def _decide_waiting(workflow: Workflow, node: Node, nodes: list[Node], found: Progress) -> None:
    principal = _principal(workflow, node, nodes)
    if principal is not None and not principal.ended:
        return
    if principal is not None and principal.state in (SubtaskState.DONE, SubtaskState.CANCELLED):
        found.skip.append((node, f"nobody has to stand in: {principal.step} is {principal.state}"))
        return
    match join(workflow, node.step, node.item, nodes):
        case Met(missing=missing):
            found.start.append(Start(node, missing))
        case Never(why=why) as never:
            (found.starve if starves(workflow, node, never, nodes) else found.skip).append((node, why))


def _principal(workflow: Workflow, node: Node, nodes: list[Node]) -> Node | None:
    """The instance that a standby node stands by for."""
    if not workflow.steps[node.step].standby:
        return None
    step = workflow.principal_of(node.step)
    return next((other for other in current(nodes, step or "") if other.item == node.item), None)


def _left_over(workflow: Workflow, nodes: list[Node]) -> list[tuple[Node, str]]:
    """What a quorum went on without."""
    if not any(cancels(need) for step in workflow.steps.values() for need in step.needs.values()):
        return []
    return [
        (node, "enough others delivered")
        for node in nodes
        if (not_started(node) or node.state is SubtaskState.DISPATCHED)
        and is_left_over(workflow, node, nodes)
    ]


def _unsealable(workflow: Workflow, nodes: list[Node]) -> list[Node]:
    """Sealed verdicts whose siblings of the same round are all in, or will never be."""
    return [
        node
        for node in nodes
        if node.sealed
        and all(
            other.sealed or other.ended
            for other in nodes
            if other.step in workflow.steps[node.step].sealed_with and other.round == node.round
        )
    ]


def _revise(workflow: Workflow, nodes: list[Node], found: Progress) -> bool:
    """Whether verdicts call for another round, or for an end."""
    for name, step in workflow.steps.items():
        if step.revise is None or any(not node.ended for node in current(nodes, name)):
            continue
        match revising.after_verdicts(workflow, name, nodes):
            case revising.AnotherRound(planned=planned, why=why):
                found.plan, found.plan_why = list(planned), why
                return True
            case revising.RoundsExhausted(why=why):
                found.die = [(node, why) for node in _gated_by(workflow, step.revise.objections_of, nodes)]
                return bool(found.die)
    return False


def _gated_by(workflow: Workflow, reviewers: tuple[str, ...], nodes: list[Node]) -> list[Node]:
    """What waits first behind the reviewers; what waits behind that is skipped in its turn."""
    behind = {
        name
        for name, step in workflow.steps.items()
        if name not in reviewers and set(step.needs) & set(reviewers)
    }
    first = {name for name in behind if not behind & revising.ancestors(workflow, name)}
    return [node for node in nodes if node.state is SubtaskState.WAITING and node.step in first]


def doomed(workflow: Workflow, nodes: list[Node]) -> bool:
    """Whether the job's result can no longer come."""
    return any(n.ended and n.state is not SubtaskState.DONE for n in current(nodes, workflow.result))


def not_started(node: Node) -> bool:
    return node.state in (SubtaskState.WAITING, SubtaskState.READY, SubtaskState.PARKED)


def finished(nodes: list[Node]) -> bool:
    """Whether every subtask ended."""
    return all(node.ended for node in nodes)
