"""Selections: which ended jobs a replay is asked to take up, as one query."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Select,
    Subquery,
    and_,
    case,
    exists,
    false,
    func,
    null,
    or_,
    select,
    true,
    tuple_,
    union_all,
)

from contracts.failures import Code
from contracts.replays import ReplayState, Selection
from contracts.states import JobState, SubtaskState
from contracts.workflows import ReplayClass
from orchestrator import taints
from orchestrator.deciders.switches import Scope, called
from orchestrator.ledger.listing import listed
from orchestrator.ledger.tables import (
    Id,
    dead_letter,
    effect,
    job,
    pause,
    replay,
    setting_change,
    subtask,
    taint,
)

_other = job.alias("other")
UNDONE = (SubtaskState.DEAD, SubtaskState.SKIPPED, SubtaskState.CANCELLED)
_NO_SUBTASK = null().cast(Id).label("subtask_id")
_CHANGED = effect.c.applied_at.is_not(None) & (effect.c.replay_class != ReplayClass.READ_ONLY)
_RIGHT = ~exists().where(taint.c.subtask_id == effect.c.subtask_id)


def found(connection: Connection, selection: Selection) -> Select[Any]:
    """`job_id` of every ended job that the selection finds, each once; `subtask_id` of the subtask from which on it
    is to be made anew, where there is one such; `chain`, the first job of its chain of replays; and `left_for`, where
    a later job of that chain is found as well: only the latest of a chain is taken, or the same effects would be
    applied side by side."""
    chosen = _chosen(connection, selection).cte()
    climbed = _climbed(select(chosen.c.job_id))
    root, over = _roots(climbed), _made_of(climbed)
    latest_first = over.c.others > 0, job.c.created_at.desc(), job.c.id.desc()
    latest = func.first_value(chosen.c.job_id).over(partition_by=root.c.root, order_by=latest_first)
    left_for = case((latest != chosen.c.job_id, latest), else_=None).label("left_for")
    columns = chosen.c.job_id, chosen.c.subtask_id, root.c.root.label("chain"), left_for
    return (
        select(*columns)
        .join(root, root.c.job_id == chosen.c.job_id)
        .join(over, over.c.job_id == chosen.c.job_id)
        .join(job, job.c.id == chosen.c.job_id)
    )


def left_out(later: str) -> str:
    """Why a job is not taken for which this later one of its chain is."""
    return (
        f"job {later} of the same chain of replays is selected, too, and only the latest of a chain is taken"
    )


def replayed_since(jobs: Select[Any]) -> Select[Any]:
    """Of each of these jobs (`of`), every later job of its chain of replays, the latest first: what was made of it,
    and what was made after it of a job before it."""
    climbed, own = _climbed(jobs), job.alias("own")
    chain = _chains(climbed)
    before = tuple_(chain.c.job_id, chain.c.member).in_(select(climbed.c.job_id, climbed.c.ancestor))
    return (
        select(chain.c.job_id.label("of"), job)
        .join(job, job.c.id == chain.c.member)
        .join(own, own.c.id == chain.c.job_id)
        .where(or_(chain.c.below, and_(job.c.created_at > own.c.created_at, ~before)))
        .order_by(job.c.created_at.desc(), job.c.id.desc())
    )


def standing(jobs: Select[Any]) -> Select[Any]:
    """Of each of these jobs that is done (`of`), the effects that stand: what it or a job before it in its chain of
    replays has applied (`job_id`, `target`) and nobody found wrong, the latest first."""
    climbed, own = _climbed(jobs), job.alias("own")
    return (
        select(climbed.c.job_id.label("of"), subtask.c.job_id, effect.c.target)
        .join(own, own.c.id == climbed.c.job_id)
        .join(subtask, subtask.c.job_id == climbed.c.ancestor)
        .join(effect, effect.c.subtask_id == subtask.c.id)
        .where(own.c.state == JobState.DONE, _CHANGED, _RIGHT)
        .order_by(effect.c.applied_at.desc(), climbed.c.job_id.desc())
    )


def left_standing(connection: Connection, selection: Selection) -> str:
    """What to say of the jobs that a filter leaves alone since what they applied stands; empty where none is."""
    if not selection.filter():
        return ""
    jobs = _of_letters(selection).where(_waits(), _stands())
    example, count = func.max(dead_letter.c.job_id), func.count(dead_letter.c.job_id.distinct())
    row = connection.execute(jobs.add_columns(example.label("example"), count.label("jobs"))).one()
    if not row.jobs:
        return ""
    return (
        f"{row.jobs} job(s), such as {row.example}, are left out, since they are done and what they applied stands: "
        "discard their dead letters, or name one by its id to have it done again (again)"
    )


def applied_in(job_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether this job has changed something."""
    return exists().where(subtask.c.job_id == job_id, effect.c.subtask_id == subtask.c.id, _CHANGED)


