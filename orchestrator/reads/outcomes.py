"""One job whole: how it stands or how it ended, what came of it and what it took."""

from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, select

from contracts.artifacts import ArtifactRef
from contracts.reports import Summary
from contracts.states import JobState
from orchestrator.ledger.tables import job
from orchestrator.problems import NotFound
from orchestrator.reads.base import Read
from orchestrator.reads.costs import cost_of_job
from orchestrator.reads.jobs import JobLine, line_values
from orchestrator.reads.subtasks import SubtaskLine, subtasks_of
from orchestrator.reads.waits import Waits


class Output(Read):
    """An artifact that a subtask delivered."""

    subtask: str
    """The subtask's name."""
    contract: str
    artifact: ArtifactRef


class JobRead(JobLine):
    """A job with its outcome."""

    inputs: dict[str, JsonValue]
    snapshot: str
    """Digest of the part of the catalog that it was planned with."""
    result: Summary | None
    """The summary of the step that is the workflow's result; None until it stands."""
    artifacts: tuple[Output, ...]
    """What its subtasks delivered. Sealed verdicts are left out."""
    waits: Waits
    simulated: bool
    """Whether any vendor call of it was simulated."""
    subtasks: tuple[SubtaskLine, ...]


def job_read(connection: Connection, job_id: str) -> JobRead:
    """The job; raises NotFound."""
    row = connection.execute(select(job).where(job.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFound(f"no job {job_id} is in the ledger")
    subtasks, cost = subtasks_of(connection, job_id), cost_of_job(connection, job_id)
    return JobRead(
        **line_values(row, cost),
        inputs=row.inputs,
        snapshot=row.snapshot,
        result=row.result,
        artifacts=outputs_of(subtasks),
        waits=sum((line.waits for line in subtasks), Waits()),
        simulated=bool(cost.simulated),
        subtasks=subtasks,
    )


def job_state(connection: Connection, job_id: str) -> JobState:
    """The job's state alone; raises NotFound."""
    state: Any = connection.execute(select(job.c.state).where(job.c.id == job_id)).scalar_one_or_none()
    if state is None:
        raise NotFound(f"no job {job_id} is in the ledger")
    return JobState(state)


def outputs_of(subtasks: tuple[SubtaskLine, ...]) -> tuple[Output, ...]:
    return tuple(
        Output(subtask=line.name, contract=line.summary.contract, artifact=line.summary.output)
        for line in subtasks
        if line.summary is not None
    )
