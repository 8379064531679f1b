"""Lineage: where a job comes from, what came of it, and the rounds in which its work was revised."""

from sqlalchemy import ColumnElement, Connection, select

from contracts.reports import Summary
from contracts.states import JobState, SubtaskState
from contracts.workflows import Workflow
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.ledger.tables import job, subtask
from orchestrator.reads.base import Read
from orchestrator.reads.seals import sealed


class Kin(Read):
    """A job that is linked to another one."""

    id: str
    workflow: str
    state: JobState
    reason: str
    relation: str
    """What it is to the other one: its ``origin``, or a job that ``follows`` from it; ``replay_of`` is the job
    that the other one runs again, ``replayed_as`` a job that runs the other one again."""


class Round(Read):
    """What one subtask said in one round of a revision."""

    round: int
    subtask: str
    subtask_id: str
    state: SubtaskState
    why: str
    summary: Summary | None
    """None while it has not delivered, or is sealed."""


def kin_of(connection: Connection, job_id: str) -> tuple[Kin, ...]:
    """The jobs that this one came from, and the jobs that came from it, oldest first."""
    own = connection.execute(select(job.c.origin, job.c.replay_of).where(job.c.id == job_id)).one()
    related = {
        **_ids(connection, job.c.origin == job_id, "follows"),
        **_ids(connection, job.c.replay_of == job_id, "replayed_as"),
        **({own.origin: "origin"} if own.origin else {}),
        **({own.replay_of: "replay_of"} if own.replay_of else {}),
    }
    columns = job.c.id, job.c.workflow, job.c.state, job.c.reason
    rows = connection.execute(select(*columns).where(job.c.id.in_(list(related))).order_by(job.c.id))
    return tuple(Kin(**row._mapping, relation=related[row.id]) for row in rows)


def _ids(connection: Connection, condition: ColumnElement[bool], relation: str) -> dict[str, str]:
    return dict.fromkeys(connection.execute(select(job.c.id).where(condition)).scalars(), relation)


def workflow_of(connection: Connection, job_id: str) -> Workflow:
    """The workflow that the job was planned with, out of its own snapshot."""
    row = connection.execute(select(job.c.snapshot, job.c.workflow).where(job.c.id == job_id)).one()
    return Snapshots().get(connection, row.snapshot).workflows[row.workflow]


def exchange_of(connection: Connection, job_id: str) -> tuple[Round, ...]:
    """All rounds of the steps that are revised and of those whose objections are heard, in order."""
    groups = revise_groups(workflow_of(connection, job_id))
    rows = connection.execute(
        select(subtask)
        .where(subtask.c.job_id == job_id, subtask.c.step.in_(sorted(groups)))
        .order_by(subtask.c.round, subtask.c.id)
    )
    return tuple(
        Round(
            round=row.round,
            subtask=row.name,
            subtask_id=row.id,
            state=row.state,
            why=row.why,
            summary=None if sealed(row.state) else row.summary,
        )
        for row in rows
    )


def revise_groups(workflow: Workflow) -> frozenset[str]:
    """The steps that take part in any revision."""
    return frozenset(
        name
        for step, declared in workflow.steps.items()
        if declared.revise
        for name in (step, *declared.revise.objections_of)
    )
