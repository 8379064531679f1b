"""Replaying: a replay is opened with its selection frozen, or aborted; the loop releases what waits in it."""

from collections import defaultdict
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from contracts.catalog import Catalog
from contracts.replays import ItemState, ReplayRequest, ReplayState, Selection
from contracts.states import JobState, SubtaskState
from orchestrator.deciders.replaying import fault_of, unsafe_steps
from orchestrator.ledger import events
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.listing import listed
from orchestrator.ledger.tables import event, job, replay, replay_item, setting_change, subtask
from orchestrator.problems import Conflict, Forbidden, Malformed, NotFound
from orchestrator.selections import (
    applied_in,
    found,
    held_words,
    left_out,
    left_standing,
    replayed_since,
    roots,
    standing,
)
from orchestrator.wake import ring

OPEN = (ItemState.WAITING, ItemState.RELEASED)
UNWELL = (JobState.FAILED, JobState.CANCELLED)
"""How a replay ended that may be tried again without another word, where it had applied nothing."""
MOST_NAMED = 5
"""Jobs in a sentence."""


def open_replay(ledger: Ledger, catalog: Catalog, request: ReplayRequest) -> str:
    """Opens a replay of what its selection finds now, and answers its id. Raises a Problem where it is refused;
    nothing is written then."""
    if request.dry_run:
        raise Malformed("dry_run: a dry run opens nothing; set it to false to open the replay")
    if not request.reason.strip():
        raise Malformed("reason: say why this is done again; a replay always has a reason")
    check(request)
    try:
        with ledger.write() as connection:
            return _open(connection, catalog, request)
    except IntegrityError:
        raise Conflict(
            "another replay took up one of these jobs, or another job of its chain, at this very moment; look at it "
            "first"
        ) from None


def check(request: ReplayRequest) -> None:
    """What can be said of a request without looking at what it selects; raises a Problem."""
    if request.edit is not None and (fault := fault_of(request.edit)):
        raise Malformed(f"edit: it is no JSON Patch: {fault}")
    if not request.requested_by.strip():
        raise Malformed("requested_by: name who asks for this replay")
    approver = (request.approved_by or "").strip().casefold()
    if approver and approver == request.requested_by.strip().casefold():
        raise Forbidden(
            f"{request.requested_by} asks for this replay and cannot approve it; another person must"
        )


def check_workflows(request: ReplayRequest, catalog: Catalog, workflows: list[str]) -> None:
    """What today's catalog says against replaying jobs of these workflows; raises a Problem. A workflow that is
    gone is told of job by job."""
    for workflow in (catalog.workflows[name] for name in workflows if name in catalog.workflows):
        if request.from_step is not None and request.from_step not in workflow.steps:
            listing = ", ".join(workflow.steps)
            raise Malformed(
                f"from_step: workflow {workflow.workflow} has no step “{request.from_step}”; it has {listing}"
            )
        unsafe = unsafe_steps(workflow)
        if unsafe and not (request.approved_by or "").strip():
            raise Forbidden(
                f"workflow {workflow.workflow} does {', '.join(unsafe)}, which is unsafe to do twice: name who "
                f"approves the replay (approved_by), somebody else than {request.requested_by}"
            )


def abort(ledger: Ledger, replay_id: str, by: str, why: str, cancel: bool = False) -> int:
    """Takes back everything that waits, and answers how much that was; what was released goes on, or is asked to
    be cancelled, also when the replay was aborted before. Raises a Problem where the replay is unknown or there is
    nothing to abort."""
    person, reason = by.strip(), why.strip()
    if not person or not reason:
        raise Malformed("by, why: say who aborts the replay and why")
    with ledger.write() as connection:
        row = connection.execute(
            select(replay).where(replay.c.id == replay_id).with_for_update()
        ).one_or_none()
        if row is None:
            raise NotFound(f"no replay {replay_id} is in the ledger")
        if row.state == ReplayState.ABORTED and row.ended_at is None and cancel:
            _cancel_rest(connection, row, person, reason)
            return 0
        if row.state != ReplayState.RUNNING:
            raise Conflict(f"replay {replay_id} is {row.state} already: {row.why}")
        return _abort(connection, replay_id, person, reason, cancel)


