"""Joining: whether what a subtask needs has really delivered."""

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.states import SubtaskState
from contracts.workflows import Ending, Join, Need, Quorum, Workflow
from orchestrator.deciders.nodes import Node, current
from orchestrator.deciders.planning import source_of


@dataclass(frozen=True)
class Met:
    """It may start."""

    missing: tuple[Node, ...] = ()
    """Instances that it goes on without."""


@dataclass(frozen=True)
class Never:
    """It can never start."""

    why: str
    lost: tuple[Node, ...] = ()
    """Instances that did not deliver; none where their list is empty."""


@dataclass(frozen=True)
class NotYet:
    """Something it needs is still under way."""


Joined = Met | Never | NotYet


def needed(workflow: Workflow, step: str, item: int, other: str, nodes: list[Node]) -> list[Node]:
    """The instances of `other` that this instance of `step` needs: its own where both map over the same. Whatever
    takes the place of one that ended badly stands here for it."""
    instances = standing(workflow, other, nodes)
    source = source_of(workflow, step)
    if source is not None and source_of(workflow, other) == source:
        return [node for node in instances if node.item == item]
    return instances


def standing(workflow: Workflow, step: str, nodes: list[Node]) -> list[Node]:
    """The instances of a step that count, each that ended badly replaced by its substitute."""
    instances, substitute = current(nodes, step), workflow.substitute_of(step)
    if substitute is None:
        return instances
    standby = {node.item: node for node in current(nodes, substitute)}
    return [standby.get(node.item, node) if _ended_badly(node) else node for node in instances]


def join(workflow: Workflow, step: str, item: int, nodes: list[Node]) -> Joined:
    """Decides over all the steps that this one needs."""
    missing: list[Node] = []
    for other, need in workflow.steps[step].needs.items():
        match joined(other, need, needed(workflow, step, item, other, nodes)):
            case Met(missing=more):
                missing += more
            case undecided:
                return undecided
    return Met(tuple(missing))


def joined(other: str, need: Need, instances: list[Node]) -> Joined:
    """Decides over the instances of one step that is needed. Over an empty list there are none: then all of them
    delivered, and no first one ever will."""
    if need is Join.ANY:
        need = Quorum(quorum=1)
    if isinstance(need, Quorum):
        return _quorum(other, need.quorum, instances)
    lost = [node for node in instances if _ended_badly(node)]
    if need is Join.ALL and lost:
        return Never(_because(other, lost[0]), tuple(lost))
    if not all(node.ended for node in instances):
        return NotYet()
    if instances and len(lost) == len(instances):
        return Never(_none_of(other, lost), tuple(lost))
    return Met(tuple(lost))


def _quorum(other: str, wanted: int, instances: list[Node]) -> Joined:
    """Met as soon as enough delivered; impossible as soon as too few can."""
    absent = [node for node in instances if node.state is not SubtaskState.DONE]
    if len(instances) - len(absent) >= wanted:
        return Met(tuple(absent))
    lost = [node for node in absent if node.ended]
    if not instances:
        return Never(f"needs {wanted} of {other}, and there is none: its list is empty")
    if len(instances) - len(lost) >= wanted:
        return NotYet()
    cause = f": {lost[0].why}" if lost and lost[0].why else ""
    can = len(instances) - len(lost)
    return Never(
        f"needs {wanted} of {len(instances)} {other}, and only {can} can still deliver{cause}", tuple(lost)
    )


def is_left_over(workflow: Workflow, node: Node, nodes: list[Node]) -> bool:
    """Whether a node that has not started is needed by nobody any more: who needs it went on without it, and
    lets it be cancelled, or was itself left over."""
    dependents = [
        (need, other)
        for name, step in workflow.steps.items()
        for needs, need in step.needs.items()
        if node.step in (needs, workflow.substitute_of(needs))
        for other in current(nodes, name)
        if node in needed(workflow, name, other.item, needs, nodes)
    ]
    return bool(dependents) and all(_went_on(need, other) for need, other in dependents)


def cancels(need: Need) -> bool:
    """Whether this need cancels whom it goes on without."""
    return need is Join.ANY or (isinstance(need, Quorum) and need.rest == "cancel")


def _went_on(need: Need, dependent: Node) -> bool:
    if dependent.state is SubtaskState.CANCELLED:
        return True
    return cancels(need) and dependent.state not in (SubtaskState.WAITING, SubtaskState.SKIPPED)


def starves(workflow: Workflow, node: Node, never: Never, nodes: list[Node]) -> bool:
    """Whether a node ends as a dead letter because of what it lacks: each that did not deliver was allowed not to, so
    that nobody else tells of it, and the node itself was not."""
    trouble = workflow.steps[node.step].trouble
    if trouble is not None and trouble.fail is Ending.SKIP:
        return False
    causes = (cause for lost in never.lost for cause in _causes(workflow, lost, nodes))
    return all(cause.state is SubtaskState.SKIPPED for cause in causes)


def first_cause(workflow: Workflow, node: Node, nodes: list[Node]) -> Node:
    """Where it began that this node could not deliver: the node itself, or what it was skipped for."""
    return next(_causes(workflow, node, nodes))


def _causes(workflow: Workflow, node: Node, nodes: list[Node]) -> Iterator[Node]:
    found = False
    for other, need in workflow.steps[node.step].needs.items() if node.state is SubtaskState.SKIPPED else ():
        never = joined(other, need, needed(workflow, node.step, node.item, other, nodes))
        for lost in never.lost if isinstance(never, Never) else ():
            found = True
            yield from _causes(workflow, lost, nodes)
    if not found:
        yield node


def _ended_badly(node: Node) -> bool:
    return node.ended and node.state is not SubtaskState.DONE


def _none_of(step: str, lost: list[Node]) -> str:
    """With the cause of the first that was lost."""
    cause = f": {lost[0].why}" if lost and lost[0].why else ""
    return f"needs at least one {step}, and none of {len(lost)} delivered{cause}"


def _because(step: str, lost: Node) -> str:
    """Which step was lost first: what was skipped in its turn only passes on why. The cause itself is told once,
    where it happened."""
    if lost.state is SubtaskState.SKIPPED and lost.why:
        return lost.why
    return f"needs {step}, which is {lost.state}"
