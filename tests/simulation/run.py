"""One seed from beginning to end: so many steps with faults, then calm, until everything has ended."""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import ulid
from sqlalchemy.exc import TimeoutError as PoolTimeout

from contracts.catalog import Catalog
from orchestrator.catalog_files import load_catalog
from orchestrator.ledger.engine import LedgerUnreachable
from tests.crashes import ledgers
from tests.crashes.ledgers import Fresh
from tests.integration.small_fleet import CATALOG
from tests.memory import MEMORY
from tests.simulation.actors import (
    ACTORS,
    people,
    relay,
    time,
    worker_claims,
    worker_lives,
    worker_reports,
)
from tests.simulation.clock import Clock, Gone, When
from tests.simulation.staff import everything_goes_on
from tests.simulation.world import NODES, World

CHECK_EVERY = 50
MOST_CALM_ROUNDS = 400
IDLE_SECONDS = 12.0
"""What passes where nobody has anything to do: more than a lead's lease, and less than a worker's."""
LEDGER_FAULTS = 0.004


@dataclass
class Story:
    """What came of one seed."""

    seed: int
    steps: int
    digest: str = ""
    violation: str = ""
    last: list[str] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)


def all_told(seeds: range, steps: int) -> list[Story]:
    """The stories of these seeds, on a ledger of their own; silent, as a process of its own is."""
    logging.disable(logging.CRITICAL)
    catalog = load_catalog(CATALOG)
    with (
        tempfile.TemporaryDirectory(prefix="fleet-simulation-", dir=MEMORY) as folder,
        ledgers.sqlite(Path(folder)) as fresh,
    ):
        return [told(seed, steps, fresh, catalog) for seed in seeds]


def told(seed: int, steps: int, fresh: Fresh, catalog: Catalog) -> Story:
    """Tells one seed's story; a violation is in it, and stops it."""
    clock, story = Clock(), Story(seed, steps)
    with tempfile.TemporaryDirectory(prefix="fleet-simulation-", dir=MEMORY) as folder, _own_ids():
        world = World(seed, fresh(clock), clock, catalog, Path(folder))
        with _unreliable(world):
            try:
                _storm(world, steps)
                _calm(world)
                world.check_end()
            except Exception as error:
                story.violation = f"{type(error).__name__}: {error}"[:2000]
                story.last = world.last_events()
                logging.getLogger(__name__).debug("seed %d", seed, exc_info=True)
        world.tell_what_came()
        story.digest, story.happened = world.digest(), world.happened
    return story


def _storm(world: World, steps: int) -> None:
    actors, weights = list(ACTORS), list(ACTORS.values())
    for step in range(1, steps + 1):
        (actor,) = world.chance.choices(actors, weights)
        actor(world)
        if step % CHECK_EVERY == 0:
            world.check()


def _calm(world: World) -> None:
    """The faults stop, and everything that was accepted comes to its end."""
    world.calm = True
    for worker in world.workers:
        worker.paused_until = 0.0
    everything_goes_on(world)
    for _ in range(MOST_CALM_ROUNDS):
        for number in range(NODES):
            world.turn(number)
        relay(world)
        done = _work_off(world)
        people(world)
        worker_lives(world)
        if not done and world.is_over():
            return
        time(world)
        if not done:
            world.clock.forward(IDLE_SECONDS)
    raise AssertionError(f"still not at rest after {MOST_CALM_ROUNDS} calm rounds")


def _work_off(world: World) -> int:
    """Every worker takes and does what there is."""
    done = len(world.bells) + sum(len(worker.held) for worker in world.workers)
    for _ in range(3 * len(world.bells)):
        worker_claims(world)
    for _ in range(4 * done):
        worker_reports(world)
    return done


@contextmanager
def _unreliable(world: World) -> Iterator[None]:
    """The ledger is away now and then, before it commits or before it says so; or whoever writes ends there."""
    chance = Random(world.seed + 1)

    def meddle(place: Any, when: When) -> None:
        if world.calm or chance.random() >= LEDGER_FAULTS:
            return
        if chance.random() < 0.3:
            world.happened[f"a process ends {when} a commit"] += 1
            raise Gone
        world.happened[f"the ledger is away {when} a commit"] += 1
        raise LedgerUnreachable(PoolTimeout())

    world.ledger.meddle = meddle
    try:
        yield
    finally:
        del world.ledger.meddle


@contextmanager
def _own_ids() -> Iterator[None]:
    """Ids come from the seed while a story is told."""
    kept = ulid.default_generator
    try:
        yield
    finally:
        ulid.default_generator = kept
