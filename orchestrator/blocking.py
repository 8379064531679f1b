"""Blocking: what many lack is one blocker and one job that supplies it; then all of them go on by themselves."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, exists, func, insert, select, update

from contracts.failures import Code, Failure
from contracts.handoffs import ContextItem, Handoff
from contracts.jobs import JobRequest
from contracts.prerequisites import Prerequisite
from contracts.reports import Summary
from contracts.states import JobState, SubtaskState
from contracts.workflows import Ending
from orchestrator.batch import Batch
from orchestrator.deciders import fitting
from orchestrator.deciders.blocking import Follow, Join, Lack, Open, Situation, Supply, decide, lack_of
from orchestrator.deciders.nodes import Node, current
from orchestrator.deciders.recovery import End, Retry
from orchestrator.intake import Intake
from orchestrator.ledger import events
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.ledger.tables import blocker, job, subtask, supply, taint
from orchestrator.marking import bury, move
from orchestrator.problems import Problem
from orchestrator.progressing import advance_job
from orchestrator.recovering import enact, handed_again, overspent, policy_of, times, trouble_of
from orchestrator.selections import replayed_since
from orchestrator.starting import columns_of
from orchestrator.views import JobView, load

LONGEST_REASON = 500
HELD = subtask.c.state == SubtaskState.PARKED, subtask.c.blocked_by.is_not(None), subtask.c.ended_at.is_(None)
"""What is parked by a blocker."""


class Suppliers:
    """What the catalog declares to supply, and the door by which the jobs that do so come in."""

    def __init__(self, intake: Intake, prerequisites: Mapping[str, Prerequisite]) -> None:
        self._intake = intake
        self._prerequisites = prerequisites

    def after_lack(
        self, connection: Connection, view: JobView, node: Node, row: Any, failure: Failure, batch: Batch
    ) -> None:
        """An attempt reported that something is missing: it is parked behind the one blocker of that, goes back,
        or ends."""
        policy, on = policy_of(view, row), trouble_of(view, node)
        lack = lack_of(failure)
        situation = self._situation(connection, view, node, row, lack, batch)
        decided: Join | Follow | Open | Retry | End = decide(failure, lack, policy, on, situation)
        if not isinstance(decided, End):
            decided = overspent(connection, view, node, row, failure.sentence, batch) or decided
        if isinstance(decided, Follow) and isinstance(lack, Lack):
            told = f"job {decided.job}, a replay, supplies it"
            decided = _stand(connection, view, node, lack, failure, decided.job, told, batch)
        if isinstance(decided, Open) and isinstance(lack, Lack):
            decided = self._open(connection, view, node, lack, failure, decided.declared, batch)
        handoff = handed_again(connection, node, row, failure, None)
        match decided:
            case Join(supply=joined, why=why):
                _park(view, node, joined, why, handoff, batch)
            case Retry() | End():
                enact(view, node, row, failure, decided, handoff, batch, tries=row.tries, suspect=False)

    def _situation(
        self, connection: Connection, view: JobView, node: Node, row: Any, lack: Lack | str, batch: Batch
    ) -> Situation:
        blockers, jobs = _above(connection, view.row.id, batch)
        known = Situation(
            at=batch.at,
            declared=None,
            claimed_at=row.claimed_at,
            created_at=node.created_at,
            limited=times(connection, node, frozenset({Code.MISSING_PREREQUISITE})),
            above=blockers,
            waiting=jobs,
        )
        if isinstance(lack, str):
            return known
        standing, latest, replays = _supplies(connection, view.row.tenant, lack)
        return replace(
            known,
            declared=self._prerequisites.get(lack.prerequisite),
            standing=standing,
            latest=latest,
            replays=replays,
            handed=_handed(connection, node) if replays else frozenset(),
            under_way=_under_way(connection, view.row.tenant, lack.prerequisite),
        )

    def _open(
        self,
        connection: Connection,
        view: JobView,
        node: Node,
        lack: Lack,
        failure: Failure,
        declared: Prerequisite,
        batch: Batch,
    ) -> Join | End:
        """Its job has the purpose, the priority and the requester of the job that met the lack first: it is a part
        of that work which was not foreseen, and whoever asked for that may not approve this either."""
        told = f"{failure.code}: {failure.sentence}"
        try:
            request = JobRequest(
                tenant=view.row.tenant,
                portfolio=view.row.portfolio,
                workflow=declared.supplied_by,
                inputs=declared.inputs_for(lack.subject),
                purpose=view.row.purpose,
                reason=f"supplies the {lack}, which job {view.row.id} lacks"[:LONGEST_REASON],
                requested_by=view.row.requested_by,
                kpi=view.row.kpi,
                priority=view.row.priority,
                max_cost_usd=declared.max_cost_usd,
            )
            supply_job = self._intake.open(connection, request, batch.actor)
        except (Problem, ValidationError) as refused:
            why = " ".join(str(refused).split())[:500]
            return End(trouble_of(view, node).fail, f"{told} (no job can be made to supply it: {why})")
        told = f"job {supply_job} of {declared.supplied_by} is made to supply it"
        return _stand(connection, view, node, lack, failure, supply_job, told, batch)


def _stand(
    connection: Connection,
    view: JobView,
    node: Node,
    lack: Lack,
    failure: Failure,
    supply_job: str,
    how: str,
    batch: Batch,
) -> Join:
    """A new blocker, behind which it waits for this job."""
    blocker_id = new_id()
    connection.execute(
        insert(blocker).values(
            id=blocker_id,
            tenant=view.row.tenant,
            prerequisite=lack.prerequisite,
            subject=lack.subject,
            job_id=view.row.id,
            supply_job_id=supply_job,
            opened_at=batch.at,
        )
    )
    sentence = f"the {lack} is missing; {how}"
    batch.events.append(
        Event(batch.at, EventKind.BLOCKED, batch.actor, view.row.id, node.id, sentence=sentence)
    )
    return Join(Supply(blocker_id, supply_job), f"{failure.code}: {failure.sentence} ({how})")


def _supplies(
    connection: Connection, tenant: str, lack: Lack
) -> tuple[Supply | None, Supply | None, tuple[Supply, ...]]:
    """The blocker that stands for it, or the last one that was resolved and the replays of its job."""
    same = (
        blocker.c.tenant == tenant,
        blocker.c.prerequisite == lack.prerequisite,
        blocker.c.subject == lack.subject,
    )
    query = select(blocker, job.c.state, job.c.replay_of).join(job, job.c.id == blocker.c.supply_job_id)
    # One that stands is the latest whatever the clock says: it may have been set back since another one was opened.
    latest = blocker.c.resolved_at.is_(None).desc(), blocker.c.opened_at.desc(), blocker.c.id.desc()
    row = connection.execute(query.where(*same).order_by(*latest).limit(1)).one_or_none()
    if row is None:
        return None, None, ()
    found = Supply(row.id, row.supply_job_id, row.resolved_at, row.state == JobState.DONE)
    if found.ended_at is None:
        return found, None, ()
    later = _replays(connection, found.job)
    return None, found, (*later, found) if row.replay_of else later


def _replays(connection: Connection, job_id: str) -> tuple[Supply, ...]:
    """Those since this job of its chain of replays, the latest first; what was found wrong supplies nothing."""
    query = replayed_since(select(job.c.id).where(job.c.id == job_id))
    right = query.where(~exists().where(taint.c.job_id == job.c.id))
    return tuple(
        Supply(None, row.id, row.ended_at, row.state == JobState.DONE) for row in connection.execute(right)
    )


def _handed(connection: Connection, node: Node) -> frozenset[str]:
    """The jobs that have supplied something to it."""
    query = select(subtask.c.job_id).join(supply, supply.c.supplied_by == subtask.c.id)
    return frozenset(connection.execute(query.where(supply.c.subtask_id == node.id)).scalars())


def _under_way(connection: Connection, tenant: str, prerequisite: str) -> int:
    """How many jobs supply this to a tenant now."""
    standing = (
        blocker.c.tenant == tenant,
        blocker.c.prerequisite == prerequisite,
        blocker.c.resolved_at.is_(None),
    )
    query = select(func.count()).select_from(blocker).where(*standing)
    return connection.execute(query).scalar_one()


def _above(connection: Connection, job_id: str, batch: Batch) -> tuple[frozenset[str], frozenset[str]]:
    """The blockers that wait for this job, for a job that waits for it, and so on; and these jobs, itself included.
    What the batch parks waits already."""
    blockers: set[str] = set()
    found = unread = {job_id}
    while unread:
        standing = blocker.c.supply_job_id.in_(unread), blocker.c.resolved_at.is_(None)
        new = set(connection.execute(select(blocker.c.id).where(*standing)).scalars()) - blockers
        blockers |= new
        waiting = select(subtask.c.job_id).where(subtask.c.blocked_by.in_(new), subtask.c.ended_at.is_(None))
        jobs = set(connection.execute(waiting).scalars()) if new else set()
        jobs |= {each.job_id for each in batch.moves if each.sets.get("blocked_by") in new}
        unread = jobs - found
        found = found | unread
    return frozenset(blockers), frozenset(found)


def _park(view: JobView, node: Node, supply: Supply, why: str, handoff: Handoff, batch: Batch) -> None:
    """It waits since now; its worker was told enough to fail, and no try is counted."""
    sets = columns_of(handoff) | {
        "blocked_by": supply.blocker,
        "ready_at": batch.at,
        "repeat_key": None,
        "suspect": False,
    }
    move(view, node, SubtaskState.PARKED, why, batch, **sets)


def resolve(connection: Connection, at: float, actor: str) -> int:
    """Ends the blockers whose job has ended, whatever came of it, and answers how many."""
    query = select(
        blocker.c.id, blocker.c.job_id, blocker.c.prerequisite, blocker.c.subject, job.c.id.label("supplier"),
        job.c.state, job.c.why,
    )  # fmt: skip
    query = query.join(job, job.c.id == blocker.c.supply_job_id)
    rows = connection.execute(query.where(blocker.c.resolved_at.is_(None), job.c.ended_at.is_not(None))).all()
    for row in rows:
        came = "supplied it" if row.state == JobState.DONE else f"is {row.state}: {row.why}"
        resolution = f"job {row.supplier} {came}"
        ended = {"resolved_at": at, "resolution": resolution}
        connection.execute(update(blocker).where(blocker.c.id == row.id).values(**ended))
        sentence = f"the {Lack(row.prerequisite, row.subject)}: {resolution}"
        events.record(connection, Event(at, EventKind.UNBLOCKED, actor, row.job_id, sentence=sentence))
    return len(rows)


def held(connection: Connection, among: ColumnElement[bool], most: int) -> list[Any]:
    """What is parked by a blocker that stands no more."""
    query = (
        select(
            subtask.c.id,
            subtask.c.job_id,
            subtask.c.handoff,
            subtask.c.ready_at,
            subtask.c.dependency_seconds,
            blocker.c.prerequisite,
            blocker.c.subject,
            blocker.c.resolution,
            job.c.id.label("supplier"),
            job.c.state.label("supplied"),
            job.c.result,
        )
        .join(blocker, blocker.c.id == subtask.c.blocked_by)
        .join(job, job.c.id == blocker.c.supply_job_id)
        .where(*HELD, blocker.c.resolved_at.is_not(None), among)
        .order_by(subtask.c.id)
        .limit(most)
    )
    return list(connection.execute(query))


def go_on(connection: Connection, snapshots: Snapshots, rows: Iterable[Any], batch: Batch) -> None:
    """What was missing is there, and handed over; or it never will be, and those who waited end as their step
    says."""
    found = list(rows)
    views = load(connection, snapshots, {row.job_id for row in found})
    suppliers = load(connection, snapshots, {row.supplier for row in found if row.result})
    for row in found:
        view = views[row.job_id]
        node = view.node(row.id)
        if row.supplied == JobState.DONE:
            _supply(view, node, row, suppliers.get(row.supplier), batch)
        else:
            why = f"{Code.MISSING_PREREQUISITE}: the {Lack(row.prerequisite, row.subject)}; {row.resolution}"
            _give_up(view, node, why, batch)
    for view in views.values():
        advance_job(view, batch)


def _supply(view: JobView, node: Node, row: Any, supplier: JobView | None, batch: Batch) -> None:
    """It goes on, with the result of its supplier where that has one."""
    handoff = Handoff.model_validate(row.handoff)
    if supplier:
        handoff = handoff.model_copy(update={"context": (*handoff.context, _supplied(row))})
    misfit = fitting.misfit(handoff, view.catalog)
    sets = columns_of(handoff) | {
        "blocked_by": None,
        "ready_at": batch.at,
        "not_before": None,
        "dependency_seconds": row.dependency_seconds + batch.at - row.ready_at,
    }
    if misfit:
        bury(view, node, Code.TOO_LARGE, f"with what it lacked it has {misfit}", batch, **sets)
        return
    move(view, node, SubtaskState.READY, f"what it lacked is there: {row.resolution}", batch, **sets)
    if supplier:
        made_by = current(supplier.nodes, supplier.workflow.result)[0].id
        batch.supplies.append({"subtask_id": node.id, "supplied_by": made_by, "job_id": view.row.id})


def _supplied(row: Any) -> ContextItem:
    result = Summary.model_validate(row.result)
    return ContextItem(
        name=row.prerequisite,
        source=f"job {row.supplier}",
        contract=result.contract,
        summary=result.text,
        artifact=result.output,
    )


def _give_up(view: JobView, node: Node, why: str, batch: Batch) -> None:
    if trouble_of(view, node).fail is Ending.SKIP:
        move(view, node, SubtaskState.SKIPPED, why, batch)
    else:
        bury(view, node, Code.MISSING_PREREQUISITE, why, batch)
