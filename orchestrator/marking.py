"""Marking: what was decided of a job's subtasks, noted in its view and in the batch that writes it."""

from collections.abc import Iterable
from typing import Any

from contracts.failures import CATEGORY_OF, Code
from contracts.states import SubtaskState
from orchestrator.batch import Batch
from orchestrator.deciders.handing import purpose_of
from orchestrator.deciders.nodes import Node, Planned, name_of
from orchestrator.deciders.signing import normalised, signature
from orchestrator.effects import SETTLE
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.moves import SubtaskMove
from orchestrator.views import JobView


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
    """A node ends as a dead letter, which says what it may have changed."""
    begun = view.begun.get(node.id)
    if begun and SETTLE not in why:
        why = f"{why}; {begun}"
    move(view, node, SubtaskState.DEAD, why, batch, **sets)
    lane, category, alike = (
        node.lane or view.workflow.steps[node.step].lane,
        CATEGORY_OF[code],
        normalised(why),
    )
    batch.dead_letters.append(
        {
            "subtask_id": node.id,
            "job_id": view.row.id,
            "tenant": view.row.tenant,
            "lane": lane,
            "category": category,
            "code": code,
            "vendor": node.vendor,
            "sentence": why,
            "normalised": alike,
            "signature": signature(category, code, lane, node.vendor, alike),
            "at": batch.at,
        }
    )
