"""Packets: what a person is shown when asked, so that one look is enough to decide."""

from typing import Any

from contracts.handoffs import Handoff
from contracts.states import SubtaskState
from contracts.verdicts import Decision
from contracts.workflows import Workflow
from orchestrator.deciders.nodes import Node, current, name_of
from orchestrator.deciders.planning import source_of
from orchestrator.deciders.revising import AnotherRound, after_person

APPROVE = "approve: goes on with exactly this digest"
REVISE = "revise: back to its author with your comment, and through all reviews again"
TRY_AGAIN = "approve: one more try, which is told your comment"
TAKES_DOWN = "what job {} published is marked as wrong, and goes when this takes its place"
GIVE_UP = "reject: no more tries, kept as a dead letter"
REJECT = "reject: ends the job, kept as a dead letter"


def packet(
    workflow: Workflow, asking: Node, subject: Node, nodes: list[Node], replaces: str | None = None
) -> dict[str, Any]:
    """Recommendation, evidence, state, what was tried and the alternatives, as plain JSON; `replaces` is the job in
    whose place this one's effects would stand."""
    asked = workflow.steps[asking.step].approval
    assert asked is not None and subject.delivered is not None
    verdicts = _verdicts(workflow, nodes)
    may_revise = isinstance(after_person(workflow, asking.step, nodes, ""), AnotherRound)
    return {
        "question": asked.question,
        **({"asked again": asking.why} if asking.round > 1 and asking.why else {}),
        **({"takes down": TAKES_DOWN.format(replaces)} if replaces else {}),
        "recommendation": _recommendation(verdicts, _silent(workflow, nodes)),
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
        "alternatives": [APPROVE, REVISE, REJECT] if may_revise else [APPROVE, REJECT],
        "may_revise": may_revise,
    }


def packet_of_try(workflow: Workflow, question: str, handoff: Handoff, nodes: list[Node]) -> dict[str, Any]:
    """What a person is shown on a rung of a ladder that asks one: what was tried, how, and what came of it."""
    return {
        "question": question,
        "of": "one more try",
        "recommendation": f"nothing of {len(handoff.tried)} tries stands; allow one more only with a note that helps",
        "subproblem": handoff.subproblem,
        "success": list(handoff.success),
        "state": _state(workflow, nodes),
        "tried": [
            each.model_dump(
                mode="json", include={"sentence", "parameters", "kept", "artifact"}, exclude_defaults=True
            )
            for each in handoff.tried
        ],
        "alternatives": [TRY_AGAIN, GIVE_UP],
        "may_revise": False,
    }


def _verdicts(workflow: Workflow, nodes: list[Node]) -> list[Node]:
    """The verdicts that count and are open; a sealed one is nobody's to read yet."""
    return [
        node
        for step in workflow.steps
        for node in current(nodes, step)
        if node.delivered and node.delivered.decision and not node.sealed
    ]


def _silent(workflow: Workflow, nodes: list[Node]) -> list[str]:
    """The reviewers to whom a step listens, as far as they have given no verdict."""
    heard = {name for step in workflow.steps.values() if step.revise for name in step.revise.objections_of}
    return [
        _named(workflow, node)
        for step in workflow.steps
        if step in heard
        for node in current(nodes, step)
        if node.state is not SubtaskState.DONE
    ]


def _recommendation(verdicts: list[Node], silent: list[str]) -> str:
    objections = [
        f"{_reviewer(node)} {node.delivered.text}"
        for node in verdicts
        if node.delivered and node.delivered.decision is not Decision.APPROVE
    ]
    if objections:
        return f"do not approve: {'; '.join(objections)}"
    if silent:
        return f"do not approve yet: no verdict of {', '.join(silent)}"
    if not verdicts:
        return "no reviewer was asked"
    return f"approve: {', '.join(_reviewer(node) for node in verdicts)} raise no objection"


def _reviewer(node: Node) -> str:
    return f"{node.step} ({node.vendor})" if node.vendor else node.step


def _state(workflow: Workflow, nodes: list[Node]) -> str:
    lost = [n for n in nodes if n.ended and n.state not in (SubtaskState.DONE, SubtaskState.CANCELLED)]
    done = sum(node.state is SubtaskState.DONE for node in nodes)
    without = f"; went on without {', '.join(_named(workflow, n) for n in lost)}" if lost else ""
    return f"{done} of {len(nodes)} subtasks done{without}"


def _round(nodes: list[Node], step: str) -> int:
    return max(node.round for node in nodes if node.step == step)


def _named(workflow: Workflow, node: Node) -> str:
    return name_of(node.step, node.item, node.round, source_of(workflow, node.step) is not None)
