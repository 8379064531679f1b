"""Replay: what waits in a replay is released as new jobs, few at a time; what they come to is noted in it."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, case, exists, func, insert, select, update

from contracts.catalog import Catalog
from contracts.purposes import Purpose
from contracts.replays import ItemState, ReplayState
from contracts.states import JobState, SubtaskState
from contracts.workflows import Workflow
from orchestrator.batch import Batch
from orchestrator.deciders.handing import effect_keys, purpose_of
from orchestrator.deciders.nodes import Node, Planned, name_of
from orchestrator.deciders.planning import source_of
from orchestrator.deciders.replaying import (
    Division,
    Instance,
    Source,
    Unfit,
    digests_in,
    divide,
    effects_anew,
    not_uploaded,
    purpose_again,
    renewed,
    room,
    same_name,
    unsafe_steps,
    window_of,
)
from orchestrator.deciders.stopping import stop_at, too_deep
from orchestrator.ledger import artifacts, events, lineage, snapshots
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.leadership import Deposed, Leadership
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.ledger.tables import effect, job, replay, replay_item, subtask, taint
from orchestrator.marking import add_nodes
from orchestrator.progressing import advance_job
from orchestrator.selections import begun, built_on
from orchestrator.views import JobView, load

log = logging.getLogger(__name__)

ACTOR = "orchestrator.replay"
BATCH = 25
PRIORITY = 0
"""Behind whatever is asked for today."""

_OPEN = (ItemState.WAITING, ItemState.RELEASED)
_OF = replay_item.c.replay_id == replay.c.id
_LINKS = select(job.c.id, job.c.replay_of, job.c.lineage)
_APPLIED = (
    select(subtask.c.job_id, subtask.c.id, taint.c.cause)
    .join(effect, effect.c.subtask_id == subtask.c.id)
    .join(taint, taint.c.subtask_id == subtask.c.id, isouter=True)
    .where(effect.c.applied_at.is_not(None))
)
"""What a job has applied, and the first result that makes it wrong, if any."""


@dataclass(frozen=True)
class _Released:
    """A new job, before it is written."""

    id: str
    source: JobView
    workflow: Workflow
    inputs: dict[str, Any]
    division: Division
    lineage: str | None
    """By which its effects are named; None where it has effects of its own."""
    replaces: str | None
    """By which those are named that were found wrong, and in whose place its own stand."""


class Replayer:
    """The verb that releases what waits in replays, and follows it to its end."""

    def __init__(self, leadership: Leadership, snapshots_: Snapshots, catalog: Catalog) -> None:
        """`catalog` is today's: new jobs are planned by it."""
        self._leadership = leadership
        self._snapshots = snapshots_
        self._catalog = catalog
        self._built: tuple[str, frozenset[str]] = ("", frozenset())

    def run(self) -> int:
        """Follows what was released, releases a batch of every running replay, and answers how much was done."""
        with self._leadership.decide() as (connection, at):
            done = _follow(connection) + _end(connection, at)
            running = _running(connection)
        return done + sum(self._run(replay_id) for replay_id in running)

    def _run(self, replay_id: str) -> int:
        """A batch of one replay; where it raises, job by job, and what raises alone is refused."""
        try:
            return self._release(replay_id, BATCH)
        except (Deposed, LedgerUnreachable):
            raise
        except Exception:
            log.exception("a batch of replay %s could not be released; trying one by one", replay_id)
        return self._one_by_one(replay_id)

    def _one_by_one(self, replay_id: str) -> int:
        done = 0
        for _ in range(BATCH):
            try:
                released = self._release(replay_id, 1)
            except (Deposed, LedgerUnreachable):
                raise
            except Exception as error:
                released = self._refuse_first(replay_id, error)
            if not released:
                break
            done += released
        return done

    def _release(self, replay_id: str, most: int) -> int:
        with self._leadership.decide() as (connection, at):
            row = _locked(connection, replay_id)
            items = _due(connection, row, at, most)
            if items:
                self._make(connection, row, items, at)
            return len(items)

    def _refuse_first(self, replay_id: str, error: Exception) -> int:
        log.exception("a job of replay %s could not be released and is refused", replay_id)
        with self._leadership.decide() as (connection, at):
            items = _due(connection, _locked(connection, replay_id), at, 1)
            for item in items:
                _refuse(connection, item, f"releasing it raised {type(error).__name__}: {error}")
            return len(items)

    def _make(self, connection: Connection, row: Any, items: list[Any], at: float) -> None:
        """Every item becomes a new job, or is refused with a sentence."""
        sources = load(connection, self._snapshots, {item.job_id for item in items})
        wrong = _wrong(connection, set(sources)) | self._built_on(connection, row)
        stand_wrong = _stand_wrong(connection, sources, wrong)
        released = []
        for item in items:
            made = self._decide(connection, row, item, sources[item.job_id], wrong, stand_wrong)
            if isinstance(made, Unfit):
                _refuse(connection, item, made.why)
            else:
                released.append(made)
        if released:
            self._write(connection, row, released, at)

    def _built_on(self, connection: Connection, row: Any) -> frozenset[str]:
        """What was built on the result that a replay names, marked or not. What ended is built on nothing new, so it
        is looked for once."""
        cause = row.selection.get("downstream_of")
        if cause is None:
            return frozenset()
        if self._built[0] != row.id:
            self._built = (row.id, frozenset(built_on(connection, cause)))
        return self._built[1]

    def _decide(
        self,
        connection: Connection,
        row: Any,
        item: Any,
        source: JobView,
        wrong: frozenset[str],
        stand_wrong: Mapping[str, str],
    ) -> _Released | Unfit:
        workflow = self._catalog.workflows.get(source.row.workflow)
        if workflow is None:
            return Unfit(f"workflow {source.row.workflow} is no longer in the catalog")
        if row.from_step is not None and row.from_step not in workflow.steps:
            return Unfit(f"workflow {workflow.workflow} has no step “{row.from_step}” any more")
        unsafe = unsafe_steps(workflow)
        if unsafe and not (row.approved_by or "").strip():
            return Unfit(
                f"workflow {workflow.workflow} does {', '.join(unsafe)} by now, which is unsafe to do twice, and "
                "nobody approved this replay; open another one that somebody approves"
            )
        known = partial(artifacts.find, connection)
        inputs = renewed(self._catalog, workflow, source.row.inputs, row.edit, known)
        if isinstance(inputs, Unfit):
            return inputs
        if unfit := _unfit(connection, workflow, source.row.id, inputs):
            return unfit
        found = Source(source.nodes, source.row.inputs, wrong)
        start = _instance(source.nodes, item.subtask_id)
        division = divide(self._catalog, workflow, found, inputs, row.from_step, start)
        if isinstance(division, Unfit):
            return division
        effects = effects_anew(workflow, division, found, inputs)
        keys = effect_keys(source.facts, effects.other | effects.same)
        named = same_name(effects, frozenset(keys[key] for key in begun(connection, keys)))
        if isinstance(named, Unfit):
            return named
        lineage_ = source.row.lineage or source.row.id if named else None
        replaces = stand_wrong.get(source.row.id)
        replaces = None if replaces == lineage_ else replaces
        return _Released(new_id(), source, workflow, inputs, division, lineage_, replaces)

    def _write(self, connection: Connection, row: Any, released: list[_Released], at: float) -> None:
        """The new jobs with what they keep, then what is made anew, as far as it can move at once."""
        kept, left, anew = Batch(at, ACTOR), Batch(at, ACTOR), Batch(at, ACTOR)
        digests: dict[str, str] = {}
        for each in released:
            if each.workflow.workflow not in digests:
                part = self._catalog.part_for(each.workflow)
                digests[each.workflow.workflow] = snapshots.keep(connection, part)
        rows = [_job(each, row, digests[each.workflow.workflow], at) for each in released]
        connection.execute(insert(job), rows)
        roots = _roots(connection, {each.source.row.id for each in released})
        for each, new in zip(released, rows, strict=True):
            _note(
                connection, row.id, each.source.row.id, ItemState.RELEASED, new_job_id=each.id, released_at=at
            )
            kept.events.append(_opened(new, at))
            for place, node in each.division.kept:
                _keep(each, new, place, node, roots.get(node.id, node.id), kept)
            for place, node in each.division.left:
                _leave_out(each, new, place, node, left)
        kept.write(connection)
        left.write(connection)
        views = load(connection, self._snapshots, {each.id for each in released})
        for each in released:
            add_nodes(views[each.id], each.division.anew, f"made anew by replay {row.id}", anew)
            advance_job(views[each.id], anew)
        anew.write(connection)


