"""Joining: whether what a subtask needs has really delivered."""

from dataclasses import dataclass

from contracts.states import SubtaskState
from contracts.workflows import Join, Workflow
from orchestrator.deciders.nodes import Node, current
from orchestrator.deciders.planning import source_of


@dataclass(frozen=True)
class Met:
    """It may start."""

    missing: tuple[Node, ...] = ()
    """Instances that a best-effort join goes on without."""


@dataclass(frozen=True)
class Never:
    """It can never start."""

    why: str


@dataclass(frozen=True)
class NotYet:
    """Something it needs is still under way."""


Joined = Met | Never | NotYet


def needed(workflow: Workflow, step: str, item: int, other: str, nodes: list[Node]) -> list[Node]:
    """The instances of `other` that this instance of `step` needs: its own where both map over the same."""
    instances = current(nodes, other)
    source = source_of(workflow, step)
    if source is not None and source_of(workflow, other) == source:
        return [node for node in instances if node.item == item]
    return instances


def join(workflow: Workflow, step: str, item: int, nodes: list[Node]) -> Joined:
    """Decides over all the steps that this one needs."""
    missing: list[Node] = []
    for other, policy in workflow.steps[step].needs.items():
        instances = needed(workflow, step, item, other, nodes)
        lost = [node for node in instances if node.ended and node.state is not SubtaskState.DONE]
        if policy is Join.ALL and lost:
            return Never(_because(other, lost[0]))
        if not all(node.ended for node in instances):
            return NotYet()
        if len(lost) == len(instances):
            return Never(_none_of(other, lost))
        missing += lost
    return Met(tuple(missing))


def first_cause(workflow: Workflow, node: Node, nodes: list[Node]) -> Node:
    """Where it began that this node could not deliver: the node itself, or what it was skipped for."""
    if node.state is not SubtaskState.SKIPPED:
        return node
    for other, policy in workflow.steps[node.step].needs.items():
        instances = needed(workflow, node.step, node.item, other, nodes)
        lost = [found for found in instances if found.ended and found.state is not SubtaskState.DONE]
        if lost and (policy is Join.ALL or len(lost) == len(instances)):
            return first_cause(workflow, lost[0], nodes)
    return node


def _none_of(step: str, lost: list[Node]) -> str:
    """With the cause of the first that was lost."""
    cause = f": {lost[0].why}" if lost and lost[0].why else ""
    return f"needs at least one {step}, and none of {len(lost)} delivered{cause}"


def _because(step: str, lost: Node) -> str:
    """The first cause: what was skipped in its turn only passes on why."""
    if lost.state is SubtaskState.SKIPPED and lost.why:
        return lost.why
    return f"needs {step}, which is {lost.state}: {lost.why}".rstrip(": ")
