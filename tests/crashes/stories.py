"""What the fleet is doing when something ends: together the stories pass every place that no excuse names."""

from collections.abc import Callable

from sqlalchemy import insert, select, update

from contracts.failures import Code
from contracts.replays import ReplayRequest
from orchestrator import capping, escalations, inbox, pausing, replaying, sharing, tainting, tuning, unsigned
from orchestrator.cancelling import request_cancel
from orchestrator.deciders import spending, switches
from orchestrator.ledger import tables
from orchestrator.ledger.ids import new_id
from tests.crashes.world import World
from tests.integration.small_fleet import SILENCE, break_report, fails, objects


def plain(world: World) -> None:
    """A job of nothing but turns, and its webhook."""
    world.submit("fan", documents=2)
    world.settle()


def published(world: World) -> None:
    """A brief that is objected to once, approved and published."""
    world.hands.will("review", objects())
    world.submit("brief")
    world.settle()


def mended(world: World) -> None:
    """A summary of which one subtask is lost and another repaired."""
    world.hands.will("research[2]", SILENCE)
    world.hands.will("research[3]", fails(Code.CUT))
    world.submit("summary", documents=3)
    world.settle()


def cancelled(world: World) -> None:
    """A job that is cancelled while it runs."""
    job_id = world.submit("fan", documents=3)
    for _ in range(2):
        world.lead()
        world.ring()
        world.work()
    world.acts(lambda: request_cancel(world.ledger, job_id, "alice"))
    world.settle()


def repeated(world: World) -> None:
    """The same question twice at once: one is asked, and the other follows it."""
    world.submit("summary")
    world.submit("summary")
    world.settle()


def half_published(world: World) -> None:
    """The worker is gone just after it wrote to the site: the next one reads before it writes."""
    world.hands.gone_after_writing = True
    world.submit("summary")
    world.settle()


def flawed(world: World) -> None:
    """A report that nobody can read parks its subtask, until its job is cancelled."""
    job_id = world.submit("fan")
    while not (reported := _reported(world)):
        world.lead()
        world.ring()
        world.work()
    break_report(world.ledger, reported)
    for _ in range(4):
        world.lead()
        world.clock.forward(3.0)
    world.acts(lambda: request_cancel(world.ledger, job_id, "alice"))
    world.settle()


def _reported(world: World) -> str | None:
    query = select(tables.attempt.c.id).where(tables.attempt.c.state == "reported")
    with world.ledger.read() as connection:
        return connection.execute(query).scalar()


def refused(world: World) -> None:
    """A page that is approved and that the site refuses is planned again, approved again and published."""
    world.hands.taken = ("publish",)
    world.submit("brief")
    world.settle()


def replayed(world: World) -> None:
    """A job that failed is replayed, another discarded, and a replay aborted."""
    world.hands.will("draft", *[fails(Code.REFUSED, "the vendor refused it")] * 3)
    jobs = [world.submit("summary", documents=number) for number in (1, 2, 3)]
    world.settle()
    world.acts(lambda: replaying.open_replay(world.ledger, world.catalog, _again(jobs[0])))
    world.settle()
    world.acts(lambda: replaying.open_replay(world.ledger, world.catalog, _again(jobs[1])))
    (opened,) = _open_replays(world)
    world.acts(lambda: replaying.abort(world.ledger, opened, "carol", "it was the wrong one"))
    world.settle()
    with world.ledger.read() as connection:
        letter = tables.dead_letter
        dead = connection.execute(select(letter.c.subtask_id).where(letter.c.job_id == jobs[2])).scalar_one()
    world.acts(lambda: inbox.discard(world.ledger, dead, "carol", "nobody reads it any more"))


def _again(job_id: str) -> ReplayRequest:
    given = {
        "selection": {"ids": [job_id]},
        "requested_by": "carol",
        "reason": "it is well",
        "dry_run": False,
    }
    return ReplayRequest.model_validate(given)


def _open_replays(world: World) -> list[str]:
    with world.ledger.read() as connection:
        return list(
            connection.execute(select(tables.replay.c.id).where(tables.replay.c.ended_at.is_(None))).scalars()
        )


def operated(world: World) -> None:
    """Operators set what they may set while a job runs, and upkeep looks at the clock."""
    world.submit("summary")
    ledger, catalog, by = world.ledger, world.catalog, ("olga", "a trial")
    fleet, day = (spending.Scope.FLEET, ""), spending.Period.DAY
    world.acts(lambda: capping.set_cap(ledger, catalog, *fleet, day, 1000.0, *by))
    world.acts(lambda: sharing.set_floor(ledger, catalog, sharing.FloorKind.LANE, "draft", 0.1, *by))
    world.acts(lambda: sharing.set_weight(ledger, "acme", 2.0, *by))
    with ledger.read() as connection:
        budget = (
            connection.execute(select(tables.budget.c.key).order_by(tables.budget.c.key)).scalars().first()
        )
    assert budget is not None
    world.acts(lambda: tuning.set_limit(ledger, budget, "requests", 100.0, *by))
    with ledger.engine.begin() as connection:
        until = {"closed_until": world.clock.at + 60, "closed_why": "a trial"}
        connection.execute(update(tables.budget).where(tables.budget.c.key == budget).values(until))
    world.acts(lambda: tuning.open_account(ledger, budget, *by))
    world.acts(
        lambda: pausing.hold(ledger, catalog, pausing.Wish(switches.Scope.LANE, "draft", "olga", "a trial"))
    )
    world.lead()
    world.acts(lambda: pausing.release(ledger, "lane", "draft", *by))
    world.acts(world.ticker.run)
    world.acts(lambda: unsigned.sign(ledger))
    world.settle()
    _called(world)
    world.acts(lambda: world.door.leave(world.hands.name))
    world.acts(lambda: world.hands.announce(tuple(catalog.lanes)))
    world.acts(world.node.leadership.resign)
    world.submit("fan")
    world.settle()


def _called(world: World) -> None:
    """A person is called, told, and takes note."""
    called = new_id()
    call = {"id": called, "route": "log", "drill": True, "sentence": "a trial", "opened_at": world.clock.at}
    with world.ledger.engine.begin() as connection:
        connection.execute(insert(tables.escalation).values(call))
    world.acts(lambda: escalations.tell(world.ledger, world.escalation_log))
    world.acts(lambda: inbox.acknowledge(world.ledger, called, "olga"))


def found_wrong(world: World) -> None:
    """A result turns out to be wrong once its job has ended."""
    job_id = world.submit("summary")
    world.settle()
    with world.ledger.read() as connection:
        wanted = (tables.subtask.c.job_id == job_id, tables.subtask.c.name == "draft")
        draft = connection.execute(select(tables.subtask.c.id).where(*wanted)).scalar_one()
    world.acts(lambda: tainting.find_wrong(world.ledger, draft, "olga", "a reader says so"))
    world.settle()


def asked_by_herself(world: World) -> None:
    """Who asked for a page answers for it: that is refused, and written down."""
    world.submit("brief", requested_by="bob")
    world.answers_by = "alice"
    world.refused_first = "bob"
    world.settle()


STORIES: dict[str, Callable[[World], None]] = {
    each.__name__: each
    for each in (
        plain,
        cancelled,
        flawed,
        mended,
        half_published,
        repeated,
        published,
        refused,
        replayed,
        found_wrong,
        operated,
        asked_by_herself,
    )
}
"""From short to long."""
