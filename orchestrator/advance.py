"""Advance: reports become decisions. Budgets are settled, contracts and gates held, retries decided."""

import logging
import random
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, select

from contracts.catalog import Catalog
from contracts.failures import Category, Code, Failure
from contracts.reports import Completed, Failed, Report, Summary
from contracts.states import AttemptState, SubtaskState
from orchestrator import escalations, recovering, spending, taints
from orchestrator.batch import Batch
from orchestrator.blocking import Suppliers
from orchestrator.deciders.nodes import Node
from orchestrator.ledger import artifacts
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.leadership import Deposed, Leadership
from orchestrator.ledger.moves import MovedMeanwhile, SubtaskMove
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.ledger.tables import attempt, subtask
from orchestrator.marking import move
from orchestrator.progressing import advance_job
from orchestrator.recovering import after_report
from orchestrator.settling import Books, charged, references, settled_columns, tokens_of, tokens_reserved
from orchestrator.views import JobView, delivered, load

log = logging.getLogger(__name__)

ACTOR = "orchestrator.advance"
BATCH = 200


class Advancer:
    """The verb that applies reports."""

    def __init__(
        self,
        leadership: Leadership,
        snapshots: Snapshots,
        learn: Callable[[str, float], None],
        correct: Callable[[str, float], None],
        suppliers: Suppliers,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`learn` is told the lane and the seconds of every attempt that completed, `correct` the subtask and
        the tokens of every attempt that ends; `suppliers` open what supplies a missing prerequisite; `chance`
        spreads retries."""
        self._leadership = leadership
        self._snapshots = snapshots
        self._learn = learn
        self._correct = correct
        self._suppliers = suppliers
        self._chance = chance

    def run(self) -> int:
        """Applies a batch of reports and answers how many; where the batch raises, report by report."""
        try:
            return self._apply(None)
        except (Deposed, LedgerUnreachable):
            raise
        except Exception:
            log.exception("a batch of reports could not be applied; trying one by one")
            return self._one_by_one()

    def _apply(self, only: str | None) -> int:
        with self._leadership.decide() as (connection, at):
            rows = _reported(connection, only)
            if not rows:
                return 0
            views = load(connection, self._snapshots, {row.job_id for row in rows})
            batch, books = Batch(at, ACTOR), Books()
            for row in rows:
                self._apply_report(connection, row, views[row.job_id], batch, books)
            for view in views.values():
                advance_job(view, batch)
            books.write(connection, at, ACTOR)
            batch.write(connection)
            taints.pass_on(connection, views, at, ACTOR)
            artifacts.note(connection, batch.artifacts, at)
            return len(rows)

    def _one_by_one(self) -> int:
        with self._leadership.decide() as (connection, _):
            ids = [row.id for row in _reported(connection, None)]
        for attempt_id in ids:
            try:
                self._apply(attempt_id)
            except (Deposed, LedgerUnreachable):
                raise
            except MovedMeanwhile as moved:
                log.info("the report of attempt %s is looked at again: %s", attempt_id, moved)
            except Exception as error:
                log.exception("the report of attempt %s raises; its subtask is parked", attempt_id)
                self._park(attempt_id, f"its handling raised {type(error).__name__}: {error}")
        return len(ids)

    def _park(self, attempt_id: str, why: str) -> None:
        """Its attempt is over, and charged at the reservation as nobody can say what it used. A person is called,
        once for each job: nothing that the fleet does brings it on."""
        with self._leadership.decide() as (connection, at):
            batch, rows = Batch(at, ACTOR), _reported(connection, attempt_id)
            for row in rows:
                batch.settled.append(charged(row, AttemptState.SETTLED, at))
                self._correct(row.subtask_id, tokens_reserved(row))
                parked = SubtaskMove(
                    row.subtask_id, row.job_id, SubtaskState.REPORTED, SubtaskState.PARKED, why[:2000]
                )
                batch.moves.append(parked)
                flawed = Event(at, EventKind.FLAWED, ACTOR, row.job_id, row.subtask_id, row.id, sentence=why)
                batch.events.append(flawed)
            batch.write(connection)
            for row in rows:
                told = (
                    f"subtask {row.subtask_id} of job {row.job_id} is parked, and nothing takes it up: {why}"
                )
                escalations.call_once(connection, at, ACTOR, told[:2000], f"parked/{row.job_id}", row.job_id)

    def _apply_report(
        self, connection: Connection, row: Any, view: JobView, batch: Batch, books: Books
    ) -> None:
        report = Report.read(row.report)
        books.settle(row, report)
        columns = settled_columns(row, report, batch.at)
        batch.settled.append(columns)
        view.spent_now += spending.spent(row, columns)
        batch.artifacts += references(report)
        if row.vendor_batch_id is None and isinstance(report.outcome, Completed):
            self._learn(row.lane, report.worker_seconds)
        self._correct(row.subtask_id, tokens_of(row, report.call))
        node = view.node(row.subtask_id)
        if view.row.cancel_requested_by:
            move(view, node, SubtaskState.CANCELLED, f"cancelled by {view.row.cancel_requested_by}", batch)
            return
        outcome = checked(report, view.catalog, view, node)
        match outcome:
            case Completed(summary=summary):
                _accept(view, node, summary, row, batch)
            case Failed(failure=failure):
                self._fail(connection, view, node, row, report, failure, batch)

    def _fail(
        self,
        connection: Connection,
        view: JobView,
        node: Node,
        row: Any,
        report: Report,
        failure: Failure,
        batch: Batch,
    ) -> None:
        if failure.category is Category.PREREQUISITE:
            self._suppliers.after_lack(connection, view, node, row, failure, batch)
            return
        answer = report.call.answer if report.call else None
        after_report(connection, view, node, row, failure, answer, self._chance, batch)


def checked(report: Report, catalog: Catalog, view: JobView, node: Node) -> Completed | Failed:
    """The outcome, once what it claims to be is what its step wants; nothing passes on its own word."""
    if isinstance(report.outcome, Failed):
        return report.outcome
    wanted = catalog.operation(view.workflow.steps[node.step]).output
    summary = report.outcome.summary
    if summary.contract != wanted:
        sentence = f"delivered {summary.contract} where {wanted} is wanted"
        return Failed(failure=Failure(code=Code.BREAKS_CONTRACT, sentence=sentence))
    return report.outcome


def _accept(view: JobView, node: Node, summary: Summary, row: Any, batch: Batch) -> None:
    """Takes the output over. A sealed verdict keeps its state until its siblings are in."""
    kept = summary.model_dump(mode="json")
    view.summaries[node.id] = kept
    if view.workflow.steps[node.step].sealed_with:
        sealed = {"summary": kept, "sealed_at": batch.at, "tries": row.tries + 1, "suspect": False}
        batch.seals.append({"id": node.id} | sealed)
        view.replace(node, delivered=delivered(summary), sealed_at=batch.at)
        return
    sets = {"summary": kept, "tries": row.tries + 1, "suspect": False}
    move(view, node, SubtaskState.DONE, summary.text, batch, **sets)
    view.replace(view.node(node.id), delivered=delivered(summary))


def _reported(connection: Connection, only: str | None) -> list[Any]:
    query = (
        select(
            attempt.c.id,
            attempt.c.subtask_id,
            attempt.c.job_id,
            attempt.c.lane,
            attempt.c.budget,
            attempt.c.vendor_batch_id,
            attempt.c.estimated_input_tokens,
            attempt.c.reserved_input_tokens,
            attempt.c.reserved_output_tokens,
            attempt.c.reserved_nano_usd,
            attempt.c.promised_output_tokens,
            attempt.c.granted_at,
            attempt.c.reported_at,
            attempt.c.report,
            attempt.c.claimed_at,
            *recovering.COLUMNS,
        )
        .join(subtask, subtask.c.id == attempt.c.subtask_id)
        .where(
            attempt.c.state == AttemptState.REPORTED,
            attempt.c.ended_at.is_(None),
            subtask.c.state == SubtaskState.REPORTED,
        )
        .order_by(attempt.c.reported_at)
        # What was given back may be answered yet, until this is decided upon.
        .with_for_update(of=attempt)
        .limit(BATCH)
    )
    if only is not None:
        query = query.where(attempt.c.id == only)
    return list(connection.execute(query))
