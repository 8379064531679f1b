"""The cases: every place that a story passes, with every fault, on each database."""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.catalog import Catalog
from tests.crashes import points
from tests.crashes.ledgers import Fresh
from tests.crashes.saboteur import Fault, Saboteur
from tests.crashes.stories import STORIES
from tests.crashes.world import SITE, VENDOR, World
from tests.memory import MEMORY
from tests.simulation.clock import Clock

ROTATION = 10
FAULTS = tuple(Fault)
PLAYED = (VENDOR, SITE)


@dataclass(frozen=True)
class Case:
    """One fault at one place of one story."""

    story: str
    place: str
    fault: Fault

    def __str__(self) -> str:
        return f"{self.place} {self.fault} in {self.story}"


@dataclass(frozen=True)
class Told:
    """A story as it goes when nobody disturbs it."""

    passed: frozenset[str]
    outcome: dict[str, Any]


def told(fresh: Fresh, catalog: Catalog) -> dict[str, Told]:
    """Every story, undisturbed."""
    return {name: _told(name, fresh, catalog) for name in STORIES}


def _told(name: str, fresh: Fresh, catalog: Catalog) -> Told:
    clock = Clock()
    saboteur = Saboteur(clock)
    outcome = _run(name, fresh, catalog, clock, saboteur)
    return Told(frozenset(saboteur.passed), outcome)


def run(case: Case, fresh: Fresh, catalog: Catalog, undisturbed: Mapping[str, Told]) -> None:
    """Tells the story with its fault; raises AssertionError where it matters."""
    clock = Clock()
    saboteur = Saboteur(clock)
    saboteur.arm(case.place, case.fault)
    outcome = _run(case.story, fresh, catalog, clock, saboteur)
    assert saboteur.fired, f"{case}: the fault never happened"
    wanted = undisturbed[case.story].outcome
    assert outcome == wanted, f"{case}: it came out as {outcome} instead of {wanted}"


def _run(name: str, fresh: Fresh, catalog: Catalog, clock: Clock, saboteur: Saboteur) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="fleet-crashes-", dir=MEMORY) as folder:
        world = World(fresh(clock), clock, catalog, Path(folder), saboteur)
        STORIES[name](world)
        world.hold()
        return world.outcome()


def cases(undisturbed: Mapping[str, Told], every_story: bool = False) -> Iterator[Case]:
    """Every place with every fault, in the first story that passes it or in each."""
    seen: set[str] = set()
    for story, going in undisturbed.items():
        for place in sorted(going.passed):
            if every_story or place not in seen:
                seen.add(place)
                yield from (Case(story, place, fault) for fault in FAULTS)


def of_this_commit(all_cases: list[Case]) -> list[Case]:
    """All places in files that the commit touched, however many they are, and a tenth of all that it chooses."""
    commit = _git("rev-parse", "HEAD") or "0"
    touched = frozenset(_git("diff", "--name-only", "HEAD~1").splitlines())
    return of_change(all_cases, touched, int(commit.split()[0][:8], 16))


def of_change(all_cases: list[Case], touched: frozenset[str], turn: int) -> list[Case]:
    """All places in these files first, and then a tenth in which every fault occurs; each turn has another one, and
    ten in a row have all."""
    known = points.points()
    own = [case for case in all_cases if case.place in known and known[case.place].path in touched]
    tenth = [
        case
        for number, case in enumerate(all_cases)
        if (number + number // ROTATION) % ROTATION == turn % ROTATION
    ]
    return list(dict.fromkeys([*own, *tenth]))


def _git(*words: str) -> str:
    """What git says, or nothing where there is none."""
    try:
        said = subprocess.run(["git", *words], cwd=points.ROOT, capture_output=True, text=True, timeout=20)
    except OSError:
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""
