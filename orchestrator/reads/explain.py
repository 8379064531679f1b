"""Explain: why a job or a subtask exists, what happened, what it waits for now, and what it took."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, func, select

from contracts.states import JOB_ENDS, SUBTASK_ENDS, JobState, SubtaskState
from orchestrator.deciders.spans import span
from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import job, subtask, tick
from orchestrator.problems import NotFound
from orchestrator.reads import ids
from orchestrator.reads.base import Read, moment, moment_or_none
from orchestrator.reads.costs import Cost, cost_of_job, cost_of_subtask
from orchestrator.reads.events import count_events, latest_events
from orchestrator.reads.lineage import Kin, kin_of
from orchestrator.reads.taint import TaintRead, taint_in
from orchestrator.reads.telling import Happening, told
from orchestrator.reads.tried import TriedRead, tried_of
from orchestrator.reads.waiting import Waiting, waiting_in

MOST_EVENTS = 500


class Existence(Read):
    """Why it exists."""

    reason: str
    requested_by: str
    tenant: str
    portfolio: str
    workflow: str
    purpose: str
    """A subtask's own, where its step declares another than the job's."""
    kpi: str | None
    priority: int
    origin: str | None
    """The job that this one reviews, reopens or repeats."""
    tick: str | None
    """The tick of the clock that made it."""
    created_at: datetime
    deadline: datetime | None = None
    """When nobody needs its result any more."""


class Explanation(Read):
    """The whole answer; `sentence` alone is enough for a glance."""

    sentence: str
    kind: Literal["job", "subtask"]
    id: str
    name: str
    job_id: str
    state: str
    why: str
    exists: Existence
    happened: tuple[Happening, ...]
    """In order, the most recent ones."""
    earlier_events: int
    """How many older ones are left out; the job's events hold them."""
    waits: tuple[Waiting, ...]
    kin: tuple[Kin, ...]
    """Jobs linked to its own: where it came from, what it runs again, and what runs it again."""
    again: str | None
    """The command that shows what running it again would do; None where it did not end badly, and where a replay of
    it is under way or is done. Where the last replay failed too, it names that one's job."""
    tried: tuple[TriedRead, ...] = ()
    """Of a subtask: what its next attempt is told, or its last one was."""
    taint: tuple[TaintRead, ...]
    """Results of it that were found wrong, or were built on such."""
    cost: Cost


def explain(connection: Connection, given: str) -> Explanation:
    """Explains a job or a subtask by id or unique prefix; raises NotFound or Conflict."""
    try:
        return explain_job(connection, given)
    except NotFound:
        try:
            return explain_subtask(connection, given)
        except NotFound:
            raise NotFound(f"no job and no subtask {given[:40]} is in the ledger") from None


def explain_job(connection: Connection, given: str) -> Explanation:
    """Explains a job by id or unique prefix; raises NotFound or Conflict."""
    job_id = ids.job_id(connection, given)
    row = connection.execute(select(job).where(job.c.id == job_id)).one()
    cost, waits = cost_of_job(connection, job_id), waiting_in(connection, job_id)
    return Explanation(
        sentence=_job_sentence(row, _progress(connection, job_id), waits, cost, now(connection)),
        kind="job",
        id=job_id,
        name=row.workflow,
        job_id=job_id,
        state=row.state,
        why=row.why,
        exists=_existence(connection, row, row.purpose),
        happened=_happened(connection, job_id, None),
        earlier_events=max(count_events(connection, job_id, None) - MOST_EVENTS, 0),
        waits=waits,
        kin=kin_of(connection, job_id),
        taint=taint_in(connection, job_id),
        again=again_of(connection, row, job_id) if row.state == JobState.FAILED else None,
        cost=cost,
    )


def explain_subtask(connection: Connection, given: str) -> Explanation:
    """Explains a subtask by id or unique prefix; raises NotFound or Conflict."""
    subtask_id = ids.subtask_id(connection, given)
    row = connection.execute(select(subtask).where(subtask.c.id == subtask_id)).one()
    owner = connection.execute(select(job).where(job.c.id == row.job_id)).one()
    cost, waits = cost_of_subtask(connection, subtask_id), waiting_in(connection, row.job_id, subtask_id)
    return Explanation(
        sentence=_subtask_sentence(row, owner, waits, cost),
        kind="subtask",
        id=subtask_id,
        name=row.name,
        job_id=row.job_id,
        state=row.state,
        why=row.why,
        exists=_existence(connection, owner, row.purpose),
        happened=_happened(connection, row.job_id, subtask_id),
        earlier_events=max(count_events(connection, row.job_id, subtask_id) - MOST_EVENTS, 0),
        waits=waits,
        kin=kin_of(connection, row.job_id),
        taint=taint_in(connection, row.job_id, subtask_id),
        tried=tried_of(row),
        again=again_of(connection, owner, subtask_id)
        if row.state == SubtaskState.DEAD and owner.ended_at
        else None,
        cost=cost,
    )