def _open(connection: Connection, catalog: Catalog, request: ReplayRequest) -> str:
    at, replay_id, selection = now(connection), new_id(), request.selection
    check_ids(connection, selection)
    check_paused(connection, selection)
    check_free(connection, selection)
    check_again(connection, request)
    reason = request.reason.strip()
    connection.execute(
        insert(replay).values(
            id=replay_id,
            requested_by=request.requested_by,
            reason=reason,
            approved_by=request.approved_by,
            selection=selection.model_dump(mode="json", exclude_defaults=True),
            edit=list(request.edit) if request.edit else None,
            from_step=request.from_step,
            per_minute=request.per_minute,
            most_open=request.most_open,
            state=ReplayState.RUNNING,
            total=0,
            created_at=at,
        )
    )
    total = _freeze(connection, replay_id, selection)
    if total == 0:
        left = left_standing(connection, selection)
        nothing = "selection: it finds no ended job that waits for a replay"
        raise Malformed(f"{nothing}; {left}" if left else nothing)
    check_workflows(request, catalog, _workflows(connection, replay_id))
    connection.execute(update(replay).where(replay.c.id == replay_id).values(total=total))
    approved = f", approved by {request.approved_by}" if request.approved_by else ""
    sentence = f"replay {replay_id} of {total} job(s){approved}: {reason}"
    events.record(connection, Event(at, EventKind.REPLAY_OPENED, request.requested_by, sentence=sentence))
    ring(connection)
    return replay_id


def _freeze(connection: Connection, replay_id: str, selection: Selection) -> int:
    """Writes what the selection finds now, with one statement however much it is."""
    jobs = found(connection, selection).subquery()
    left = jobs.c.left_for.is_not(None)
    state = case((left, ItemState.REFUSED.value), else_=ItemState.WAITING.value)
    why = case((left, func.replace(left_out("?"), "?", jobs.c.left_for)), else_="")
    items = select(literal(replay_id), jobs.c.job_id, jobs.c.chain, jobs.c.subtask_id, state, why)
    columns = ["replay_id", "job_id", "chain", "subtask_id", "state", "why"]
    connection.execute(insert(replay_item).from_select(columns, items))
    own = select(func.count()).where(replay_item.c.replay_id == replay_id)
    return connection.execute(own).scalar_one()  # SQLite does not say how many rows such a statement wrote


def check_paused(connection: Connection, selection: Selection) -> None:
    """What is named as held was held at some time; raises NotFound."""
    if selection.paused is None:
        return
    words = held_words(selection.paused)
    if (
        connection.execute(
            select(setting_change.c.seq).where(setting_change.c.what == words).limit(1)
        ).first()
        is None
    ):
        raise NotFound(f"{words} was never paused")


def check_ids(connection: Connection, selection: Selection) -> None:
    """Whatever was named is there and has ended; where a finished step is named, it is the only one of its job.
    Raises a Problem."""
    named = list(
        dict.fromkeys((*selection.ids, *([selection.downstream_of] if selection.downstream_of else [])))
    )
    if not named:
        return
    jobs = {
        row.id: row.ended_at
        for row in connection.execute(select(job.c.id, job.c.ended_at).where(job.c.id.in_(named)))
    }
    parts = list(
        connection.execute(
            select(subtask.c.id, subtask.c.job_id, subtask.c.name, subtask.c.state, job.c.ended_at)
            .join(job, job.c.id == subtask.c.job_id)
            .where(subtask.c.id.in_(named))
            .order_by(subtask.c.id)
        )
    )
    ended = jobs | {row.id: row.ended_at for row in parts}
    for each in named:
        if each not in ended:
            raise NotFound(f"no job or subtask {each} is in the ledger")
        if ended[each] is None and selection.ids:
            raise Conflict(f"{each} is still under way; only what has ended is replayed")
    by_job: dict[str, list[Any]] = defaultdict(list)
    for row in parts:
        by_job[row.job_id].append(row)
    for rows in by_job.values():
        if len(rows) > 1 and any(row.state == SubtaskState.DONE for row in rows):
            names = " and ".join(row.name for row in rows)
            raise Malformed(
                f"ids: {names} are of one job, {rows[0].job_id}; name the one to start from, and what is behind it "
                "follows"
            )