def _unfit(connection: Connection, workflow: Workflow, source: str, inputs: dict[str, Any]) -> Unfit | None:
    """What stands against a job whose inputs fit by themselves: unknown artifacts, too long a chain."""
    for digest in sorted(digests_in(inputs)):
        if artifacts.find(connection, digest) is None:
            return not_uploaded(digest)
    deep = too_deep(workflow, lineage.depth(connection, source, workflow.stops.depth))
    return Unfit(deep) if deep else None


def _follow(connection: Connection) -> int:
    """Items take the end of their jobs, with one statement."""
    of_it = job.c.id == replay_item.c.new_job_id
    came_to = case((job.c.state == JobState.DONE, ItemState.DONE.value), else_=ItemState.FAILED.value)
    return connection.execute(
        update(replay_item)
        .where(
            replay_item.c.replay_id.in_(select(replay.c.id).where(replay.c.ended_at.is_(None))),
            replay_item.c.state == ItemState.RELEASED,
            exists().where(of_it, job.c.ended_at.is_not(None)),
        )
        .values(
            state=select(came_to).where(of_it).scalar_subquery(),
            why=select(job.c.why).where(of_it).scalar_subquery(),
        )
    ).rowcount


def _end(connection: Connection, at: float) -> int:
    """Replays end in which nothing waits and nothing is open."""
    query = select(replay).where(
        replay.c.ended_at.is_(None), ~exists().where(_OF, replay_item.c.state.in_(_OPEN))
    )
    rows = connection.execute(query.order_by(replay.c.id).with_for_update()).all()
    for row in rows:
        _end_one(connection, row, at)
    return len(rows)


