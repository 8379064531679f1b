"""Planning: from a workflow and a job's inputs to the subtasks of the first round."""

from typing import Any

from contracts.workflows import Workflow
from orchestrator.deciders.nodes import Planned


def plan(workflow: Workflow, inputs: dict[str, Any]) -> list[Planned]:
    """Every subtask of the first round; mapped steps have one per item."""
    return [
        Planned(step=name, item=item, round=1)
        for name in workflow.steps
        for item in range(items_of(workflow, name, inputs))
    ]


def source_of(workflow: Workflow, step: str) -> str | None:
    """The inputs field over which a step is mapped in the end, or None where it is not mapped."""
    over = workflow.steps[step].for_each
    while over is not None and not over.startswith("inputs."):
        over = workflow.steps[over].for_each
    return over.removeprefix("inputs.") if over else None


def items_of(workflow: Workflow, step: str, inputs: dict[str, Any]) -> int:
    """How many subtasks a step has in one round."""
    source = source_of(workflow, step)
    return len(inputs[source]) if source else 1
