"""Selections: which ended jobs a replay is asked to take up, as one query."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, null, or_, select, union_all

from contracts.replays import ReplayState, Selection
from contracts.states import JobState
from orchestrator.ledger.tables import Id, dead_letter, job, replay, subtask, taint

_later = job.alias("later")
_NO_SUBTASK = null().cast(Id).label("subtask_id")


def found(selection: Selection) -> Select[Any]:
    """`job_id` of every ended job that the selection finds, each once, and `subtask_id` of the subtask from which
    on it is to be made anew, where there is one such."""
    if selection.ids:
        return _by_ids(selection.ids)
    if selection.downstream_of is not None:
        return _downstream(selection.downstream_of)
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


def _downstream(subtask_id: str) -> Select[Any]:
    """The jobs that the result stands in or was taken over by, and those that were marked as built on it."""
    same = select(subtask.c.id).where(subtask.c.answered_by == subtask_id)
    instance = select(subtask.c.job_id, subtask.c.id.label("subtask_id"))
    built = union_all(
        instance.where(subtask.c.id == subtask_id),
        instance.where(subtask.c.answered_by == subtask_id),
        instance.where(or_(subtask.c.kept_from == subtask_id, subtask.c.kept_from.in_(same))),
        select(taint.c.job_id, _NO_SUBTASK).where(taint.c.cause == subtask_id),
    ).subquery()
    return (
        select(built.c.job_id, func.min(built.c.subtask_id).label("subtask_id"))
        .join(job, job.c.id == built.c.job_id)
        .where(job.c.ended_at.is_not(None), not_taken_up())
        .group_by(built.c.job_id)
    )


def _by_filter(selection: Selection) -> Select[Any]:
    return (
        select(dead_letter.c.job_id, _the_only(dead_letter.c.subtask_id))
        .join(job, job.c.id == dead_letter.c.job_id)
        .where(
            *letters(selection),
            job.c.ended_at.is_not(None),
            job.c.state != JobState.CANCELLED,
            not_taken_up(),
        )
        .group_by(dead_letter.c.job_id)
    )


def _the_only(subtask_id: ColumnElement[Any]) -> ColumnElement[Any]:
    """The subtask where one of the job was found; of several none is the place to start from."""
    return case((func.count(subtask_id) == 1, func.min(subtask_id)), else_=None).label("subtask_id")


def not_taken_up(job_id: ColumnElement[str] = job.c.id) -> ColumnElement[bool]:
    """No replay has made a new job of this one; the latest of a chain is the one that counts. One that was cancelled
    with its replay does not: nobody said that the work is not wanted any more."""
    aborted = exists().where(replay.c.id == _later.c.replay_id, replay.c.state == ReplayState.ABORTED)
    taken_back = and_(_later.c.state == JobState.CANCELLED, aborted)
    return ~exists().where(_later.c.replay_of == job_id, ~taken_back)


def unsettled() -> ColumnElement[bool]:
    """A dead letter that still needs somebody: nobody discarded it, and no replay has taken up its job."""
    return dead_letter.c.discarded_at.is_(None) & not_taken_up(dead_letter.c.job_id)


def letters(selection: Selection) -> list[ColumnElement[bool]]:
    """The conditions of a filter on dead letters and their jobs."""
    given = selection.filter()
    conditions: list[ColumnElement[bool]] = [dead_letter.c.discarded_at.is_(None)]
    for name in ("lane", "category", "code", "tenant", "signature"):
        if name in given:
            conditions.append(dead_letter.c[name] == given[name])
    if "workflow" in given:
        conditions.append(job.c.workflow == given["workflow"])
    if "since" in given:
        conditions.append(dead_letter.c.at >= given["since"].timestamp())
    if "until" in given:
        conditions.append(dead_letter.c.at < given["until"].timestamp())
    return conditions
