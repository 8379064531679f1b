"""Crash points: a tenth that the commit chooses, and all that it touched. `make simulate ARGS=crashes` runs all.

Every place that commits or leaves the process is in a story, or excused by name, so that none is forgotten.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.catalog import Catalog
from orchestrator.catalog_files import load_catalog
from tests.crashes import ledgers, points
from tests.crashes.cases import PLAYED, Case, Told, cases, of_this_commit, run, told
from tests.crashes.excused import EXCUSED
from tests.crashes.ledgers import Fresh
from tests.crashes.saboteur import Fault
from tests.integration.ledgers import DATABASE_VARIABLE
from tests.integration.small_fleet import CATALOG

MOST_CASES = 40
"""On each database; more would make the suite slow, and the command runs them all."""


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog(CATALOG)


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    with ledgers.sqlite(tmp_path_factory.mktemp("crashes")) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def undisturbed(sqlite: Fresh, catalog: Catalog) -> dict[str, Told]:
    return told(sqlite, catalog)


@pytest.fixture(scope="module")
def chosen(undisturbed: dict[str, Told]) -> list[Case]:
    return of_this_commit(list(cases(undisturbed)))[:MOST_CASES]


def test_every_place_is_in_a_story_or_excused(undisturbed: dict[str, Told]) -> None:
    passed = frozenset().union(*(each.passed for each in undisturbed.values()))
    known = set(points.points())
    assert passed - known == set(PLAYED), "a story passes what the list does not have"
    forgotten = known - passed - EXCUSED.keys()
    assert not forgotten, "no story passes these places; tell one that does, or excuse them with a reason"
    assert not EXCUSED.keys() - known, "these are excused and are no more"
    assert not EXCUSED.keys() & passed, "these are excused although a story passes them"


def test_a_place_that_is_added_is_found(tmp_path: Path) -> None:
    added = "class New:\n    def act(self):\n        with self._ledger.write() as one:\n            pass\n"
    added += "        self._store.put(b'')\n        self._queue.put(1)\n"
    assert [(point.name, point.is_commit) for point in points.found("new.py", added)] == [
        ("new.py:New.act", True),
        ("new.py:New.act:2", False),
    ]


@pytest.mark.timeout(600)
def test_whatever_ends_or_is_not_heard_the_story_comes_out_as_without(
    sqlite: Fresh, catalog: Catalog, undisturbed: dict[str, Told], chosen: list[Case]
) -> None:
    _run_all(chosen, sqlite, catalog, undisturbed)


@pytest.mark.timeout(600)
def test_on_postgresql_the_stories_come_out_so_too(
    catalog: Catalog, undisturbed: dict[str, Told], chosen: list[Case]
) -> None:
    with ledgers.postgresql() as fresh:
        if fresh is None:
            pytest.skip(f"{DATABASE_VARIABLE} names no PostgreSQL database")
        _run_all(chosen, fresh, catalog, undisturbed)


def _run_all(chosen: list[Case], fresh: Fresh, catalog: Catalog, undisturbed: dict[str, Told]) -> None:
    assert {case.fault for case in chosen} == set(Fault), "too few cases were chosen to try every fault"
    logging.disable(logging.CRITICAL)
    try:
        for case in chosen:
            run(case, fresh, catalog, undisturbed)
    finally:
        logging.disable(logging.NOTSET)
