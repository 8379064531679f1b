"""Packets: what a person is shown when asked, so that one look is enough to decide."""

from typing import Any

from contracts.states import SubtaskState
from contracts.workflows import Workflow
from orchestrator.deciders.nodes import Node, current, name_of
from orchestrator.deciders.planning import source_of


def packet(workflow: Workflow, asking: Node, subject: Node, nodes: list[Node]) -> dict[str, Any]:
    """Recommendation, evidence, state, what was tried and the alternatives, as plain JSON."""
    asked = workflow.steps[asking.step].approval
    assert asked is not None and subject.delivered is not None
    verdicts = [
        n for step in workflow.steps for n in current(nodes, step) if n.delivered and n.delivered.decision
    ]
    return {
        "question": asked.question,
        "recommendation": _recommendation(verdicts),
        "subject": {
            "step": subject.step,
            "text": subject.delivered.text,
            "contract": subject.delivered.contract,
            "artifact": subject.delivered.output.model_dump(mode="json"),
        },
        "evidence": [
            {
                "step": node.step,
                "vendor": node.vendor,
                "text": node.delivered.text,
                "artifact": node.delivered.output.model_dump(mode="json"),
            }
            for node in verdicts
            if node.delivered
        ],
        "state": _state(workflow, nodes),
        "tried": [
            f"{_named(workflow, node)}: {node.delivered.text}"
            for node in nodes
            if node.delivered and node.round < _round(nodes, node.step)
        ],
        "alternatives": [
            "approve: goes on with exactly this digest",
            "revise: back to its author with your comment, and through all reviews again",
            "reject: ends the job, kept as a dead letter",
        ],
    }


def _recommendation(verdicts: list[Node]) -> str:
    names = ", ".join(f"{node.step} ({node.vendor})" for node in verdicts)
    return f"approve: {names} raise no objection" if verdicts else "no reviewer was asked"


def _state(workflow: Workflow, nodes: list[Node]) -> str:
    lost = [n for n in nodes if n.ended and n.state not in (SubtaskState.DONE, SubtaskState.CANCELLED)]
    done = sum(node.state is SubtaskState.DONE for node in nodes)
    without = f"; went on without {', '.join(_named(workflow, n) for n in lost)}" if lost else ""
    return f"{done} of {len(nodes)} subtasks done{without}"


def _round(nodes: list[Node], step: str) -> int:
    return max(node.round for node in nodes if node.step == step)


def _named(workflow: Workflow, node: Node) -> str:
    return name_of(node.step, node.item, node.round, source_of(workflow, node.step) is not None)
