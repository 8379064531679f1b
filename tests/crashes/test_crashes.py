"""Crash points: all that the commit touched, and a tenth that it chooses. `make simulate ARGS=crashes` runs all.

A tenth takes some seconds on each database; a commit that touches every place makes minutes of them, and leaves none
out for that. Every place that commits or leaves the process is in a story, or excused by name, so that none is
forgotten.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.catalog import Catalog
from contracts.handoffs import EffectGrant
from orchestrator.catalog_files import load_catalog
from orchestrator.door import Begun, Claim, Door
from tests.crashes import ledgers, points
from tests.crashes.cases import PLAYED, ROTATION, Case, Told, cases, of_change, of_this_commit, run, told
from tests.crashes.excused import EXCUSED
from tests.crashes.ledgers import Fresh
from tests.crashes.saboteur import Fault, Saboteur
from tests.crashes.stories import half_published
from tests.crashes.world import World
from tests.integration.ledgers import DATABASE_VARIABLE
from tests.integration.small_fleet import CATALOG
from tests.simulation.clock import Clock


class UnwarningDoor(Door):
    """A door that tells nobody that an earlier attempt may have applied the effect."""

    def begin_effect(self, claim: Claim, grant: EffectGrant, intent: dict[str, Any]) -> Begun:
        begun = super().begin_effect(claim, grant, intent)
        if begun.ambiguous:
            self.effect_verified(claim, grant, "nobody looked")
        return Begun(begun.result)


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
    return of_this_commit(list(cases(undisturbed)))


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


def test_of_a_change_every_place_is_chosen_and_beside_it_a_tenth_that_goes_round(
    undisturbed: dict[str, Told],
) -> None:
    every, known = list(cases(undisturbed)), points.points()
    others = [case for case in every if case.place in PLAYED]
    everywhere = frozenset(point.path for point in known.values())
    assert set(of_change(every, everywhere, 0)) >= set(every) - set(others)

    one = "orchestrator/door/effects.py"
    own = [case for case in every if case.place in known and known[case.place].path == one]
    turns = [of_change(every, frozenset({one}), turn) for turn in range(ROTATION)]
    assert own and all(turn[: len(own)] == own for turn in turns)
    assert {case for turn in turns for case in turn[len(own) :]} == set(every) - set(own)


def test_an_effect_that_is_applied_twice_is_found(sqlite: Fresh, catalog: Catalog, tmp_path: Path) -> None:
    clock = Clock()
    world = World(sqlite(clock), clock, catalog, tmp_path, Saboteur(clock), opens=UnwarningDoor)
    half_published(world)
    with pytest.raises(AssertionError, match="an effect was applied twice"):
        world.hold()


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
