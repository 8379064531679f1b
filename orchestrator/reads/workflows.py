"""Workflows: what upstream may ask for, and which inputs each takes."""

from typing import Any

from contracts.catalog import Catalog
from contracts.registry import contract
from contracts.workflows import Workflow
from orchestrator.reads.base import Read


class WorkflowRead(Read):
    """A workflow that jobs may name."""

    workflow: str
    revision: int
    title: str
    inputs: str
    """The contract of its inputs."""
    inputs_schema: dict[str, Any]
    """The same as a JSON schema."""
    result: str
    """The step whose summary is the job's result."""
    steps: tuple[str, ...]
    enforced: tuple[str, ...] = ()
    """Where a job of it ends by itself, a sentence each."""


def workflows(catalog: Catalog) -> tuple[WorkflowRead, ...]:
    """All workflows that are open to upstream, by name; those of the clock are left out."""
    return tuple(
        _read(catalog.workflows[name])
        for name in sorted(catalog.workflows)
        if not catalog.workflows[name].internal
    )


def _read(workflow: Workflow) -> WorkflowRead:
    return WorkflowRead(
        workflow=workflow.workflow,
        revision=workflow.revision,
        title=workflow.title,
        inputs=workflow.inputs,
        inputs_schema=contract(workflow.inputs).model_json_schema(),
        result=workflow.result,
        steps=tuple(workflow.steps),
        enforced=workflow.stops.enforced(),
    )
