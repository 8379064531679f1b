"""The simulation in the suite: a hundred seeds of three hundred steps, those that failed before, and the same twice.

`make simulate ARGS='--seeds 20000 --from 101 --jobs 2'` tells more of them.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.catalog import Catalog
from orchestrator.catalog_files import load_catalog
from orchestrator.deciders.switches import Scope
from tests.crashes import ledgers
from tests.crashes.ledgers import Fresh
from tests.integration.small_fleet import CATALOG
from tests.simulation.run import Story, told

SEEDS = range(1, 101)
STEPS = 300
KNOWN = Path(__file__).with_name("seeds.txt")
MUST_HAPPEN = (
    "deposed",
    "a worker ends",
    "a worker ends within an effect",
    "an orchestrator ends",
    "an orchestrator's machine sleeps",
    "a claim's answer is lost",
    "a report is handed in twice",
    "the broker loses",
    "the broker doubles",
    "the broker forges",
    "the clock is set back",
    "the clock is set forth",
    "the ledger is away before a commit",
    "the ledger is away after a commit",
    "a process ends before a commit",
    "a tool finds nothing",
    "an address is missing",
    "event: blocked",
    "event: unblocked",
    "a job has a deadline",
    "an attempt ended as stopped",
    *(f"an attempt is {state}" for state in ("settled", "lost", "returned")),
    *(f"somebody {does} by {scope}" for does in ("pauses", "kills") for scope in Scope),
    "somebody lets go on what was held",
    "somebody cancels a job",
    "somebody finds a result wrong",
    "event: tainted",
    "somebody replays by jobs",
    "somebody replays by a subtask",
    "somebody replays by a filter",
    "somebody replays downstream of what is wrong",
    "a replay approved",
    "a replay with an edit",
    "a replay from a step",
    "somebody aborts a replay",
    "somebody aborts a replay and cancels its jobs",
    "somebody discards a dead letter",
    "results were kept",
    *(f"what was replayed is {end}" for end in ("done", "failed", "refused", "aborted")),
    *(f"a job is done: {name}" for name in ("joins", "mailing", "wire")),
    *(f"a job is failed: {name}" for name in ("joins", "wire")),
)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog(CATALOG)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    logging.disable(logging.CRITICAL)
    with ledgers.sqlite(tmp_path_factory.mktemp("simulation")) as fresh:
        yield fresh
    logging.disable(logging.NOTSET)


def held(story: Story) -> Story:
    assert not story.violation, "\n".join([f"seed {story.seed}: {story.violation}", *story.last])
    return story


@pytest.mark.timeout(900)
def test_a_hundred_seeds_hold_every_promise_and_end_every_job_once(fresh: Fresh, catalog: Catalog) -> None:
    happened: Counter[str] = Counter()
    for seed in SEEDS:
        happened += held(told(seed, STEPS, fresh, catalog)).happened
    assert not [fault for fault in MUST_HAPPEN if not happened[fault]], "a fault never happened"


@pytest.mark.timeout(600)
def test_seeds_that_failed_once_hold(fresh: Fresh, catalog: Catalog) -> None:
    lines = KNOWN.read_text(encoding="utf-8").splitlines()
    for seed in [int(line.split()[0]) for line in lines if line and not line.startswith("#")]:
        held(told(seed, STEPS, fresh, catalog))


@pytest.mark.timeout(600)
def test_the_same_seed_is_the_same_story(fresh: Fresh, catalog: Catalog) -> None:
    once, again, other = (told(seed, 100, fresh, catalog) for seed in (7, 7, 8))
    assert once.digest == again.digest
    assert once.happened == again.happened
    assert once.digest != other.digest
