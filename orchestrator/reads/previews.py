"""Previews: what a replay would do, before anybody opens it. Of each job only its inputs are read, and of no more
than a few thousand jobs; the rest is counted."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, ColumnElement, Connection, String, and_, case, cast, func, literal, or_, select

from contracts.catalog import Catalog
from contracts.purposes import Purpose
from contracts.registry import contract
from contracts.replays import ReplayRequest
from contracts.states import JobState, SubtaskState
from contracts.workflows import ReplayClass
from orchestrator.deciders.handing import JobFacts, effect_keys
from orchestrator.deciders.nodes import Planned
from orchestrator.deciders.previewing import (
    Renewal,
    Shape,
    Stage,
    divided,
    edited_fields,
    shape_of,
    supposed,
)
from orchestrator.deciders.replaying import (
    Division,
    Effects,
    Instance,
    purpose_again,
    replay_class,
    same_name,
)
from orchestrator.deciders.replaying import Unfit as Misfit
from orchestrator.deciders.spans import span
from orchestrator.deciders.stopping import too_deep
from orchestrator.deciders.switches import Work
from orchestrator.ledger import lineage
from orchestrator.ledger.listing import listed
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.ledger.tables import dead_letter, job, subtask, taint
from orchestrator.reads.base import Read, moment
from orchestrator.reads.expectations import Asked, Expected, Load, asked, expectation
from orchestrator.reads.holds import pausing, without_room
from orchestrator.reads.misfits import MOST_READ, Readings, readings
from orchestrator.selections import begun, built_on, found, left_out, left_standing, replayed_since

MOST_EARLIER = 10
_ENDINGS = {"0": SubtaskState.SKIPPED, "1": SubtaskState.DONE, "2": SubtaskState.DEAD}
_FACTS = select(job.c.id, job.c.lineage, job.c.replaces, job.c.tenant, job.c.portfolio, job.c.purpose)


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
    """Jobs of which a replay decides alike."""

    workflow: str
    snapshot: str
    shape: Shape


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
    read = readings(connection, catalog, select(chosen.c.job_id), request)
    for job_id, each in read.unfit.items():
        refused.add(each.kind, each.why, job_id)
    snapshots = Snapshots()
    steps: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    fit = 0
    built = built_on(connection, downstream) if (downstream := request.selection.downstream_of) else set()
    ended = _ended(connection, chosen, starts, built)
    for kind, alike in _kinds(connection, catalog, chosen, ended, read, request, refused).items():
        of_today, of_then = catalog.workflows[kind.workflow], snapshots.get(connection, kind.snapshot)
        divided_ = divided(catalog, of_today, of_then, kind.shape, request.from_step)
        if isinstance(divided_, Misfit):
            refused.add(divided_.kind, divided_.kind, alike[0], len(alike))
            continue
        count = len(alike) - _of_two_names(connection, divided_.effects, alike, refused)
        fit += count
        for part, places in _parts(divided_.division):
            for place in places:
                steps[kind.workflow, place.step][part] += count
    jobs = fit + refused.jobs
    shown = tuple(_step(catalog, *place, tally) for place, tally in steps.items())
    calls = asked(connection, catalog, select(chosen.c.job_id), _loads(shown))
    expected = _paced(expectation(connection, calls), request, fit)
    letters, lanes = _letters(connection, chosen)
    tenants = _shares(connection, chosen, job.c.tenant)
    purposes = _shares(connection, chosen, job.c.purpose)
    holds = _holds(connection, catalog, shown, calls, tenants, purposes)
    return ReplayPreview(
        sentence=_sentence(jobs, fit, shown, expected, holds) + _left_standing(connection, request),
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
    catalog: Catalog,
    chosen: CTE,
    ended: Iterable[Any],
    read: Readings,
    request: ReplayRequest,
    refused: "_Refusals",
) -> dict[_Kind, list[str]]:
    """The ids of the jobs that are alike; those that are refused for what they are alone go to the others."""
    most = max((workflow.stops.depth for workflow in catalog.workflows.values()), default=0)
    depths = lineage.depths(connection, select(chosen.c.job_id), most)
    kinds: dict[_Kind, list[str]] = defaultdict(list)
    known: dict[tuple[str, str, str, Renewal | None], list[str]] = {}
    for row in ended:
        workflow = catalog.workflows.get(row.workflow)
        if workflow is None:
            why = f"workflow {row.workflow} is no longer in the catalog"
            refused.add(why, why, row.id)
        elif row.id in read.unfit:
            continue
        elif deep := too_deep(workflow, min(depths.get(row.id, 1), workflow.stops.depth)):
            refused.add(f"{row.workflow} too deep", deep, row.id)
        else:
            renewed = read.renewed.get(row.id)
            key = (row.workflow, row.snapshot, row.shape, renewed)
            if key not in known:
                came = _came(row.shape)
                fields = contract(workflow.inputs).model_fields
                supposed_ = supposed(workflow, came, edited_fields(request.edit or (), fields))
                shape = shape_of(workflow, came, renewed or supposed_)
                known[key] = kinds[_Kind(row.workflow, row.snapshot, shape)]
            known[key].append(row.id)
    return kinds


def _came(told: str) -> dict[Instance, Stage]:
    """How far each instance came, out of what `_ended` tells."""
    came = {}
    for each in told.split():
        step, item, ending, void, named = each.split("/")
        came[step, int(item)] = Stage(step, _ENDINGS[ending], void == "1", named == "1")
    return came


def _parts(division: Division) -> Iterator[tuple[str, Iterable[Planned]]]:
    yield "anew", division.anew
    yield "kept", (place for place, _ in division.kept)
    yield "left", (place for place, _ in division.left)


def _of_two_names(connection: Connection, effects: Effects, jobs: list[str], refused: "_Refusals") -> int:
    """How many of these jobs are refused since one name of their effects would have to mean two things."""
    if not effects.other or not effects.same:
        return 0
    every, keys = effects.other | effects.same, dict[str, dict[str, str]]()
    rows = connection.execute(_FACTS.where(job.c.id.in_(listed(connection, jobs))).order_by(job.c.id))
    for row in rows:
        keys[row.id] = effect_keys(JobFacts(**row._mapping, inputs={}), every)
    known = begun(connection, {key for each in keys.values() for key in each})
    count = 0
    for job_id, steps in keys.items():
        named = same_name(effects, frozenset(steps[key] for key in known & steps.keys()))
        if isinstance(named, Misfit):
            refused.add(named.kind, named.why, job_id)
            count += 1
    return count


def _ended(
    connection: Connection, chosen: CTE, starts: Collection[str], built: Collection[str]
) -> Iterator[Any]:
    """The chosen jobs (`id`, `workflow`, `snapshot`) and how far each came: `shape` tells of every instance of its
    steps the end of the latest round, whether that does not hold any more, and whether it was named. What was `built`
    on the result that is named does not, nor what was found wrong."""
    ids = select(chosen.c.job_id)
    taken_back = [select(taint.c.subtask_id)] + ([listed(connection, built)] if built else [])
    wrong = or_(*(subtask.c.id.in_(each) for each in taken_back))
    void = _one_if(and_(wrong, subtask.c.state == SubtaskState.DONE))
    came = case((subtask.c.state == SubtaskState.DONE, 1), (subtask.c.state == SubtaskState.DEAD, 2), else_=0)
    numbers: tuple[ColumnElement[Any], ...] = (
        func.max(subtask.c.round * 3 + came) % 3,
        func.max(subtask.c.round * 2 + void) % 2,
        func.max(_one_if(subtask.c.id.in_(listed(connection, starts)))),
    )
    told: ColumnElement[Any] = subtask.c.step + literal("/") + cast(subtask.c.item, String)
    for number in numbers:
        told = told + literal("/") + cast(number, String)
    instances = (
        select(subtask.c.job_id, told.label("came"))
        .where(
            subtask.c.job_id.in_(ids)
        )  # a join would be slow on SQLite, which cannot tell how many they are
        .group_by(subtask.c.job_id, subtask.c.step, subtask.c.item)
        .subquery()
    )
    shapes = (
        select(instances.c.job_id, func.aggregate_strings(instances.c.came, " ").label("shape"))
        .group_by(instances.c.job_id)
        .subquery()
    )
    shape = func.coalesce(shapes.c.shape, "").label("shape")  # none where it ended before it was planned
    each = select(job.c.id, job.c.workflow, job.c.snapshot, shape)
    yield from connection.execute(
        each.outerjoin(shapes, shapes.c.job_id == job.c.id).where(job.c.id.in_(ids)).order_by(job.c.id)
    )


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


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


def _left_standing(connection: Connection, request: ReplayRequest) -> str:
    left = left_standing(connection, request.selection)
    return f" {left}." if left else ""


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
