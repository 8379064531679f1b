"""Repeating: which questions are the same, and which answers are good to be given again."""

import json

from contracts.artifacts import digest_of
from contracts.handoffs import Handoff
from contracts.states import SubtaskState
from contracts.workflows import Workflow
from orchestrator.deciders.joining import needed
from orchestrator.deciders.nodes import Node

OF_ONE_JOB = {
    "assignment": {"job", "subtask", "name", "step", "purpose", "portfolio"},
    "route": {"account", "group", "timeout_seconds"},
}
"""What a handoff says of whose work this is and who pays for it; no answer depends on it."""


def key_of(handoff: Handoff, revision: int) -> str | None:
    """The same for the same question, on the same material, of the same tenant, to the same lane and model;
    `revision` is the lane's. None where something was tried before, since that must not be answered as it was,
    and where no model is asked."""
    if handoff.tried or handoff.route is None:
        return None
    content = handoff.model_dump(mode="json", exclude=OF_ONE_JOB)
    del content["manifest"]  # it only says what the rest does
    return digest_of(json.dumps([revision, content], sort_keys=True).encode())


def stands(workflow: Workflow, nodes: list[Node], answered: Node) -> bool:
    """Whether the answer is accepted and nothing in its own job spoke against it later: no other round was asked
    for, and no subtask that was given it died, was sent back or was skipped."""
    if answered.state is not SubtaskState.DONE or answered.delivered is None:
        return False
    asked_again = any(
        node.step == answered.step and node.item == answered.item and node.round > answered.round
        for node in nodes
    )
    failed = (node for node in nodes if node.state in (SubtaskState.DEAD, SubtaskState.SKIPPED))
    return not asked_again and not any(_given(workflow, nodes, node, answered) for node in failed)


def _given(workflow: Workflow, nodes: list[Node], node: Node, answered: Node) -> bool:
    needs = workflow.steps[node.step].needs
    return answered.step in needs and answered in needed(workflow, node.step, node.item, answered.step, nodes)
