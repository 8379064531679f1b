"""Previews: what a replay would do, before anybody opens it. Of each job only its inputs are read, and of no more
than a few thousand jobs; the rest is counted."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, ColumnElement, Connection, String, and_, case, cast, func, literal, or_, select

from contracts.catalog import Catalog
from contracts.lanes import Right
from contracts.purposes import Purpose
from contracts.registry import contract
from contracts.replays import ReplayRequest
from contracts.states import JobState, SubtaskState
from contracts.workflows import ReplayClass, Workflow
from orchestrator.deciders.previewing import Parts, Restart, Tally, divided, edited_fields
from orchestrator.deciders.replaying import purpose_again, replay_class
from orchestrator.deciders.spans import span
from orchestrator.deciders.switches import Work
from orchestrator.ledger.listing import listed
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.ledger.tables import dead_letter, job, subtask, taint
from orchestrator.reads.base import Read, moment
from orchestrator.reads.expectations import Asked, Expected, Load, asked, expectation
from orchestrator.reads.holds import pausing, without_room
from orchestrator.reads.misfits import MOST_READ, misfits
from orchestrator.selections import built_on, found, left_out, replayed_since

MOST_EARLIER = 10


class Share(Read):
    """How many of the jobs belong to one tenant, workflow or lane."""

    name: str
    jobs: int


class StepPreview(Read):
    """One step of the workflows that would run."""

    workflow: str
    step: str
    lane: str | None
    """None where a person is asked."""
    replay_class: ReplayClass
    """What doing it twice does to the world."""
    anew: int
    kept: int
    left: int
    """Lost branches that something kept went on without."""


class Unfit(Read):
    """Jobs that would be refused one by one, and why."""

    jobs: int
    why: str
    """Of the one that is named, where the sentence differs from job to job."""
    example_id: str


class EarlierReplay(Read):
    """A replay that made another job of one that is selected."""

    job_id: str
    replay_id: str
    at: datetime
    new_job_id: str
    state: JobState
    """Of the new job."""


class ReplayPreview(Read):
    """What a replay would do. `sentence` alone is enough for a glance."""

    sentence: str
    jobs: int
    letters: int
    """Dead letters in them that nobody discarded."""
    tenants: tuple[Share, ...]
    workflows: tuple[Share, ...]
    lanes: tuple[Share, ...]
    """In which they died."""
    steps: tuple[StepPreview, ...]
    unfit: tuple[Unfit, ...]
    expected: Expected
    obstacles: tuple[str, ...]
    """What is in its way: against opening it as it was asked for, and what would keep its jobs from starting now."""
    inputs_read: int
    """Of at most so many jobs, the oldest, the inputs were held against today's contract, and edited where an edit is
    given."""
    earlier: tuple[EarlierReplay, ...]
    """Replays before this one of the jobs that are named by their ids, the latest first, at most a few."""


@dataclass(frozen=True)
class _Kind:
    """Jobs that came equally far."""

    workflow: str
    snapshot: str
    named: bool
    starts: Mapping[str, int]
    came: Mapping[str, Tally]
    jobs: int
    example_id: str


def preview(connection: Connection, catalog: Catalog, request: ReplayRequest) -> ReplayPreview:
    """What opening this replay now would do. Of its obstacles only those that would hold its jobs are told."""
    rows = connection.execute(found(connection, request.selection)).all()
    refused = _Refusals()
    for row in rows:
        if row.left_for:
            refused.add("of the same chain", left_out(row.left_for), row.job_id)
    taken = [row for row in rows if not row.left_for]
    # As what they are, since finding them again would cost each of the following statements as much.
    ids = listed(connection, (row.job_id for row in taken)).subquery()
    chosen = select(ids.c.value.label("job_id")).cte("chosen")
    starts = {row.subtask_id for row in taken if row.subtask_id}
    misfit = misfits(connection, catalog, select(chosen.c.job_id), request)
    for job_id, each in misfit.items():
        refused.add(each.kind, each.why, job_id)
    snapshots = Snapshots()
    steps: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    fit = 0
    built = built_on(connection, downstream) if (downstream := request.selection.downstream_of) else set()
    for kind in _kinds(connection, chosen, misfit.keys(), starts, built):
        division = _divided(kind, catalog, request)
        why = _unfit(kind, catalog, snapshots.get(connection, kind.snapshot), division)
        if why:
            refused.add(why, why, kind.example_id, kind.jobs)
            continue
        fit += kind.jobs
        for name, parts in division.items():
            for part, count in vars(parts).items():
                steps[kind.workflow, name][part] += count * kind.jobs
    jobs = fit + refused.jobs
    shown = tuple(_step(catalog, *place, tally) for place, tally in steps.items())
    calls = asked(connection, catalog, select(chosen.c.job_id), _loads(shown))
    expected = _paced(expectation(connection, calls), request, fit)
    letters, lanes = _letters(connection, chosen)
    tenants = _shares(connection, chosen, job.c.tenant)
    purposes = _shares(connection, chosen, job.c.purpose)
    holds = _holds(connection, catalog, shown, calls, tenants, purposes)
    return ReplayPreview(
        sentence=_sentence(jobs, fit, shown, expected, holds),
        jobs=jobs,
        letters=letters,
        tenants=tenants,
        workflows=_shares(connection, chosen, job.c.workflow),
        lanes=lanes,
        steps=shown,
        unfit=refused.told,
        expected=expected,
        obstacles=holds,
        inputs_read=min(jobs, MOST_READ),
        earlier=tuple(_earlier(connection, chosen)) if request.selection.ids else (),
    )


class _Refusals:
    """Jobs that would be refused, by what is the same of their reasons."""

    def __init__(self) -> None:
        self._found: dict[str, Unfit] = {}

    def add(self, kind: str, why: str, example_id: str, jobs: int = 1) -> None:
        before = self._found.get(kind, Unfit(jobs=0, why=why, example_id=example_id))
        self._found[kind] = before.model_copy(update={"jobs": before.jobs + jobs})

    @property
    def jobs(self) -> int:
        return sum(each.jobs for each in self._found.values())

    @property
    def told(self) -> tuple[Unfit, ...]:
        """The most frequent first."""
        return tuple(sorted(self._found.values(), key=lambda each: (-each.jobs, each.why)))


def _earlier(connection: Connection, chosen: CTE) -> Iterator[EarlierReplay]:
    for row in connection.execute(replayed_since(select(chosen.c.job_id)).limit(MOST_EARLIER)):
        yield EarlierReplay(
            job_id=row.of,
            replay_id=row.replay_id,
            at=moment(row.created_at),
            new_job_id=row.id,
            state=row.state,
        )


def _kinds(
    connection: Connection,
    chosen: CTE,
    without: Collection[str],
    starts: Collection[str],
    built: Collection[str],
) -> Iterator[_Kind]:
    """The chosen jobs, without these, by workflow, snapshot and how many instances of each step were done in the
    latest round, how many of those do not hold any more, and which was named. What was `built` on the result that
    is named does not, nor what was found wrong."""
    ids = select(chosen.c.job_id)
    taken_back = [select(taint.c.subtask_id)] + ([listed(connection, built)] if built else [])
    wrong = or_(*(subtask.c.id.in_(each) for each in taken_back))
    void = _one_if(and_(wrong, subtask.c.state == SubtaskState.DONE))
    came = case((subtask.c.state == SubtaskState.DONE, 1), (subtask.c.state == SubtaskState.DEAD, 2), else_=0)
    instances = (
        select(
            subtask.c.job_id,
            subtask.c.step,
            func.max(subtask.c.round * 3 + came).label("latest"),
            func.max(_one_if(subtask.c.id.in_(listed(connection, starts)))).label("named"),
            func.max(subtask.c.round * 2 + void).label("void"),
        )
        .where(
            subtask.c.job_id.in_(ids)
        )  # a join would be slow on SQLite, which cannot tell how many they are
        .group_by(subtask.c.job_id, subtask.c.step, subtask.c.item)
        .subquery()
    )
    done, dead = (func.sum(_one_if(instances.c.latest % 3 == ending)) for ending in (1, 2))
    told: ColumnElement[Any] = instances.c.step
    restarts = func.sum(_one_if((instances.c.named == 1) | (instances.c.void % 2 == 1)))
    for number in (done, dead, func.count(), restarts, func.max(instances.c.named)):
        told = told + literal("/") + cast(number, String)
    steps = (
        select(instances.c.job_id, told.label("came"))
        .group_by(instances.c.job_id, instances.c.step)
        .subquery()
    )
    shapes = (
        select(steps.c.job_id, func.aggregate_strings(steps.c.came, " ").label("shape"))
        .group_by(steps.c.job_id)
        .subquery()
    )
    shape = func.coalesce(shapes.c.shape, "").label("shape")  # none where it ended before it was planned
    each = select(job.c.id, job.c.workflow, job.c.snapshot, shape)
    rows = connection.execute(
        each.outerjoin(shapes, shapes.c.job_id == job.c.id).where(job.c.id.in_(ids)).order_by(job.c.id)
    )
    alike: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in rows:
        if row.id not in without:
            alike[row.workflow, row.snapshot, row.shape].append(row.id)
    for (workflow, snapshot, told_shape), jobs in alike.items():
        yield _kind(workflow, snapshot, told_shape, jobs)


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _kind(workflow: str, snapshot: str, shape: str, jobs: list[str]) -> _Kind:
    came: dict[str, Tally] = {}
    starts: dict[str, int] = {}
    named = False
    for told in shape.split():
        name, done, dead, total, start, is_named = told.split("/")
        came[name] = Tally(int(done), int(dead), int(total))
        starts[name] = int(start)
        named = named or is_named == "1"
    return _Kind(workflow, snapshot, named, starts, came, len(jobs), jobs[0])


def _divided(kind: _Kind, catalog: Catalog, request: ReplayRequest) -> dict[str, Parts]:
    workflow = catalog.workflows.get(kind.workflow)
    if workflow is None:
        return {}
    edited = edited_fields(request.edit or (), contract(workflow.inputs).model_fields)
    return divided(workflow, kind.came, Restart(request.from_step, kind.named, kind.starts, edited))


def _unfit(kind: _Kind, catalog: Catalog, planned_with: Catalog, division: Mapping[str, Parts]) -> str | None:
    """Why jobs of this kind would be refused, as far as that can be told without looking at each."""
    workflow = catalog.workflows.get(kind.workflow)
    if workflow is None:
        return f"workflow {kind.workflow} is no longer in the catalog"
    if any(catalog.lanes[step.lane].right is Right.CARRY for step in workflow.steps.values() if step.lane):
        return f"{kind.workflow} carried a vendor's batch, whose requests went on by themselves when it ended"
    if not any(parts.anew for parts in division.values()):
        return "all of it is done and no step was named to start from"
    return next(_outdated(kind, catalog, workflow, planned_with, division), None)


def _outdated(
    kind: _Kind, catalog: Catalog, workflow: Workflow, planned_with: Catalog, division: Mapping[str, Parts]
) -> Iterator[str]:
    """Steps that would be kept, and whose outputs are no longer what the catalog's step makes."""
    before = planned_with.workflows[kind.workflow].steps
    for name, step in workflow.steps.items():
        if not division[name].kept or step.lane is None or name not in before or before[name].lane is None:
            continue
        made, makes = planned_with.operation(before[name]).output, catalog.operation(step).output
        if made != makes:
            yield f"{name} delivered a {made}, and makes a {makes} now; replay from step {name}"


