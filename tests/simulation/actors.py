"""Who acts in the simulation: one function each, which does one small thing, or does it wrongly by chance.

To let a new feature be tried, write its actor, or that of a person in `staff.py`, and give it a weight in `ACTORS`.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from contracts.failures import Code, Failure
from contracts.handoffs import Handoff
from orchestrator.door import Claim
from orchestrator.inbox import answer
from orchestrator.ledger import tables
from orchestrator.ledger.ids import new_id
from orchestrator.problems import Problem
from tests.integration.small_fleet import Deed, delivers, fails, objects
from tests.simulation.staff import client, on_call, operator, reader
from tests.simulation.world import BEAT_SECONDS, MOST_JOBS, NODES, Work, Worker, World

WORKFLOWS = ("fan", "summary", "summary", "brief", "mailing", "joins", "wire")
VENDOR_FAULTS = {
    Code.RATE_LIMITED: 3,
    Code.OVERLOADED: 3,
    Code.TIMEOUT: 2,
    Code.CUT: 2,
    Code.NOT_JSON: 1,
    Code.BREAKS_CONTRACT: 1,
    Code.REFUSED: 1,
}


def upstream(world: World) -> None:
    """Submits a job, as long as there are few; some have little time."""
    if len(world.jobs) >= MOST_JOBS:
        return
    workflow, documents = world.chance.choice(WORKFLOWS), world.chance.randint(1, 3)
    fields: dict[str, Any] = {"priority": world.chance.randrange(4)}
    if world.chooses(0.15):
        world.happened["a job has a deadline"] += 1
        fields["deadline"] = datetime.fromtimestamp(world.clock.at + world.chance.uniform(10, 200), UTC)
    world.guarded(lambda: world.submit(workflow, documents, **fields))


def orchestrator(world: World) -> None:
    """One of two takes a turn, mostly who leads. It may be paused for longer than its lease, alone or with its whole
    machine, or end and be started again."""
    (number,) = world.chance.choices(range(NODES), [2 if node.leads else 1 for node in world.nodes])
    if world.chooses(0.02):
        world.happened["an orchestrator pauses"] += 1
        seconds = world.chance.uniform(5, 20)
        world.node_paused_until[number] = world.clock.passed + seconds
        if world.chooses(0.5):
            world.happened["an orchestrator's machine sleeps"] += 1
            world.nodes[number].slept(seconds)
    if world.chooses(0.01):
        world.happened["an orchestrator ends"] += 1
        world.nodes[number] = world.new_node()
    if world.calm or world.node_paused_until[number] <= world.clock.passed:
        world.turn(number)


def relay(world: World) -> None:
    """Rings; may end after it rang and before it noted that."""
    if world.chooses(0.05):
        with world.ledger.read() as connection:
            unnoted = list(connection.execute(select(tables.doorbell.c.attempt_id)).scalars())
        if unnoted:
            world.happened["a doorbell is rung and not noted"] += 1
            world.bells += unnoted
        return
    world.guarded(world.publish)


def broker(world: World) -> None:
    """Loses, doubles, shuffles and forges doorbells."""
    if not world.bells or world.calm:
        return
    fault = world.chance.choice(("loses", "doubles", "shuffles", "forges"))
    world.happened[f"the broker {fault}"] += 1
    match fault:
        case "loses":
            world.bells.pop(world.chance.randrange(len(world.bells)))
        case "doubles":
            world.bells.append(world.chance.choice(world.bells))
        case "shuffles":
            world.chance.shuffle(world.bells)
        case _:
            world.bells.append(world.chance.choice([*world.rung, new_id()]))


def worker_claims(world: World) -> None:
    """A worker takes a doorbell; its answer may be lost, and then it asks again with the same token."""
    worker = world.chance.choice(world.workers)
    if not world.bells or worker.paused_until > world.clock.passed:
        return
    attempt_id, token = world.bells.pop(0), new_id()
    claimed: list[object] = []
    if world.chooses(0.05):
        world.happened["a claim's answer is lost"] += 1
        world.guarded(lambda: worker.takes(attempt_id, token))
    world.guarded(lambda: claimed.append(worker.takes(attempt_id, token)))
    for claim in claimed:
        if isinstance(claim, Claim) and claim.attempt not in {work.claim.attempt for work in worker.held}:
            worker.held.append(Work(claim, vendor(world, worker, claim.handoff)))


def vendor(world: World, worker: Worker, handoff: Handoff) -> Deed:
    """What comes of an attempt: mostly a good answer, sometimes none, a broken one or an objection."""
    if handoff.route is None:
        return tool(world, worker, handoff)
    if world.chooses(0.2):
        code = world.chance.choices(list(VENDOR_FAULTS), list(VENDOR_FAULTS.values()))[0]
        world.happened[f"a vendor: {code}"] += 1
        return fails(code, retry_after=world.chance.choice((None, 2.0, 20.0)))
    if handoff.desired_output == "review.Verdict@1" and world.chooses(0.2):
        world.happened["a reviewer objects"] += 1
        return objects()
    return delivers(worker.payload(handoff))


def tool(world: World, worker: Worker, handoff: Handoff) -> Deed:
    """A letter has no address at first; a branch may find nothing, and anything else now and then."""
    step = handoff.assignment.name.partition("[")[0]
    supplied = any(item.name == "address" for item in handoff.context)
    if step == "letter" and world.chooses(0.05 if supplied else 0.7):
        world.happened["an address is missing"] += 1
        evidence = {"prerequisite": "address", "subject": world.chance.choice(("prospects", "customers"))}
        missing = Failure(code=Code.MISSING_PREREQUISITE, sentence="there is no address", evidence=evidence)
        return Deed(failure=missing)
    if world.chooses(0.3 if step in ("race", "branch") else 0.04):
        world.happened["a tool finds nothing"] += 1
        return fails(Code.NO_EVIDENCE)
    return delivers(worker.payload(handoff))


def worker_reports(world: World) -> None:
    """A worker hands something in; it may do so twice, get no answer, or be gone before."""
    able = [each for each in world.workers if each.held and each.paused_until <= world.clock.passed]
    if not able:
        return
    worker = world.chance.choice(able)
    work = worker.held.pop(world.chance.randrange(len(worker.held)))
    if world.chooses(0.05):
        world.happened["a worker ends"] += 1
        worker.held = []
        return
    if work.claim.handoff.effect and world.chooses(0.4):
        worker.ends_within_effect = True
        world.guarded(lambda: worker.hands_in(work))
        if not worker.ends_within_effect:
            world.happened["a worker ends within an effect"] += 1
            worker.held = []
            return
        worker.ends_within_effect = False
    if not world.guarded(lambda: worker.hands_in(work)):
        worker.held.append(work)  # it hands it in until there is an answer, or until a beat says to stop
    elif world.chooses(0.1) and work.report is not None:
        world.happened["a report is handed in twice"] += 1
        world.guarded(lambda: worker.hands_in(work))


def worker_lives(world: World) -> None:
    """Workers beat; one may be paused for so long that its leases run out, and go on with what it held."""
    for worker in world.workers:
        if world.chooses(0.01):
            world.happened["a worker pauses"] += 1
            worker.paused_until = world.clock.passed + world.chance.uniform(10, 90)
        due = world.clock.passed - worker.beat_at >= BEAT_SECONDS
        if due and worker.paused_until <= world.clock.passed:
            worker.beat_at = world.clock.passed
            world.guarded(lambda worker=worker: _beat(world, worker))  # type: ignore[misc]


def _beat(world: World, worker: Worker) -> None:
    if worker.door.beat(worker.name, len(worker.held), heard=True):
        worker.announce(tuple(world.catalog.lanes), slots=6)
    worker.beats()


def people(world: World) -> None:
    """Somebody answers a question."""
    asked = tables.approval
    waiting = world.rows(select(asked.c.id).where(asked.c.state == "waiting").order_by(asked.c.id))
    if not waiting:
        return
    odds = (1, 0, 0) if world.calm else (6, 1, 2)
    (decision,) = world.chance.choices(("approve", "reject", "revise"), odds)
    chosen = world.chance.choice(waiting)
    with suppress(Problem):
        world.guarded(lambda: answer(world.ledger, chosen.id, decision, "bob", "so be it"))  # type: ignore[arg-type]


def time(world: World) -> None:
    """Time passes, mostly little; the wall clock may be set, back or forth."""
    world.clock.forward(world.chance.expovariate(1.0) * world.chance.choice((0.05, 0.5, 3.0)))
    if world.chooses(0.02):
        jump = world.chance.choice((-30.0, -2.0, 5.0, 120.0))
        world.happened["the clock is set back" if jump < 0 else "the clock is set forth"] += 1
        world.set_back |= jump < 0
        world.clock.jump(jump)


ACTORS: dict[Callable[[World], None], int] = {
    upstream: 2,
    orchestrator: 10,
    relay: 6,
    broker: 1,
    worker_claims: 9,
    worker_reports: 9,
    worker_lives: 3,
    people: 2,
    client: 1,
    on_call: 3,
    operator: 1,
    reader: 1,
    time: 8,
}
"""Every actor with its weight."""