def _end_one(connection: Connection, row: Any, at: float) -> None:
    ended = update(replay).where(replay.c.id == row.id)
    if row.state != ReplayState.RUNNING:  # it was told of when it was aborted
        connection.execute(ended.values(ended_at=at))
        return
    counts = connection.execute(
        select(replay_item.c.state, func.count())
        .where(replay_item.c.replay_id == row.id)
        .group_by(replay_item.c.state)
        .order_by(replay_item.c.state)
    )
    why = f"of {row.total} job(s), " + ", ".join(f"{count} {state}" for state, count in counts)
    connection.execute(ended.values(state=ReplayState.DONE, why=why, ended_at=at))
    sentence = f"replay {row.id} has ended: {why}"
    events.record(connection, Event(at, EventKind.REPLAY_ENDED, ACTOR, sentence=sentence))


def _running(connection: Connection) -> list[str]:
    """The replays in which something waits, the oldest first."""
    query = select(replay.c.id).where(
        replay.c.ended_at.is_(None),
        replay.c.state == ReplayState.RUNNING,
        exists().where(_OF, replay_item.c.state == ItemState.WAITING),
    )
    return list(connection.execute(query.order_by(replay.c.id)).scalars())


def _locked(connection: Connection, replay_id: str) -> Any:
    """Locked, so that nothing is released while it is aborted."""
    return connection.execute(select(replay).where(replay.c.id == replay_id).with_for_update()).one()


def _due(connection: Connection, row: Any, at: float, most: int) -> list[Any]:
    """The items that may be released now, in the order of their jobs."""
    if row.state != ReplayState.RUNNING:
        return []
    own = replay_item.c.replay_id == row.id
    count = select(func.count()).select_from(replay_item)
    open_ = connection.execute(count.where(own, replay_item.c.state == ItemState.RELEASED)).scalar_one()
    lately = 0
    if row.per_minute is not None:
        since = at - window_of(row.per_minute)
        lately = connection.execute(count.where(own, replay_item.c.released_at > since)).scalar_one()
    places = min(room(row.most_open, open_, row.per_minute, lately), most)
    if places == 0:
        return []
    query = select(replay_item).where(own, replay_item.c.state == ItemState.WAITING)
    return list(connection.execute(query.order_by(replay_item.c.job_id).limit(places)))


def _refuse(connection: Connection, item: Any, why: str) -> None:
    _note(connection, item.replay_id, item.job_id, ItemState.REFUSED, why=why[:2000])


def _note(connection: Connection, replay_id: str, job_id: str, state: ItemState, **sets: Any) -> None:
    own = replay_item.c.replay_id == replay_id, replay_item.c.job_id == job_id
    connection.execute(update(replay_item).where(*own).values(state=state, **sets))


def _wrong(connection: Connection, jobs: set[str]) -> frozenset[str]:
    return frozenset(connection.execute(select(taint.c.subtask_id).where(taint.c.job_id.in_(jobs))).scalars())