def again_of(connection: Connection, owner: Any, given: str) -> str | None:
    """The command that shows what running an ended job, or a subtask of it, again would do. Once a replay has taken
    it up, the last job of the chain is the one to go on with: the earlier one would leave that one's letters."""
    newer = select(job.c.id, job.c.state).order_by(job.c.created_at.desc(), job.c.id.desc()).limit(1)
    last = owner
    while (next_ := connection.execute(newer.where(job.c.replay_of == last.id)).one_or_none()) is not None:
        last = next_
    if last.id == owner.id:
        return f"fleet replay {given}"
    return f"fleet replay {last.id}" if last.state in (JobState.FAILED, JobState.CANCELLED) else None


def _existence(connection: Connection, row: Any, purpose: str) -> Existence:
    fired = connection.execute(select(tick.c.name).where(tick.c.job_id == row.id)).scalar()
    return Existence(
        reason=row.reason,
        requested_by=row.requested_by,
        tenant=row.tenant,
        portfolio=row.portfolio,
        workflow=row.workflow,
        purpose=purpose,
        kpi=row.kpi,
        priority=row.priority,
        origin=row.origin,
        tick=fired,
        created_at=moment(row.created_at),
        deadline=moment_or_none(row.deadline),
    )


def _happened(connection: Connection, job_id: str, subtask_id: str | None) -> tuple[Happening, ...]:
    return tuple(told(event) for event in latest_events(connection, job_id, subtask_id, MOST_EVENTS))


def _progress(connection: Connection, job_id: str) -> tuple[int, int]:
    """How many subtasks have ended, of how many."""
    query = select(func.count().label("all"), func.count(subtask.c.ended_at).label("ended"))
    row = connection.execute(query.where(subtask.c.job_id == job_id)).one()
    return row.ended, row.all


def _job_sentence(
    row: Any, progress: tuple[int, int], waits: tuple[Waiting, ...], cost: Cost, at: float
) -> str:
    head = f"Job {row.id} ({row.workflow}) is {row.state}{f', {row.why}' if row.why else ''}"
    exists = f"{row.requested_by} asked for it, since “{row.reason}”"
    if JobState(row.state) in JOB_ENDS:
        return f"{head}; {exists}; {_took(cost)}."
    ended, all_ = progress
    waiting = _most_telling(waits) or "the orchestrator to plan it"
    done = f"{ended} of {all_} subtasks have ended{_left(row, at)}"
    return f"{head}; {exists}; {done}; it waits for {waiting}; {_took(cost)} so far."


def _left(row: Any, at: float) -> str:
    if row.deadline is None:
        return ""
    return (
        f"; its deadline is in {span(row.deadline - at)}"
        if row.deadline > at
        else "; its deadline has passed"
    )


def _subtask_sentence(row: Any, owner: Any, waits: tuple[Waiting, ...], cost: Cost) -> str:
    head = f"Subtask {row.name} of job {owner.id} is {row.state}{f', {row.why}' if row.why else ''}"
    exists = f"{owner.requested_by} asked for its job, since “{owner.reason}”"
    if row.state in SUBTASK_ENDS or not waits:
        return f"{head}; {exists}; {_took(cost)}."
    return f"{head}; {exists}; it waits for {waits[0].waits_for}; {_took(cost)} so far."


def _most_telling(waits: tuple[Waiting, ...]) -> str:
    """The wait that the others wait for: a subtask that waits only for its needs tells the least."""
    if not waits:
        return ""
    first = min(waits, key=lambda wait: wait.state == "waiting")
    return f"{first.waits_for} ({first.subtask})"


def _took(cost: Cost) -> str:
    pretended = " (simulated)" if cost.simulated else ""
    worked = f"{cost.worker_seconds:.1f} s of workers"
    saved = f", with {cost.saved_usd:.4f} USD saved by an earlier answer" if cost.saved_tokens else ""
    return f"it took {cost.attempts} attempt(s), {worked} and {cost.usd:.4f} USD{pretended}{saved}"