def requesters(connection: Connection, job_id: str) -> set[str]:
    """Who asked for any job of the chain of replays that this one stands in."""
    chain = _chains(_climbed(select(job.c.id).where(job.c.id == job_id)))
    query = select(job.c.requested_by).join(chain, chain.c.member == job.c.id)
    return set(connection.execute(query).scalars())


def roots(jobs: Select[Any]) -> Subquery:
    """`job_id` of each of these, and the `root` of its chain of replays: the one that replays no other."""
    return _roots(_climbed(jobs))


def built_on(connection: Connection, subtask_id: str) -> set[str]:
    """The subtask that first gave this result, and all that was built on it by lineage, in whatever job, whether
    anybody found it wrong or not."""
    first = _first(connection, subtask_id)
    return {first} | taints.spread(connection, {first})


def _climbed(jobs: Select[Any]) -> CTE:
    """Each of these (`job_id`) with every `ancestor` in its chain of replays, itself included, and what that one
    replays. Ids tell nothing of the order in a chain: they are made by hosts whose clocks differ."""
    named = job.c.id.in_(jobs)
    up = select(job.c.id.label("job_id"), job.c.id.label("ancestor"), job.c.replay_of).where(named)
    climbed = up.cte(recursive=True)
    return climbed.union_all(
        select(climbed.c.job_id, _other.c.id, _other.c.replay_of).join(
            _other, _other.c.id == climbed.c.replay_of
        )
    )


def _roots(climbed: CTE) -> Subquery:
    first = case((climbed.c.replay_of.is_(None), climbed.c.ancestor), else_=None)
    # grouped, since PostgreSQL takes what a condition leaves of a recursion for a few rows, and joins them one by one
    grouped = select(climbed.c.job_id, func.max(first).label("root")).group_by(climbed.c.job_id)
    return grouped.subquery()


def _made_of(climbed: CTE) -> Subquery:
    """How many `others` of those that were climbed from are made of each (`job_id`), or of what was made of it."""
    others = (func.count() - 1).label("others")
    return select(climbed.c.ancestor.label("job_id"), others).group_by(climbed.c.ancestor).subquery()


def _chains(climbed: CTE) -> CTE:
    """Each job that was climbed from (`job_id`) with every `member` of its chain of replays, and whether that is
    `below` it: made of it, or of what was made of it."""
    first = _roots(climbed)
    top = select(first.c.job_id, first.c.root.label("member"), false().label("below"))
    chain = top.cte(recursive=True)
    below = or_(chain.c.below, chain.c.member == chain.c.job_id)
    return chain.union_all(
        select(chain.c.job_id, _other.c.id, below).join(_other, _other.c.replay_of == chain.c.member)
    )


def _first(connection: Connection, subtask_id: str) -> str:
    row = connection.execute(
        select(subtask.c.kept_from, subtask.c.answered_by).where(subtask.c.id == subtask_id)
    ).one_or_none()
    earlier = row and (row.kept_from or row.answered_by)
    return _first(connection, earlier) if earlier else subtask_id


def _chosen(connection: Connection, selection: Selection) -> Select[Any]:
    if selection.ids:
        return _by_ids(selection.ids)
    if selection.downstream_of is not None:
        return _downstream(connection, selection.downstream_of)
    return _by_filter(selection)


def _by_ids(ids: tuple[str, ...]) -> Select[Any]:
    named = union_all(
        select(job.c.id.label("job_id"), _NO_SUBTASK).where(job.c.id.in_(ids)),
        select(subtask.c.job_id, subtask.c.id).where(subtask.c.id.in_(ids)),
    ).subquery()
    return (
        select(named.c.job_id, _the_only(named.c.subtask_id))
        .join(job, job.c.id == named.c.job_id)
        .where(job.c.ended_at.is_not(None))
        .group_by(named.c.job_id)
    )


def _downstream(connection: Connection, subtask_id: str) -> Select[Any]:
    """The jobs that the result stands in, was taken over by, or that were built on it. Where it stands itself is the
    place to start from; elsewhere what was built on it is, however many those are."""
    first = _first(connection, subtask_id)
    ids = built_on(connection, first)
    marked = select(taint.c.subtask_id).where(taint.c.cause == first)
    same = or_(subtask.c.id == first, subtask.c.kept_from == first, subtask.c.answered_by == first)
    return (
        select(subtask.c.job_id, func.min(case((same, subtask.c.id), else_=None)).label("subtask_id"))
        .join(job, job.c.id == subtask.c.job_id)
        .where(
            or_(subtask.c.id.in_(listed(connection, ids)), subtask.c.id.in_(marked)),
            job.c.ended_at.is_not(None),
            not_taken_up(),
        )
        .group_by(subtask.c.job_id)
    )


def _by_filter(selection: Selection) -> Select[Any]:
    found = _of_letters(selection).add_columns(dead_letter.c.job_id, _the_only(dead_letter.c.subtask_id))
    return found.where(replayable()).group_by(dead_letter.c.job_id)