def _stand_wrong(connection: Connection, jobs: Iterable[str], wrong: frozenset[str]) -> dict[str, str]:
    """For each of these jobs the name of what its chain of replays has applied last, where that was found wrong; with
    two statements for each link of the longest chain."""
    found, ahead = {}, {each: each for each in jobs}
    while ahead:
        rows = connection.execute(_LINKS.where(job.c.id.in_(set(ahead.values())))).all()
        links = {row.id: row for row in rows}
        applied: dict[str, list[Any]] = defaultdict(list)
        for row in connection.execute(_APPLIED.where(subtask.c.job_id.in_(links))):
            applied[row.job_id].append(row)
        for first, last in ahead.items():
            if any(each.cause is not None or each.id in wrong for each in applied[last]):
                found[first] = links[last].lineage or last
        ahead = {
            first: links[last].replay_of
            for first, last in ahead.items()
            if not applied[last] and links[last].replay_of
        }
    return found


def _roots(connection: Connection, jobs: set[str]) -> dict[str, str]:
    """For subtasks that were kept themselves: from which one, so that a chain of replays names the first."""
    query = select(subtask.c.id, subtask.c.kept_from).where(
        subtask.c.job_id.in_(jobs), subtask.c.kept_from.is_not(None)
    )
    return {row.id: row.kept_from for row in connection.execute(query)}


def _instance(nodes: list[Node], subtask_id: str | None) -> Instance | None:
    return next(((node.step, node.item) for node in nodes if node.id == subtask_id), None)


def _job(each: _Released, row: Any, snapshot: str, at: float) -> dict[str, Any]:
    source = each.source.row
    return {
        "id": each.id,
        "tenant": source.tenant,
        "portfolio": source.portfolio,
        "workflow": source.workflow,
        "snapshot": snapshot,
        "purpose": purpose_again(Purpose(source.purpose)),
        "reason": f"replay of {source.id}: {row.reason}",
        "requested_by": row.requested_by,
        "kpi": source.kpi,
        "priority": PRIORITY,
        "max_cost_nano_usd": source.max_cost_nano_usd,
        "stop_at": stop_at(each.workflow.stops, at, deadline=None),
        "inputs": each.inputs,
        "origin": source.origin,
        "replay_id": row.id,
        "replay_of": source.id,
        "lineage": each.lineage,
        "replaces": each.replaces,
        "state": JobState.RUNNING,
        "created_at": at,
    }


def _opened(new: dict[str, Any], at: float) -> Event:
    return Event(at, EventKind.JOB_MOVED, ACTOR, new["id"], new=new["state"], sentence=new["reason"])


def _keep(
    each: _Released, new: dict[str, Any], place: Planned, node: Node, kept_from: str, batch: Batch
) -> None:
    """A finished subtask is born done, with what its source delivered."""
    sets = {"vendor": node.vendor, "summary": each.source.summaries[node.id], "kept_from": kept_from}
    sets["built_on"] = node.built_on
    _born(each, new, place, SubtaskState.DONE, f"kept from {each.source.row.id}", sets, batch)


def _leave_out(each: _Released, new: dict[str, Any], place: Planned, node: Node, batch: Batch) -> None:
    """A lost branch is born skipped, since what is kept went on without it."""
    why = f"left out as in {each.source.row.id}: {node.why or node.state}"
    _born(each, new, place, SubtaskState.SKIPPED, why, {}, batch)


def _born(
    each: _Released,
    new: dict[str, Any],
    place: Planned,
    state: SubtaskState,
    why: str,
    sets: dict[str, Any],
    batch: Batch,
) -> None:
    """A subtask that has its end from the beginning."""
    step, subtask_id = each.workflow.steps[place.step], new_id()
    mapped = source_of(each.workflow, place.step) is not None
    batch.subtasks.append(
        {
            "id": subtask_id,
            "job_id": each.id,
            "tenant": new["tenant"],
            "step": place.step,
            "item": place.item,
            "round": place.round,
            "name": name_of(place.step, place.item, place.round, mapped),
            "lane": step.lane,
            "purpose": purpose_of(new["purpose"], step, place.round),
            "priority": PRIORITY,
            "state": state,
            "why": why,
            "created_at": batch.at,
            "ended_at": batch.at,
            **sets,
        }
    )
    batch.events.append(
        Event(batch.at, EventKind.SUBTASK_MOVED, ACTOR, each.id, subtask_id, new=state, sentence=why)
    )
