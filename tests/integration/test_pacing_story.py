"""Whatever happens in whatever order, a budget never admits more than its bucket and its rate allow.

Random stories on a real ledger: two orchestrators that take over from each other, work that is answered, cut
short, lost, returned unrun or ambiguous, and time that passes. The bound is computed from the attempts alone.
"""

import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from contracts.catalog import Catalog
from contracts.failures import Code
from contracts.reports import Usage
from contracts.vendors import Limits
from orchestrator.door import Claim
from orchestrator.ledger import tables
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from tests.integration.small_fleet import SmallFleet, age, assert_story_holds, delivers, fails

HAIKU = "anthropic/default/haiku"
LIMITS = Limits(
    requests_per_minute=60, input_tokens_per_minute=12_000, output_tokens_per_minute=1_500, concurrency=6
)
STEPS = 70


class Story:
    """Two orchestrators and a worker, driven by chance; keeps how much time was let pass."""

    def __init__(self, ledger: Ledger, folder: Path, catalog: Catalog, chance: random.Random) -> None:
        self.ledger = ledger
        self.chance = chance
        self.fleets = [SmallFleet(ledger, folder / name, catalog) for name in ("first", "second")]
        self.leader = self.fleets[0]
        self.passed = 0.0
        self.claims: list[Claim] = []
        self.began = self._now()

    def _now(self) -> float:
        with self.ledger.read() as connection:
            return now(connection)

    def step(self) -> None:
        acts = (self.submit, self.turn, self.turn, self.start, self.start, self.end, self.end, self.wait)
        self.chance.choice((*acts, self.lose, self.give_back, self.take_over))()

    def submit(self) -> None:
        self.leader.submit("summary", documents=self.chance.randint(1, 4))

    def turn(self) -> None:
        self.leader.turn()

    def start(self) -> None:
        for bell in self.leader.hands.doorbells():
            claim = self.leader.hands.claim(bell.attempt_id)
            if isinstance(claim, Claim):
                self.claims.append(claim)

    def end(self) -> None:
        if not self.claims:
            return
        claim = self.claims.pop(self.chance.randrange(len(self.claims)))
        used = Usage(input_tokens=self.chance.randint(1, 2500), output_tokens=self.chance.randint(1, 900))
        deeds = [
            delivers(self.leader.hands.payload(claim.handoff), usage=used),
            fails(Code.CUT, usage=used),
            fails(Code.TIMEOUT, usage=None),
            fails(Code.NOT_SENT, usage=None, sent=False),
            fails(Code.RATE_LIMITED, usage=Usage()),
        ]
        self.leader.hands.perform(claim, self.chance.choice(deeds if claim.handoff.route else deeds[:1]))

    def wait(self) -> None:
        seconds = self.chance.choice((0.5, 3.0, 20.0))
        self.passed += seconds
        for row in self.leader.rows(tables.budget):
            age(self.ledger, tables.budget, row.key, refilled_at=seconds)

    def lose(self) -> None:
        """A worker dies with what it holds; its lease runs out."""
        if self.claims:
            age(self.ledger, tables.attempt, self.claims.pop().attempt, lease_until=600.0)

    def give_back(self) -> None:
        """Nobody claims what was granted."""
        for bell in self.leader.hands.doorbells():
            age(self.ledger, tables.attempt, bell.attempt_id, start_by=600.0)

    def take_over(self) -> None:
        """The leader is killed in the middle of it, and the other one goes on."""
        age(self.ledger, tables.leader, "loop", lease_until=600.0)
        self.leader = self.fleets[1 - self.fleets.index(self.leader)]
        assert self.leader.leadership.seek()

    def assert_bound(self) -> None:
        seconds = self.passed + self._now() - self.began
        rows = self.leader.rows(tables.attempt, budget=HAIKU)
        for limit, reserved, used in (
            (LIMITS.requests_per_minute, lambda row: 1, _requests),
            (LIMITS.input_tokens_per_minute, lambda row: row.reserved_input_tokens, _input),
            (LIMITS.output_tokens_per_minute, lambda row: row.reserved_output_tokens, _output),
        ):
            assert limit is not None
            most, admitted = limit / 2, 0.0
            for row in rows:
                # A request above the whole bucket waits for a full one and goes into debt, which is paid back.
                held = min(reserved(row), most)
                admitted += min(used(row), held) if row.state in ("settled", "returned") else held
            assert admitted <= most + limit / 60 * seconds + 1e-6


def _requests(row: Any) -> float:
    return 1 if row.sent and (row.ambiguous or row.input_tokens) else 0


def _input(row: Any) -> float:
    return float(row.input_tokens - row.cached_input_tokens)


def _output(row: Any) -> float:
    return float(row.output_tokens)


@pytest.mark.parametrize("seed", range(4))
def test_no_story_admits_more_than_the_bucket_and_the_rate(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog, seed: int
) -> None:
    anthropic = bench_catalog.vendors["anthropic"]
    groups = {name: group.model_copy(update={"limits": LIMITS}) for name, group in anthropic.groups.items()}
    vendors = bench_catalog.vendors | {"anthropic": anthropic.model_copy(update={"groups": groups})}
    story = Story(
        ledger, tmp_path, bench_catalog.model_copy(update={"vendors": vendors}), random.Random(seed)
    )
    held = False
    for _ in range(STEPS):
        story.step()
        story.assert_bound()
        held = held or any(row.held_by for row in story.leader.rows(tables.subtask, state="ready"))
    assert held, "the budget was never short, so this proved nothing"
    with ledger.read() as connection:
        assert connection.execute(select(tables.attempt.c.id)).first(), "nothing was ever granted"
    assert_story_holds(ledger, budgets=False)
