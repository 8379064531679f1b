"""Progressing: asks the deciders what comes next in a job and gathers their answer into a batch."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select

from contracts.catalog import Catalog
from contracts.failures import CATEGORY_OF, Code
from contracts.handoffs import Handoff, Tried
from contracts.reports import Summary
from contracts.states import JOB_ENDS, JobState, SubtaskState
from contracts.workflows import Workflow
from orchestrator.batch import Batch
from orchestrator.deciders import fitting, packets
from orchestrator.deciders.handing import JobFacts, Refused, compose, purpose_of
from orchestrator.deciders.nodes import Delivered, Node, Planned, current, name_of
from orchestrator.deciders.planning import source_of
from orchestrator.deciders.progress import Progress, Start, finished, not_started, progress
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.moves import JobMove, SubtaskMove
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.ledger.tables import job, subtask


@dataclass
class JobView:
    """One job with everything its deciders need."""

    row: Any
    facts: JobFacts
    catalog: Catalog
    workflow: Workflow
    nodes: list[Node]
    origin: list[Node]
    summaries: dict[str, Any]
    """Accepted summaries by subtask, as kept."""
    state: JobState

    def replace(self, node: Node, **changes: Any) -> None:
        self.nodes[self.nodes.index(node)] = replace(node, **changes)

    def node(self, subtask_id: str) -> Node:
        return next(node for node in self.nodes if node.id == subtask_id)

    def mapped(self, step: str) -> bool:
        return source_of(self.workflow, step) is not None


def load(connection: Connection, snapshots: Snapshots, job_ids: Iterable[str]) -> dict[str, JobView]:
    """The jobs and their nodes, with three statements for all of them."""
    wanted = set(job_ids)
    if not wanted:
        return {}
    rows = connection.execute(select(job).where(job.c.id.in_(wanted))).all()
    nodes, summaries = _nodes(connection, wanted | {row.origin for row in rows if row.origin})
    views = {}
    for row in rows:
        catalog = snapshots.get(connection, row.snapshot)
        views[row.id] = JobView(
            row=row,
            facts=JobFacts(
                id=row.id,
                tenant=row.tenant,
                portfolio=row.portfolio,
                purpose=row.purpose,
                inputs=row.inputs,
            ),
            catalog=catalog,
            workflow=catalog.workflows[row.workflow],
            nodes=nodes.get(row.id, []),
            origin=nodes.get(row.origin, []),
            summaries=summaries,
            state=JobState(row.state),
        )
    return views


def _nodes(connection: Connection, job_ids: set[str]) -> tuple[dict[str, list[Node]], dict[str, Any]]:
    columns = (
        subtask.c.id,
        subtask.c.job_id,
        subtask.c.step,
        subtask.c.item,
        subtask.c.round,
        subtask.c.state,
        subtask.c.vendor,
        subtask.c.summary,
        subtask.c.why,
        subtask.c.created_at,
        subtask.c.sealed_at,
    )
    summaries: dict[str, Any] = {}
    found: dict[str, list[Node]] = {}
    for row in connection.execute(
        select(*columns).where(subtask.c.job_id.in_(job_ids)).order_by(subtask.c.id)
    ):
        node = Node(
            id=row.id,
            step=row.step,
            item=row.item,
            round=row.round,
            state=SubtaskState(row.state),
            vendor=row.vendor,
            delivered=delivered(Summary.model_validate(row.summary)) if row.summary else None,
            why=row.why,
            created_at=row.created_at,
            sealed_at=row.sealed_at,
        )
        found.setdefault(row.job_id, []).append(node)
        if row.summary:
            summaries[row.id] = row.summary
    return found, summaries


def delivered(summary: Summary) -> Delivered:
    """What deciders see of a summary."""
    return Delivered(summary.contract, summary.text, summary.output, summary.decision)


def advance_job(view: JobView, batch: Batch) -> None:
    """Gathers every move that is possible in this job now, its own end included."""
    if view.row.cancel_requested_by:
        _cancel(view, batch)
    while found := progress(view.workflow, view.nodes):
        _apply(view, found, batch)
    _move_job(view, batch)


def add_nodes(view: JobView, planned: Iterable[Planned], why: str, batch: Batch) -> None:
    """New subtasks, waiting for what they need."""
    for plan in planned:
        step = view.workflow.steps[plan.step]
        node = Node(new_id(), plan.step, plan.item, plan.round, SubtaskState.WAITING, created_at=batch.at)
        view.nodes.append(node)
        batch.subtasks.append(
            {
                "id": node.id,
                "job_id": view.row.id,
                "tenant": view.row.tenant,
                "step": node.step,
                "item": node.item,
                "round": node.round,
                "name": name_of(node.step, node.item, node.round, view.mapped(node.step)),
                "lane": step.lane,
                "purpose": purpose_of(view.facts.purpose, step, node.round),
                "priority": view.row.priority,
                "state": node.state,
                "why": why,
                "created_at": batch.at,
            }
        )
        batch.events.append(
            Event(
                at=batch.at,
                kind=EventKind.SUBTASK_MOVED,
                actor=batch.actor,
                job_id=view.row.id,
                subtask_id=node.id,
                new=node.state,
                sentence=why,
            )
        )


def move(view: JobView, node: Node, new: SubtaskState, why: str, batch: Batch, **sets: Any) -> None:
    """One move of a node, in the view and in the batch."""
    batch.moves.append(SubtaskMove(node.id, view.row.id, node.state, new, why, sets))
    view.replace(node, state=new, why=why)


def bury(view: JobView, node: Node, code: Code, why: str, batch: Batch, **sets: Any) -> None:
    """A node ends as a dead letter."""
    move(view, node, SubtaskState.DEAD, why, batch, **sets)
    batch.dead_letters.append(
        {
            "subtask_id": node.id,
            "job_id": view.row.id,
            "tenant": view.row.tenant,
            "lane": view.workflow.steps[node.step].lane,
            "category": CATEGORY_OF[code],
            "code": code,
            "sentence": why,
            "at": batch.at,
        }
    )


def handoff_with(connection: Connection, subtask_id: str, tried: Tried) -> dict[str, Any]:
    """The handoff of the next try: everything of the last one, and what came of that."""
    kept = connection.execute(select(subtask.c.handoff).where(subtask.c.id == subtask_id)).scalar_one()
    handoff = Handoff.model_validate(kept)
    told = handoff.model_copy(update={"tried": (*handoff.tried, tried)})
    return told.model_dump(mode="json", exclude_defaults=True)


def _apply(view: JobView, found: Progress, batch: Batch) -> None:
    for node in found.unseal:
        held = batch.at - (node.sealed_at or batch.at)
        move(view, node, SubtaskState.DONE, "all verdicts are in", batch, gate_seconds=held)
    add_nodes(view, found.plan, found.plan_why, batch)
    for node, why in found.die:
        bury(view, node, Code.OBJECTIONS_STAND, why, batch)
    for node, why in found.skip:
        move(view, node, SubtaskState.SKIPPED, why, batch)
    for node, why in found.cancel:
        move(view, node, SubtaskState.CANCELLED, why, batch)
    for start in found.start:
        _start(view, start, batch)


def _start(view: JobView, start: Start, batch: Batch) -> None:
    node = start.node
    if view.workflow.steps[node.step].approval:
        _ask(view, node, batch)
        return
    handed = compose(view.facts, view.catalog, view.workflow, node, view.nodes, view.origin, start.missing)
    if isinstance(handed, Refused):
        _refuse(view, node, handed, batch)
        return
    tokens = fitting.input_tokens(handed)
    lane = view.catalog.lanes[handed.assignment.lane]
    if lane.model and tokens > fitting.room(lane, view.catalog):
        why = f"about {tokens} tokens, and {lane.model.name} takes {fitting.room(lane, view.catalog)}"
        bury(view, node, Code.TOO_LARGE, why, batch)
        return
    _make_ready(view, node, handed, tokens, batch)


def _make_ready(view: JobView, node: Node, handed: Handoff, tokens: int, batch: Batch) -> None:
    lane, route = view.catalog.lanes[handed.assignment.lane], handed.route
    move(
        view,
        node,
        SubtaskState.READY,
        "what it needs has delivered",
        batch,
        handoff=handed.model_dump(mode="json", exclude_defaults=True),
        vendor=route.vendor if route else None,
        budget=f"{route.vendor}/{route.account}/{route.group}" if route else None,
        reserve_input_tokens=tokens if route else 0,
        reserve_output_tokens=lane.model.expected_output_tokens if lane.model else 0,
        allowed_seconds=lane.deadline_seconds,
        ready_at=batch.at,
        dependency_seconds=batch.at - node.created_at,
    )
    view.replace(view.node(node.id), vendor=route.vendor if route else None)


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
    approval_id = new_id()
    batch.approvals.append(
        {
            "id": approval_id,
            "subtask_id": node.id,
            "job_id": view.row.id,
            "tenant": view.row.tenant,
            "requested_by": view.row.requested_by,
            "digest": subject.delivered.output.digest,
            "packet": packets.packet(view.workflow, node, subject, view.nodes),
            "state": "waiting",
            "asked_at": batch.at,
            "expires_at": batch.at + asked.expires_hours * 3600,
        }
    )
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


def _cancel(view: JobView, batch: Batch) -> None:
    """Takes what no worker holds. A running attempt is told at its next heartbeat, and a report that was not
    applied yet is settled first."""
    why = f"cancelled by {view.row.cancel_requested_by}"
    for node in list(view.nodes):
        if not_started(node) or node.state is SubtaskState.DISPATCHED or node.sealed:
            move(view, node, SubtaskState.CANCELLED, why, batch)


def _move_job(view: JobView, batch: Batch) -> None:
    old = view.state
    if old in JOB_ENDS or not view.nodes:
        return
    new, why = _job_state(view)
    if new is old:
        return
    if (old, new) == (JobState.AWAITING_APPROVAL, JobState.DONE):
        batch.job_moves.append(JobMove(view.row.id, old, JobState.RUNNING, "the person answered"))
        old = JobState.RUNNING
    result = None
    if new is JobState.DONE:
        result = view.summaries.get(current(view.nodes, view.workflow.result)[0].id)
    batch.job_moves.append(JobMove(view.row.id, old, new, why, {"result": result}))
    view.state = new
    if new in JOB_ENDS and view.row.callback_url:
        batch.webhooks.append(webhook_of(view.row, new, why, batch.at))


def _job_state(view: JobView) -> tuple[JobState, str]:
    result = current(view.nodes, view.workflow.result)
    if not finished(view.nodes):
        parked = any(n.state is SubtaskState.PARKED for n in view.nodes)
        if parked:
            return JobState.AWAITING_APPROVAL, "a person is asked"
        return JobState.RUNNING, "under way"
    if all(node.state is SubtaskState.DONE for node in result):
        return JobState.DONE, result[0].delivered.text if result[0].delivered else "done"
    if view.row.cancel_requested_by:
        return JobState.CANCELLED, f"cancelled by {view.row.cancel_requested_by}"
    dead = [node for node in view.nodes if node.state is SubtaskState.DEAD]
    cause = dead[0] if dead else result[0]
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
