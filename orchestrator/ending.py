"""Ending: the state of a job as its subtasks leave it, and what upstream is told of its end."""

from typing import Any

from contracts.states import JOB_ENDS, JobState, SubtaskState
from orchestrator.batch import Batch
from orchestrator.deciders.joining import first_cause
from orchestrator.deciders.nodes import current, name_of
from orchestrator.deciders.progress import finished
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.moves import JobMove
from orchestrator.views import JobView


def move_job(view: JobView, batch: Batch) -> None:
    """Moves the job to the state that its subtasks leave it in, its end and what upstream hears included."""
    old = view.state
    if old in JOB_ENDS or old is JobState.ACCEPTED:
        return
    new, why = _job_state(view)
    if new is old:
        return
    if (old, new) == (JobState.AWAITING_APPROVAL, JobState.DONE):
        batch.job_moves.append(JobMove(view.row.id, old, JobState.RUNNING, "the person answered"))
        old = JobState.RUNNING
    result = None
    if new is JobState.DONE:
        delivered = current(view.nodes, view.workflow.result)
        result = view.summaries.get(delivered[0].id) if delivered else None
    batch.job_moves.append(JobMove(view.row.id, old, new, why, {"result": result}))
    view.state = new
    if new in JOB_ENDS and view.row.callback_url:
        batch.webhooks.append(webhook_of(view.row, new, why, batch.at))


def _job_state(view: JobView) -> tuple[JobState, str]:
    result = current(view.nodes, view.workflow.result)
    if not finished(view.nodes):
        parked = [node for node in view.nodes if node.state is SubtaskState.PARKED]
        if any(view.workflow.steps[node.step].approval or node.asks for node in parked):
            return JobState.AWAITING_APPROVAL, "a person is asked"
        return JobState.RUNNING, "under way"
    if all(node.state is SubtaskState.DONE for node in result):
        if not result:
            return (
                JobState.DONE,
                f"nothing was to be done: {view.workflow.result} is mapped over an empty list",
            )
        return JobState.DONE, result[0].delivered.text if result[0].delivered else "done"
    if view.row.cancel_requested_by:
        return JobState.CANCELLED, f"cancelled by {view.row.cancel_requested_by}"
    if view.stopped_why:
        return JobState.FAILED, view.stopped_why
    cause = first_cause(view.workflow, result[0], view.nodes)
    name = name_of(cause.step, cause.item, cause.round, view.mapped(cause.step))
    return JobState.FAILED, f"{name}: {cause.why}"


def webhook_of(row: Any, state: JobState, why: str, at: float) -> dict[str, Any]:
    """What upstream is told of the end of the job in this row."""
    return {
        "id": new_id(),
        "job_id": row.id,
        "tenant": row.tenant,
        "url": row.callback_url,
        "body": {
            "type": f"job.{state.value}",
            "data": {"job": row.id, "workflow": row.workflow, "state": state.value, "why": why},
        },
        "next_at": at,
    }
