"""Progressing: asks the deciders what comes next in a job and gathers their answer into a batch."""

from contracts.failures import Code
from contracts.states import SubtaskState
from orchestrator.batch import Batch
from orchestrator.deciders.nodes import Node, current
from orchestrator.deciders.progress import Progress, not_started, progress
from orchestrator.deciders.stopping import Clocks, Stop, aged, overgrown, stopped
from orchestrator.ending import move_job
from orchestrator.marking import add_nodes, bury, move
from orchestrator.starting import start_node
from orchestrator.views import JobView


def advance_job(view: JobView, batch: Batch) -> None:
    """Gathers every move that is possible in this job now, its own end included."""
    stop = None
    if view.row.cancel_requested_by:
        _cancel(view, batch)
    else:
        _end_aged(view, batch)
        stop = stopped(view.workflow.stops, _clocks(view), batch.at)
        if stop:
            _stop(view, stop, batch)
    while found := progress(view.workflow, view.nodes):
        refused = found.plan and (stop or overgrown(view.workflow, view.nodes, found.plan))
        if refused:
            _stop(view, refused, batch)
            break
        _apply(view, found, batch)
    move_job(view, batch)


def _clocks(view: JobView) -> Clocks:
    return Clocks(view.row.created_at, view.row.deadline, view.row.spent_nano_usd + view.spent_now)


def _apply(view: JobView, found: Progress, batch: Batch) -> None:
    for node in found.unseal:
        held = node.gate_seconds + batch.at - (node.sealed_at or batch.at)
        move(view, node, SubtaskState.DONE, "all verdicts are in", batch, gate_seconds=held)
    add_nodes(view, found.plan, found.plan_why, batch)
    for node, why in found.die:
        bury(view, node, Code.OBJECTIONS_STAND, why, batch)
    for node, why in found.starve:
        bury(view, node, Code.NO_EVIDENCE, why, batch)
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
        if _can_end(node):
            move(view, node, SubtaskState.CANCELLED, why, batch)


def _end_aged(view: JobView, batch: Batch) -> None:
    for node in list(view.nodes):
        why = aged(view.workflow.stops, node, batch.at)
        if why:
            bury(view, node, Code.STOPPED, why, batch)


def _stop(view: JobView, stop: Stop, batch: Batch) -> None:
    """Ends what no worker holds, the first of it as the one dead letter that says why. A report that was not
    applied yet is settled first, and what runs is taken back or finishes."""
    why = stop.why(view.workflow, view.nodes)
    letter = next((node for node in view.nodes if _tells(node, stop)), None)
    view.stopped_why = letter.why if letter else why
    delivered = all(node.state is SubtaskState.DONE for node in current(view.nodes, view.workflow.result))
    open_ = sorted(filter(_can_end, view.nodes), key=lambda node: node.state is SubtaskState.WAITING)
    if open_ and letter is None and not delivered:
        _bury_first(view, open_.pop(0), stop.code, why, batch)
    for node in open_:
        move(view, node, SubtaskState.CANCELLED, why, batch)


def _bury_first(view: JobView, node: Node, code: Code, why: str, batch: Batch) -> None:
    if node.state is SubtaskState.DISPATCHED:
        move(view, node, SubtaskState.READY, why, batch, ready_at=batch.at)
        node = view.node(node.id)
    bury(view, node, code, why, batch)


def _tells(node: Node, stop: Stop) -> bool:
    return node.state is SubtaskState.DEAD and stop.told_in(node.why)


def _can_end(node: Node) -> bool:
    return not_started(node) or node.state is SubtaskState.DISPATCHED or node.sealed
