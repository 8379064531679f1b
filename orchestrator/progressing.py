"""Progressing: asks the deciders what comes next in a job and gathers their answer into a batch."""

from contracts.failures import Code
from contracts.states import SubtaskState
from orchestrator.batch import Batch
from orchestrator.deciders.progress import Progress, not_started, progress
from orchestrator.ending import move_job
from orchestrator.marking import add_nodes, bury, move
from orchestrator.starting import start_node
from orchestrator.views import JobView


def advance_job(view: JobView, batch: Batch) -> None:
    """Gathers every move that is possible in this job now, its own end included."""
    if view.row.cancel_requested_by:
        _cancel(view, batch)
    while found := progress(view.workflow, view.nodes):
        _apply(view, found, batch)
    move_job(view, batch)


def _apply(view: JobView, found: Progress, batch: Batch) -> None:
    for node in found.unseal:
        held = node.gate_seconds + batch.at - (node.sealed_at or batch.at)
        move(view, node, SubtaskState.DONE, "all verdicts are in", batch, gate_seconds=held)
    add_nodes(view, found.plan, found.plan_why, batch)
    for node, why in found.die:
        bury(view, node, Code.OBJECTIONS_STAND, why, batch)
    for node, why in found.skip:
        move(view, node, SubtaskState.SKIPPED, why, batch)
    for node, why in found.cancel:
        move(view, node, SubtaskState.CANCELLED, why, batch)
    for start in found.start:
        start_node(view, start, batch)


def _cancel(view: JobView, batch: Batch) -> None:
    """Takes what no worker holds. A running attempt is told at its next heartbeat, and a report that was not
    applied yet is settled first."""
    why = f"cancelled by {view.row.cancel_requested_by}"
    for node in list(view.nodes):
        if not_started(node) or node.state is SubtaskState.DISPATCHED or node.sealed:
            move(view, node, SubtaskState.CANCELLED, why, batch)