def check_free(connection: Connection, selection: Selection) -> None:
    """No open replay holds any of the selected jobs, nor another job of the chain of replays that one stands in:
    they would share their effects. Raises Conflict."""
    held = roots(
        select(replay_item.c.job_id).where(replay_item.c.state.in_(OPEN))
    )  # older code wrote no chain down
    roots_of = {row.job_id: row.root for row in connection.execute(select(held))}
    if not roots_of:
        return
    jobs = found(connection, selection).subquery()
    chains = set(connection.execute(select(jobs.c.chain).where(jobs.c.left_for.is_(None))).scalars())
    taken = sorted(job_id for job_id, root in roots_of.items() if root in chains)
    if taken:
        of_it = replay_item.c.job_id == taken[0], replay_item.c.state.in_(OPEN)
        holder = connection.execute(select(replay_item.c.replay_id).where(*of_it)).scalar_one()
        raise Conflict(
            f"{len(taken)} of the selected jobs are in an open replay already, themselves or by another job of their "
            f"chain, such as {taken[0]} in {holder}; wait for its end, or abort it"
        )


def check_again(connection: Connection, request: ReplayRequest) -> None:
    """No later job of the chain that a selected one stands in is under way, was done or has applied an effect, and
    none that is named by its id is done itself while what it applied stands, unless the request says that it may be;
    raises Conflict. No end takes back what was applied, and it would be applied again beside that."""
    if request.again:
        return
    selection = request.selection
    if done := _done_since(connection, selection) or _done_itself(connection, selection):
        otherwise = "" if selection.ids else ", or discard its dead letter"
        raise Conflict(f"{done}; say that it is to be done again (again) if it must be{otherwise}")


def _done_since(connection: Connection, selection: Selection) -> str:
    in_chains = _in_chains(connection, selection)
    if not in_chains:
        return ""
    later = replayed_since(listed(connection, in_chains)).subquery()
    applied = applied_in(later.c.id)
    counts = select(later, applied.label("applied")).where(or_(later.c.state.not_in(UNWELL), applied))
    rows = connection.execute(counts.order_by(later.c.created_at.desc(), later.c.id.desc())).all()
    if not rows:
        return ""
    row, many = rows[0], len({row.of for row in rows})
    more = f" ({many} of the selected jobs were)" if many > 1 else ""
    made = f"replay {row.replay_id} made job {row.id} of it"
    return f"{row.of} was replayed before{more}: {made}, which {_came_to(row)}"


def _done_itself(connection: Connection, selection: Selection) -> str:
    """A filter finds no such job, and what is built on a wrong result takes the place of what it was before."""
    if not selection.ids:
        return ""
    jobs = found(connection, selection).subquery()
    taken = select(jobs.c.job_id).where(jobs.c.left_for.is_(None))
    rows = connection.execute(standing(taken)).all()
    if not rows:
        return ""
    row, many = rows[0], len({row.of for row in rows})
    more = f" ({many} of the selected jobs are so)" if many > 1 else ""
    whose = "it" if row.job_id == row.of else f"job {row.job_id}"
    stands = f"what {whose} applied to {row.target} stands{more}"
    return f"{row.of} is done, and {stands}: what is applied anew stands beside that"


def _in_chains(connection: Connection, selection: Selection) -> set[str]:
    """The selected jobs that are not alone in their chain: mostly few, however many are selected."""
    jobs = found(connection, selection).subquery()
    rows = connection.execute(select(jobs.c.job_id, jobs.c.chain).where(jobs.c.left_for.is_(None))).all()
    firsts = listed(connection, (row.job_id for row in rows if row.job_id == row.chain))
    replayed = set(connection.execute(select(job.c.replay_of).where(job.c.replay_of.in_(firsts))).scalars())
    return {row.job_id for row in rows if row.job_id != row.chain or row.job_id in replayed}


