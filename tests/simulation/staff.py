"""People who watch over the simulated fleet, by the acts that API and CLI call: on call, operators, and readers."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, exists, select

from contracts.replays import ReplayRequest, Selection
from contracts.states import SubtaskState
from orchestrator import inbox, pausing, replaying
from orchestrator.cancelling import request_cancel
from orchestrator.deciders.switches import Scope
from orchestrator.ledger.tables import dead_letter, job, pause, replay, subtask, taint
from orchestrator.problems import Problem
from orchestrator.reads.previews import preview
from orchestrator.selections import unsettled
from orchestrator.tainting import find_wrong
from tests.simulation.world import TENANTS, Violation, World

_OF_ENDED = subtask.c.job_id.in_(select(job.c.id).where(job.c.ended_at.is_not(None)))
ENDED, OPEN = job.c.ended_at.is_not(None), job.c.ended_at.is_(None)


def on_call(world: World) -> None:
    """Has what ended run again; thinks better of it; or lets a dead letter lie."""
    act = world.chance.choices((_replays, _aborts, _discards), (6, 2, 1))[0]
    act(world)


def operator(world: World) -> None:
    """Holds something, or kills it; mostly lets go on what was held."""
    held = world.rows(select(pause.c.scope, pause.c.name).order_by(pause.c.scope, pause.c.name))
    if held and world.chooses(0.7):
        _resumes(world, world.chance.choice(held))
    elif len(held) < 2:
        _holds(world)


def reader(world: World) -> None:
    """Finds a result wrong, and mostly has what was built on it made anew."""
    unmarked = ~exists().where(taint.c.subtask_id == subtask.c.id)
    if not world.chooses(0.3):
        return
    done = (subtask.c.state == SubtaskState.DONE) & unmarked
    found = _any(world, subtask.c.id, done & _OF_ENDED if world.chooses(0.5) else done)
    if found is None:
        return
    if _done(world, "finds a result wrong", lambda: find_wrong(world.ledger, found, "rita", "it is wrong")):
        cause = world.chance.choice(world.rows(select(taint.c.cause).distinct().order_by(taint.c.cause)))
        if world.chooses(0.7):
            _opens(world, Selection(downstream_of=cause.cause), "downstream of what is wrong")


def client(world: World) -> None:
    """Somebody cancels a job, whoever made it."""
    chosen = _any(world, job.c.id, OPEN)
    if chosen is not None and world.chooses(0.08):
        _done(world, "cancels a job", lambda: request_cancel(world.ledger, chosen, "alice"))


def everything_goes_on(world: World) -> None:
    """Whatever is held is let go on."""
    for held in world.rows(select(pause.c.scope, pause.c.name)):
        _resumes(world, held)


def _replays(world: World) -> None:
    kind = world.chance.choice(("jobs", "a subtask", "a filter", "a filter"))
    match kind:
        case "jobs":
            found = [_any(world, job.c.id, ENDED) for _ in range(world.chance.choice((1, 3, 5)))]
        case "a subtask":
            found = [_any(world, subtask.c.id, _OF_ENDED)]
        case _:
            found = []
    ids = tuple(dict.fromkeys(each for each in found if each))
    selection = Selection(ids=ids) if ids else _filter(world)
    if selection is not None:
        _opens(world, selection, f"by {kind}")


def _filter(world: World) -> Selection | None:
    """What one of the dead letters that wait for somebody has in common with others."""
    query = select(dead_letter, job.c.workflow).join(job, job.c.id == dead_letter.c.job_id)
    letters = world.rows(query.where(unsettled()).order_by(dead_letter.c.subtask_id))
    if not letters:
        return None
    letter = world.chance.choice(letters)
    name = world.chance.choice(("signature", "lane", "category", "code", "tenant", "workflow"))
    return Selection(**{name: getattr(letter, name)}) if getattr(letter, name) else None


def _opens(world: World, selection: Selection, how: str) -> None:
    """May look first, opens what was shown, and may think better of it at once."""
    chance = world.chance
    workflow = world.catalog.workflows[chance.choice(sorted(world.submitted or {"fan"}))]
    request = ReplayRequest(
        selection=selection,
        requested_by="carol",
        reason="its cause is gone",
        approved_by=chance.choice((None, *["dave"] * 6, "Carol")),
        edit=chance.choices((None, *_EDITS), (6, 1, 1, 1))[0],
        from_step=chance.choice(sorted(workflow.steps)) if world.chooses(0.3) else None,
        per_minute=chance.choice((None, None, 20, 60)),
        most_open=chance.choice((1, 1, 50)),
        again=bool(selection.ids) and world.chooses(0.5),
        dry_run=False,
    )
    looks, shown = world.chooses(0.25), list[int]()
    opened: list[str] = []

    def opens() -> None:
        replaying.check(request)
        with world.ledger.read() as connection:
            replaying.check_ids(connection, selection)
            if looks:
                shown.append(preview(connection, world.catalog, request).jobs)
        opened.append(replaying.open_replay(world.ledger, world.catalog, request))

    if not _done(world, f"replays {how}", opens):
        return
    for what, is_so in {
        "with an edit": request.edit,
        "from a step": request.from_step,
        "approved": request.approved_by,
    }.items():
        world.happened[f"a replay {what}"] += bool(is_so)
    (row,) = world.rows(select(replay.c.total).where(replay.c.id == opened[0]))
    if shown and [row.total] != shown:
        raise Violation(
            f"the preview of replay {opened[0]} showed {shown[0]} job(s), and it took up {row.total}"
        )
    if world.chooses(0.2):
        _aborts(world)


_EDITS: tuple[tuple[dict[str, Any], ...], ...] = (
    ({"op": "replace", "path": "/question", "value": "What else stands there?"},),
    ({"op": "add", "path": "/items/-", "value": "another"},),
    ({"op": "replace", "path": "/items", "value": ["only this"]},),
)


def _aborts(world: World) -> None:
    chosen = _any(world, replay.c.id, replay.c.ended_at.is_(None))
    if chosen is None:
        return
    cancel = world.chooses(0.5)
    told = "aborts a replay and cancels its jobs" if cancel else "aborts a replay"
    _done(world, told, lambda: replaying.abort(world.ledger, chosen, "carol", "it was the wrong one", cancel))


def _discards(world: World) -> None:
    chosen = _any(world, dead_letter.c.subtask_id, dead_letter.c.discarded_at.is_(None))
    if chosen is not None:
        _done(
            world,
            "discards a dead letter",
            lambda: inbox.discard(world.ledger, chosen, "carol", "let it lie"),
        )


def _holds(world: World) -> None:
    chance, scope = world.chance, world.chance.choice(list(Scope))
    names: dict[Scope, list[str]] = {
        Scope.FLEET: [""],
        Scope.LANE: sorted(world.catalog.lanes),
        Scope.VENDOR: sorted(world.catalog.vendors),
        Scope.TENANT: list(TENANTS),
        Scope.WORKFLOW: sorted(world.submitted or {"fan"}),
    }
    kills, lasts = world.chooses(0.4), chance.choice((None, 5.0, 60.0))
    wish = pausing.Wish(scope, chance.choice(names[scope]), "olga", "a trial", kills, lasts)
    verb = "kills" if kills else "pauses"
    _done(world, f"{verb} by {scope}", lambda: pausing.hold(world.ledger, world.catalog, wish))


def _resumes(world: World, held: Any) -> None:
    _done(
        world,
        "lets go on what was held",
        lambda: pausing.release(world.ledger, held.scope, held.name, "olga", "it is over"),
    )


def _any(world: World, column: ColumnElement[str], condition: ColumnElement[bool]) -> str | None:
    """One of the ids that fit, by chance; None where none does."""
    found = world.rows(select(column).where(condition).order_by(column))
    return str(world.chance.choice(found)[0]) if found else None


def _done(world: World, what: str, act: Callable[[], object]) -> bool:
    """Whether somebody's act was heard and not refused; either is counted."""
    try:
        heard = world.guarded(act)
    except Problem as refused:
        world.happened[f"refused with {type(refused).__name__}: who {what}"] += 1
        return False
    world.happened[f"somebody {what}"] += heard
    return heard