def _of_letters(selection: Selection) -> Select[Any]:
    return (
        select()
        .select_from(dead_letter)
        .join(job, job.c.id == dead_letter.c.job_id)
        .where(*letters(selection))
    )


def _the_only(subtask_id: ColumnElement[Any]) -> ColumnElement[Any]:
    """The subtask where one of the job was found; of several none is the place to start from."""
    return case((func.count(subtask_id) == 1, func.min(subtask_id)), else_=None).label("subtask_id")


def begun(connection: Connection, keys: Collection[str]) -> set[str]:
    """Of these keys of effects, those that somebody has begun."""
    if not keys:
        return set()
    query = select(effect.c.key).where(effect.c.key.in_(listed(connection, keys)))
    return set(connection.execute(query).scalars())


def not_taken_up(job_id: ColumnElement[str] = job.c.id) -> ColumnElement[bool]:
    """No replay has made a new job of this one; the latest of a chain is the one that counts. One that was cancelled
    with its replay does not: nobody said that the work is not wanted any more."""
    aborted = exists().where(replay.c.id == _other.c.replay_id, replay.c.state == ReplayState.ABORTED)
    taken_back = and_(_other.c.state == JobState.CANCELLED, aborted)
    return ~exists().where(_other.c.replay_of == job_id, ~taken_back)


def unsettled() -> ColumnElement[bool]:
    """A dead letter that still needs somebody: nobody discarded it, and no replay has taken up its job."""
    return dead_letter.c.discarded_at.is_(None) & not_taken_up(dead_letter.c.job_id)


def replayable() -> ColumnElement[bool]:
    """A dead letter, joined with its job, that a filter may find. A job that went on without what died, is done and
    has applied its effect is none of those that failed: what it would apply anew would stand beside that."""
    return _waits() & ~_stands()


def _waits() -> ColumnElement[bool]:
    ended = job.c.ended_at.is_not(None) & (job.c.state != JobState.CANCELLED)
    return dead_letter.c.discarded_at.is_(None) & ended & not_taken_up()


def _stands() -> ColumnElement[bool]:
    applied = exists().where(
        subtask.c.job_id == job.c.id, effect.c.subtask_id == subtask.c.id, _CHANGED, _RIGHT
    )
    return (job.c.state == JobState.DONE) & applied


def letters(selection: Selection) -> list[ColumnElement[bool]]:
    """The conditions of a filter on dead letters and their jobs."""
    given = selection.filter()
    conditions: list[ColumnElement[bool]] = []
    for name in ("lane", "category", "code", "tenant", "signature"):
        if name in given:
            conditions.append(dead_letter.c[name] == given[name])
    if "workflow" in given:
        conditions.append(job.c.workflow == given["workflow"])
    if "since" in given:
        conditions.append(dead_letter.c.at >= given["since"].timestamp())
    if "until" in given:
        conditions.append(dead_letter.c.at < given["until"].timestamp())
    if "paused" in given:
        conditions += _ended_while_held(given["paused"])
    return conditions


def held_words(paused: str) -> str:
    """What was held, as the changes of operators call it."""
    scope, _, name = paused.partition(" ")
    return called(scope, name)


def _ended_while_held(paused: str) -> list[ColumnElement[bool]]:
    """Letters of what time ended while an operator held it. A pause stops no clock."""
    scope, _, name = paused.partition(" ")
    change, latest = setting_change.c, setting_change.alias("latest")
    last = (
        select(latest.c.seq)
        .where(latest.c.what == held_words(paused), latest.c.at <= dead_letter.c.at)
        .order_by(latest.c.seq.desc())
        .limit(1)
        .correlate(dead_letter)
        .scalar_subquery()
    )
    # Code of before wrote no end: then the end counts that the row has which still stands.
    row = (pause.c.scope == scope, pause.c.name == name, pause.c.until <= dead_letter.c.at)
    over = exists().where(*row).correlate(dead_letter)
    held = (
        exists()
        .where(
            change.seq == last,
            change.new.in_(("paused", "killed")),
            or_(change.until > dead_letter.c.at, and_(change.until.is_(None), ~over)),
        )
        .correlate(dead_letter)
    )
    undone = (subtask.c.job_id == dead_letter.c.job_id, subtask.c.state.in_(UNDONE))
    within: dict[str, ColumnElement[bool]] = {
        Scope.FLEET: true(),
        Scope.LANE: exists().where(*undone, subtask.c.lane == name),
        Scope.VENDOR: exists().where(*undone, subtask.c.vendor == name),
        Scope.TENANT: dead_letter.c.tenant == name,
        Scope.WORKFLOW: job.c.workflow == name,
    }
    timed_out = dead_letter.c.code.in_((Code.TOO_LATE, Code.STOPPED))
    return [timed_out, held, within[scope]]