def _came_to(row: Any) -> str:
    if row.state in UNWELL:
        return f"is {row.state} and had applied its effect before"
    return "is done" if row.state == JobState.DONE else f"is under way ({row.state})"


def _workflows(connection: Connection, replay_id: str) -> list[str]:
    query = (
        select(job.c.workflow)
        .join(replay_item, replay_item.c.job_id == job.c.id)
        .where(replay_item.c.replay_id == replay_id)
        .distinct()
        .order_by(job.c.workflow)
    )
    return list(connection.execute(query).scalars())


def _abort(connection: Connection, replay_id: str, person: str, reason: str, cancel: bool) -> int:
    at, own = now(connection), replay_item.c.replay_id == replay_id
    taken_back = connection.execute(
        update(replay_item)
        .where(own, replay_item.c.state == ItemState.WAITING)
        .values(state=ItemState.ABORTED, why=f"{person} aborted the replay: {reason}")
    ).rowcount
    released = _released(replay_id)
    open_ = connection.execute(select(func.count()).select_from(released.subquery())).scalar_one()
    applied = _applied_before(connection, released)
    if cancel:
        _cancel(connection, released, person, at)
    goes_on = f"{open_} open one(s) {f'are cancelled{applied}' if cancel else 'go on'}"
    why = f"aborted by {person}: {reason}; {taken_back} job(s) were not released, {goes_on}"
    ended = {} if open_ else {"ended_at": at}
    connection.execute(
        update(replay).where(replay.c.id == replay_id).values(state=ReplayState.ABORTED, why=why, **ended)
    )
    sentence = f"replay {replay_id} was {why}"
    events.record(connection, Event(at, EventKind.REPLAY_ENDED, person, sentence=sentence))
    ring(connection)
    return taken_back


def _cancel_rest(connection: Connection, row: Any, person: str, reason: str) -> None:
    """What went on when the replay was aborted is cancelled after all; said again, it changes nothing."""
    at = now(connection)
    applied = _applied_before(connection, _released(row.id))
    asked = _cancel(connection, _released(row.id), person, at)
    if not asked:
        return
    then = f"{asked} open one(s) were cancelled by {person}{applied}: {reason}"
    connection.execute(update(replay).where(replay.c.id == row.id).values(why=f"{row.why}; then {then}"))
    sentence = f"of replay {row.id}, which was aborted before, {then}"
    events.record(connection, Event(at, EventKind.REPLAY_ENDED, person, sentence=sentence))
    ring(connection)


def _released(replay_id: str) -> Select[Any]:
    own = replay_item.c.replay_id == replay_id
    return select(replay_item.c.new_job_id).where(own, replay_item.c.state == ItemState.RELEASED)


def _applied_before(connection: Connection, jobs: Select[Any]) -> str:
    """Which of these jobs have changed what cancelling them does not take back; empty where none has."""
    changed = select(job.c.id).where(job.c.id.in_(jobs), job.c.ended_at.is_(None), applied_in(job.c.id))
    ids = list(connection.execute(changed.order_by(job.c.id)).scalars())
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    return f" (what {', '.join(ids[:MOST_NAMED])}{more} applied before stands)" if ids else ""


def _cancel(connection: Connection, jobs: Select[Any], person: str, at: float) -> int:
    """Asks for each of these jobs to be cancelled, with two statements for all of them; answers how many were not
    asked before."""
    open_ = (job.c.id.in_(jobs), job.c.ended_at.is_(None), job.c.cancel_requested_by.is_(None))
    told = select(literal(at), literal(EventKind.CANCEL_REQUESTED.value), job.c.id, literal(person)).where(
        *open_
    )
    events_of = insert(event).from_select(["at", "kind", "job_id", "actor"], told)
    connection.execute(events_of)
    return connection.execute(update(job).where(*open_).values(cancel_requested_by=person)).rowcount
