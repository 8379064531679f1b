"""Views: one job with everything that its deciders need, read with a few statements for many jobs."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, select

from contracts.catalog import Catalog
from contracts.handoffs import Handoff
from contracts.reports import Summary
from contracts.states import JobState, SubtaskState
from contracts.workflows import Workflow
from orchestrator import effects
from orchestrator.deciders.handing import JobFacts, targets_read
from orchestrator.deciders.nodes import Delivered, Node
from orchestrator.deciders.planning import source_of
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.ledger.tables import job, subject, subtask

MAY_HAVE_BEGUN = (
    SubtaskState.READY,
    SubtaskState.DISPATCHED,
    SubtaskState.RUNNING,
    SubtaskState.REPORTED,
    SubtaskState.PARKED,
)
"""In which states a subtask may have begun its effect."""


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
    stopped_why: str = ""
    """The rule that ends it before its result, with its numbers."""
    versions: dict[str, int] = field(default_factory=dict)
    """Of the targets that its effects change, as far as they were ever changed."""
    spent_now: int = 0
    """Nano-dollars of attempts that end in this transaction, which its row has not yet."""
    begun: dict[str, str] = field(default_factory=dict)
    """Subtasks that have begun an effect and not said what came of it, each with a sentence."""

    def replace(self, node: Node, **changes: Any) -> None:
        self.nodes[self.nodes.index(node)] = replace(node, **changes)

    def node(self, subtask_id: str) -> Node:
        return next(node for node in self.nodes if node.id == subtask_id)

    def mapped(self, step: str) -> bool:
        return source_of(self.workflow, step) is not None


def load(connection: Connection, snapshots: Snapshots, job_ids: Iterable[str]) -> dict[str, JobView]:
    """The jobs and their nodes, with five statements for all of them at most."""
    wanted = set(job_ids)
    if not wanted:
        return {}
    # In one order, so that the same story is told the same way in every process.
    rows = connection.execute(select(job).where(job.c.id.in_(wanted)).order_by(job.c.id)).all()
    nodes, summaries = _nodes(connection, wanted | {row.origin for row in rows if row.origin})
    views = {}
    for row in rows:
        catalog = snapshots.get(connection, row.snapshot)
        views[row.id] = JobView(
            row=row,
            facts=JobFacts(
                id=row.id,
                lineage=row.lineage,
                replaces=row.replaces,
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
    _read_versions(connection, views.values())
    _read_begun(connection, views.values())
    return views


def _read_versions(connection: Connection, views: Iterable[JobView]) -> None:
    """Before anything starts that reads them, so that what changes meanwhile is seen to have changed."""
    targets = {view.facts.id: set(targets_read(view.facts, view.workflow).values()) for view in views}
    wanted = set[str]().union(*targets.values())
    if not wanted:
        return
    query = select(subject.c.name, subject.c.version).where(subject.c.name.in_(wanted))
    known = {row.name: row.version for row in connection.execute(query)}
    for view in views:
        view.versions = {name: known[name] for name in targets[view.facts.id] & known.keys()}


def _read_begun(connection: Connection, views: Iterable[JobView]) -> None:
    """So that whatever ends them says so."""
    wanted = {
        node.id: view
        for view in views
        for node in view.nodes
        if view.workflow.steps[node.step].effect and node.state in MAY_HAVE_BEGUN
    }
    if wanted:
        for subtask_id, sentence in effects.begun_by(connection, wanted).items():
            wanted[subtask_id].begun[subtask_id] = sentence


def _nodes(connection: Connection, job_ids: set[str]) -> tuple[dict[str, list[Node]], dict[str, Any]]:
    columns = (
        subtask.c.id,
        subtask.c.job_id,
        subtask.c.step,
        subtask.c.item,
        subtask.c.round,
        subtask.c.state,
        subtask.c.vendor,
        subtask.c.lane,
        subtask.c.summary,
        subtask.c.why,
        subtask.c.created_at,
        subtask.c.sealed_at,
        subtask.c.gate_seconds,
        subtask.c.asks,
        subtask.c.built_on,
        subtask.c.stop_at,
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
            lane=row.lane,
            delivered=delivered(Summary.model_validate(row.summary)) if row.summary else None,
            why=row.why,
            created_at=row.created_at,
            sealed_at=row.sealed_at,
            gate_seconds=row.gate_seconds,
            asks=row.asks,
            built_on=row.built_on,
            stop_at=row.stop_at,
        )
        found.setdefault(row.job_id, []).append(node)
        if row.summary:
            summaries[row.id] = row.summary
    return found, summaries


def delivered(summary: Summary) -> Delivered:
    """What deciders see of a summary."""
    return Delivered(summary.contract, summary.text, summary.output, summary.decision, summary.facts)


def handoff_of(connection: Connection, subtask_id: str) -> Handoff:
    """What its last attempt was handed."""
    kept = connection.execute(select(subtask.c.handoff).where(subtask.c.id == subtask_id)).scalar_one()
    return Handoff.model_validate(kept)
