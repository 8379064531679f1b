"""Plan: accepted jobs become subtasks."""

import logging
from typing import Any

from sqlalchemy import Connection, select

from contracts.states import JobState
from orchestrator.batch import Batch
from orchestrator.deciders.planning import plan
from orchestrator.ending import webhook_of
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.ledger.leadership import Deposed, Leadership
from orchestrator.ledger.moves import JobMove
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.ledger.tables import job
from orchestrator.marking import add_nodes
from orchestrator.progressing import advance_job
from orchestrator.views import JobView, load

log = logging.getLogger(__name__)

ACTOR = "orchestrator.plan"
BATCH = 50


class Planner:
    """The verb that plans accepted jobs."""

    def __init__(self, leadership: Leadership, snapshots: Snapshots) -> None:
        self._leadership = leadership
        self._snapshots = snapshots

    def run(self) -> int:
        """Plans a batch of accepted jobs and answers how many; where the batch raises, job by job."""
        with self._leadership.decide() as (connection, _):
            ids = _accepted(connection)
        if not ids:
            return 0
        try:
            self._plan(ids)
        except (Deposed, LedgerUnreachable):
            raise
        except Exception:
            log.exception("a batch of %d jobs could not be planned; trying one by one", len(ids))
            for job_id in ids:
                self._plan_alone(job_id)
        return len(ids)

    def _plan(self, ids: list[str]) -> None:
        with self._leadership.decide() as (connection, at):
            batch = Batch(at, ACTOR)
            for view in load(connection, self._snapshots, ids).values():
                if view.row.state == JobState.ACCEPTED:
                    _plan_job(view, batch)
            batch.write(connection)

    def _plan_alone(self, job_id: str) -> None:
        try:
            self._plan([job_id])
        except (Deposed, LedgerUnreachable):
            raise
        except Exception as error:
            why = f"could not be planned: {type(error).__name__}: {error}"
            with self._leadership.decide() as (connection, at):
                batch = Batch(at, ACTOR)
                row = connection.execute(select(job).where(job.c.id == job_id)).one()
                _end(row, JobState.FAILED, why, batch)
                batch.write(connection)


def _accepted(connection: Connection) -> list[str]:
    query = (
        select(job.c.id)
        .where(job.c.state == JobState.ACCEPTED, job.c.ended_at.is_(None))
        .order_by(job.c.priority.desc(), job.c.id)
        .limit(BATCH)
    )
    return list(connection.execute(query).scalars())


def _plan_job(view: JobView, batch: Batch) -> None:
    if view.row.cancel_requested_by:
        _end(view.row, JobState.CANCELLED, f"cancelled by {view.row.cancel_requested_by}", batch)
        return
    planned = plan(view.workflow, view.facts.inputs)
    batch.job_moves.append(
        JobMove(view.row.id, JobState.ACCEPTED, JobState.RUNNING, f"planned as {len(planned)} subtasks")
    )
    add_nodes(view, planned, f"planned by {view.workflow.workflow}, revision {view.workflow.revision}", batch)
    view.state = JobState.RUNNING
    advance_job(view, batch)


def _end(row: Any, state: JobState, why: str, batch: Batch) -> None:
    """A job ends before it was planned."""
    batch.job_moves.append(JobMove(row.id, JobState.ACCEPTED, state, why[:2000]))
    if row.callback_url:
        batch.webhooks.append(webhook_of(row, state, why[:2000], batch.at))
