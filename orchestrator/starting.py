"""Starting: a node whose needs are met gets its handoff, or its question is put before a person."""

from typing import Any

from contracts.failures import Code
from contracts.handoffs import Handoff
from contracts.purposes import Purpose
from contracts.states import SubtaskState
from orchestrator.batch import Batch
from orchestrator.deciders import fitting, packets
from orchestrator.deciders.handing import Refused, compose, targets_read
from orchestrator.deciders.nodes import Node, current
from orchestrator.deciders.progress import Start
from orchestrator.deciders.repeating import key_of
from orchestrator.deciders.stopping import subtask_stop_at
from orchestrator.ledger.events import Event, EventKind
from orchestrator.marking import bury, move
from orchestrator.purses import scope_of
from orchestrator.questions import question
from orchestrator.vendor_batches import scope_of as scope_of_batch
from orchestrator.views import JobView


def start_node(view: JobView, start: Start, batch: Batch) -> None:
    """Hands a node over to dispatch or to a person, or ends it where a gate or its size forbids it."""
    node = start.node
    if view.workflow.steps[node.step].approval:
        _ask(view, node, batch)
        return
    handed = compose(view.facts, view.catalog, view.workflow, node, view.nodes, view.origin, start.missing)
    if isinstance(handed, Refused):
        _refuse(view, node, handed, batch)
        return
    misfit = fitting.misfit(handed, view.catalog)
    if misfit:
        bury(view, node, Code.TOO_LARGE, misfit, batch)
        return
    _make_ready(view, node, handed, batch)


def columns_of(handed: Handoff) -> dict[str, Any]:
    """What a subtask's row says of its handoff, for dispatch and for whoever is independent of its vendor."""
    route = handed.route
    return {
        "handoff": handed.model_dump(mode="json", exclude_defaults=True),
        "vendor": route.vendor if route else None,
        "budget": scope_of(route.vendor, route.group) if route else None,
        "model": route.model if route else None,
        "most_output_tokens": route.max_output_tokens if route else 0,
        "reserve_input_tokens": fitting.input_tokens(handed) if route else 0,
    }


def _make_ready(view: JobView, node: Node, handed: Handoff, batch: Batch) -> None:
    lane, route = view.catalog.lanes[handed.assignment.lane], handed.route
    target = targets_read(view.facts, view.workflow).get(node.step)
    read = None if target is None else view.versions.get(target, 0)
    # What is sealed is revealed with its siblings of this job, and not before; what is replayed is made anew.
    sealed, replayed = bool(view.workflow.steps[node.step].sealed_with), view.row.replay_of is not None
    repeats = lane.repeatable and not sealed and not replayed
    move(
        view,
        node,
        SubtaskState.READY,
        "what it needs has delivered",
        batch,
        **columns_of(handed),
        reserve_output_tokens=lane.model.expected_output_tokens if lane.model else 0,
        repeat_key=key_of(handed, lane.revision) if repeats else None,
        repeat_within_seconds=lane.repeatable_for_hours * 3600 if repeats else 0.0,
        batch_scope=None if repeats else _batch_scope(view, handed),
        allowed_seconds=lane.deadline_seconds,
        subject=handed.effect.changes if handed.effect else None,
        built_on=read,
        ready_at=batch.at,
        place=batch.at,
        stop_at=subtask_stop_at(view.workflow.stops, batch.at),
        dependency_seconds=batch.at - node.created_at,
    )
    view.replace(view.node(node.id), vendor=route.vendor if route else None, built_on=read)


def _batch_scope(view: JobView, handed: Handoff) -> str | None:
    """By which batches it may go: maintenance only, as nobody waits for it, and only where lane and vendor allow."""
    model = view.catalog.lanes[handed.assignment.lane].model
    if handed.assignment.purpose is not Purpose.MAINTENANCE or model is None or not model.batch:
        return None
    return scope_of_batch(model.vendor, model.name) if view.catalog.vendors[model.vendor].batch else None


def _refuse(view: JobView, node: Node, refused: Refused, batch: Batch) -> None:
    bury(view, node, Code.GATE_REFUSED, f"{refused.gate}: {refused.why}", batch)
    batch.gate_events.append(
        {
            "at": batch.at,
            "gate": refused.gate,
            "actor": batch.actor,
            "attempted": f"start {node.step}",
            "result": "blocked",
            "reason": refused.why,
            "job_id": view.row.id,
            "subtask_id": node.id,
        }
    )


def _ask(view: JobView, node: Node, batch: Batch) -> None:
    """Parks the node and puts its question before a person."""
    asked = view.workflow.steps[node.step].approval
    assert asked is not None
    subject = current(view.nodes, asked.of)[0]
    assert subject.delivered is not None
    move(view, node, SubtaskState.PARKED, f"asks a person: {asked.question}", batch)
    digest = subject.delivered.output.digest
    packet = packets.packet(view.workflow, node, subject, view.nodes, view.facts.replaces)
    batch.approvals.append(question(view.row, node.id, digest, packet, batch.at, asked.expires_hours))
    batch.events.append(
        Event(
            at=batch.at,
            kind=EventKind.APPROVAL_ASKED,
            actor=batch.actor,
            job_id=view.row.id,
            subtask_id=node.id,
            sentence=asked.question,
        )
    )
