"""The simulation in the suite: a hundred seeds of three hundred steps, those that failed before, and the same twice.

`make simulate ARGS='--seeds 20000 --from 101'` tells more of them.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.catalog import Catalog
from orchestrator.catalog_files import load_catalog
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
    "an orchestrator ends",
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
    once, again, other = (told(seed, STEPS, fresh, catalog) for seed in (7, 7, 8))
    assert once.digest == again.digest
    assert once.happened == again.happened
    assert once.digest != other.digest
