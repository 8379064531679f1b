"""Answers: what people said about what they were asked becomes moves."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from contracts.failures import Code
from contracts.states import SubtaskState
from orchestrator import taints
from orchestrator.aside import Aside
from orchestrator.batch import Batch
from orchestrator.deciders.nodes import Node, current
from orchestrator.deciders.revising import AnotherRound, RoundsExhausted, after_person
from orchestrator.deciders.stopping import overgrown
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.leadership import Leadership
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.ledger.tables import approval, subtask
from orchestrator.marking import add_nodes, bury, move
from orchestrator.progressing import advance_job
from orchestrator.questions import ASKING
from orchestrator.recovering import try_once_more
from orchestrator.views import JobView, load

ACTOR = "orchestrator.answers"
BATCH = 50


class Answerer:
    """The verb that hears people."""

    def __init__(self, leadership: Leadership, snapshots: Snapshots) -> None:
        self._leadership = leadership
        self._snapshots = snapshots
        self._aside = Aside(leadership, ACTOR)

    def run(self) -> int:
        """Applies a batch of answers and lapses, and says how many; where it raises, job by job."""
        return self._aside.run(self._hear, self._waiting)

    def _waiting(self) -> set[str]:
        """The jobs for which an answer is there."""
        with self._leadership.decide() as (connection, at):
            return {
                row.job_id for row in _answered(connection, at, self._aside.among(approval.c.job_id, None))
            }

    def _hear(self, only: str | None) -> int:
        with self._leadership.decide() as (connection, at):
            rows = _answered(connection, at, self._aside.among(approval.c.job_id, only))
            if not rows:
                return 0
            views = load(connection, self._snapshots, {row.job_id for row in rows})
            batch = Batch(at, ACTOR)
            for row in rows:
                _apply(connection, row, views[row.job_id], batch)
            for view in views.values():
                advance_job(view, batch)
            batch.write(connection)
            taints.pass_on(connection, views, at, ACTOR)
            return len(rows)


def _answered(connection: Connection, at: float, among: ColumnElement[bool]) -> list[Any]:
    """Locked, since a question that lapses now may be answered at this very moment."""
    query = (
        select(approval)
        .join(subtask, subtask.c.id == approval.c.subtask_id)
        .where(
            subtask.c.state == SubtaskState.PARKED,
            ASKING,
            (approval.c.state != "waiting") | (approval.c.expires_at < at),
            among,
        )
        .order_by(approval.c.asked_at)
        .limit(BATCH)
        .with_for_update(of=approval)
    )
    return list(connection.execute(query))


def _apply(connection: Connection, row: Any, view: JobView, batch: Batch) -> None:
    node = view.node(row.subtask_id)
    waited = {"human_seconds": (row.answered_at or batch.at) - row.asked_at}
    match row.state:
        case "approved" if node.asks:
            try_once_more(connection, view, node, row, batch, **waited)
        case "approved":
            _approve(view, node, row, batch, waited)
        case "rejected":
            why = f"rejected by {row.answered_by}: {row.comment or 'no comment'}"
            bury(view, node, Code.REJECTED, why, batch, **waited)
        case "revise":
            _revise(view, node, row, batch, waited)
        case _:
            _lapse(connection, view, node, row, batch, waited)


def _approve(view: JobView, node: Node, row: Any, batch: Batch, waited: dict[str, float]) -> None:
    """The approval delivers exactly what was approved."""
    asked = view.workflow.steps[node.step].approval
    assert asked is not None
    subject = current(view.nodes, asked.of)[0]
    kept = view.summaries[subject.id] | {"text": f"approved by {row.answered_by}"}
    move(view, node, SubtaskState.DONE, f"approved by {row.answered_by}", batch, summary=kept, **waited)
    assert subject.delivered is not None
    view.summaries[node.id] = kept
    view.replace(view.node(node.id), delivered=subject.delivered)


def _revise(view: JobView, node: Node, row: Any, batch: Batch, waited: dict[str, float]) -> None:
    wish = f"{row.answered_by} asks for a revision: {row.comment}"
    match after_person(view.workflow, node.step, view.nodes, row.comment):
        case AnotherRound(planned=planned) if stop := overgrown(view.workflow, view.nodes, planned):
            bury(view, node, stop.code, f"{wish}; {stop.why(view.workflow, view.nodes)}", batch, **waited)
        case AnotherRound(planned=planned, why=why):
            move(view, node, SubtaskState.SKIPPED, wish, batch, **waited)
            add_nodes(view, planned, why, batch)
        case RoundsExhausted(why=why):
            bury(view, node, Code.OBJECTIONS_STAND, f"{wish}; {why}", batch, **waited)


def _lapse(
    connection: Connection, view: JobView, node: Node, row: Any, batch: Batch, waited: dict[str, float]
) -> None:
    """Silence never approves."""
    connection.execute(update(approval).where(approval.c.id == row.id).values(state="lapsed"))
    bury(view, node, Code.REJECTED, "nobody answered in time, and silence never approves", batch, **waited)
    batch.events.append(
        Event(batch.at, EventKind.APPROVAL_LAPSED, ACTOR, view.row.id, node.id, sentence="nobody answered")
    )