def _step(catalog: Catalog, workflow: str, name: str, tally: Counter[str]) -> StepPreview:
    step = catalog.workflows[workflow].steps[name]
    return StepPreview(
        workflow=workflow,
        step=name,
        lane=step.lane,
        replay_class=replay_class(step),
        anew=tally["anew"],
        kept=tally["kept"],
        left=tally["left"],
    )


def _shares(connection: Connection, chosen: CTE, column: Any) -> tuple[Share, ...]:
    among = job.c.id.in_(select(chosen.c.job_id))
    query = select(column.label("name"), func.count().label("jobs")).where(among)
    rows = connection.execute(query.group_by(column).order_by(func.count().desc(), column))
    return tuple(Share(name=row.name, jobs=row.jobs) for row in rows)


def _letters(connection: Connection, chosen: CTE) -> tuple[int, tuple[Share, ...]]:
    """How many dead letters there are, and in how many of the jobs each lane has one."""
    letter = dead_letter.c
    query = (
        select(
            letter.lane,
            func.count().label("letters"),
            func.count(letter.job_id.distinct()).label("jobs"),
        )
        .where(letter.job_id.in_(select(chosen.c.job_id)), letter.discarded_at.is_(None))
        .group_by(letter.lane)
        .order_by(func.count().desc(), letter.lane)
    )
    rows = connection.execute(query).all()
    shares = tuple(Share(name=row.lane or "a person", jobs=row.jobs) for row in rows)
    return sum(row.letters for row in rows), shares


def _loads(steps: Iterable[StepPreview]) -> list[Load]:
    return [Load(step.workflow, step.step, step.lane, step.anew) for step in steps if step.lane and step.anew]


def _paced(expected: Expected, request: ReplayRequest, jobs: int) -> Expected:
    """With the replay's own pace, where that takes longer."""
    own = jobs / request.per_minute if request.per_minute else 0.0
    if own <= expected.minutes:
        return expected
    return expected.model_copy(
        update={"minutes": own, "held_by": f"its own pace of {request.per_minute:g} jobs a minute"}
    )


def _holds(
    connection: Connection,
    catalog: Catalog,
    steps: Iterable[StepPreview],
    calls: tuple[Asked, ...],
    tenants: tuple[Share, ...],
    purposes: tuple[Share, ...],
) -> tuple[str, ...]:
    """What would keep from starting what would be made anew."""
    works = []
    for step in steps:
        if step.anew:
            model = catalog.lanes[step.lane].model if step.lane else None
            vendor = model.vendor if model else None
            works.append(Work(lane=step.lane, vendor=vendor, workflow=step.workflow))
    works += [Work(tenant=share.name) for share in tenants] if works else []
    again = {purpose_again(Purpose(share.name)) for share in purposes}
    capped = without_room(connection, calls, {share.name for share in tenants}, again)
    return (*pausing(connection, works), *capped)


def _sentence(
    jobs: int, fit: int, steps: Iterable[StepPreview], expected: Expected, holds: tuple[str, ...]
) -> str:
    if jobs == 0:
        return "It finds no ended job that waits for a replay; nothing would happen."
    anew = sum(step.anew for step in steps)
    kept = sum(step.kept for step in steps)
    refused = f", {jobs - fit} of them refused" if fit < jobs else ""
    if jobs > MOST_READ:
        refused += f" (the inputs of the oldest {MOST_READ:,} were looked at)"
    lasts = "the budgets let all of it go at once"
    if expected.held_by:
        lasts = f"it takes at least {span(expected.minutes * 60)} ({expected.held_by})"
    if holds:
        more = f" (and {len(holds) - 1} more)" if len(holds) > 1 else ""
        lasts += f", but not while this holds: {holds[0]}{more}"
    return (
        f"{jobs} job(s) would be run again as new jobs{refused}: {anew} subtask(s) made anew and {kept} kept, about "
        f"{expected.calls} request(s), {expected.input_tokens + expected.output_tokens} tokens and "
        f"${expected.usd:.2f}; {lasts}."
    )
