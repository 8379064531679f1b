"""The world of one seed: a ledger, two orchestrators, three workers, a broker, a site, and the chance they share."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import ulid
from sqlalchemy import delete, select

from contracts.base import Payload
from contracts.catalog import Catalog
from contracts.jobs import JobRequest
from contracts.reports import Report
from orchestrator import purses
from orchestrator.artifacts import ArtifactStore
from orchestrator.door import Claim, Door, Refusal
from orchestrator.door.claims import FencedOut
from orchestrator.intake import Intake
from orchestrator.ledger import tables
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.leadership import Deposed
from orchestrator.ledger.promises import AFTER_DRAIN, AT_ANY_MOMENT, promises
from orchestrator.settings import Settings
from orchestrator.upkeep.duties import Duties
from tests.integration.small_fleet import Deed, Hands
from tests.simulation.clock import Clock, Gone, MeddledLedger
from tests.simulation.node import Node

NODES, WORKERS = 2, 3
MOST_JOBS = 4
LEASE_SECONDS = 30.0
BEAT_SECONDS = 5.0


class Violation(Exception):
    """Something that must always hold does not."""


@dataclass
class Work:
    """What a worker has in hand."""

    claim: Claim
    deed: Deed
    report: Report | None = None
    effect_begun: bool = False


class Worker(Hands):
    """A worker that takes its time: it claims now and reports later, and may be gone or paused between."""

    def __init__(
        self, ledger: MeddledLedger, door: Door, duties: Duties, name: str, site: Counter[str]
    ) -> None:
        super().__init__(ledger, door, duties, name)
        self.door, self.site = door, site
        self.held: list[Work] = []
        self.paused_until = 0.0
        self.beat_at = 0.0

    def takes(self, attempt_id: str, token: str) -> Claim | Refusal:
        return self.door.claim(attempt_id, self.name, token)

    def beats(self) -> None:
        """Keeps the leases of what it holds, and stops what it is told to stop."""
        stopped = self.door.heartbeat([work.claim for work in self.held])
        self.held = [work for work in self.held if work.claim.attempt not in stopped]

    def hands_in(self, work: Work) -> bool:
        if work.report is None:
            work.report = self.report(work.claim, work.deed)
        return self.door.report(work.claim, work.report, self.name)

    def _effect(self, claim: Claim, payload: Payload) -> None:
        grant = claim.handoff.effect
        assert grant is not None
        begun = self.door.begin_effect(claim, grant, {"by": claim.attempt})
        if begun.ambiguous:
            self.door.effect_verified(claim, grant, "the site was read")
        if begun.result is None:
            if not self.site[grant.key]:
                self.site[grant.key] += 1
            self.door.finish_effect(claim, grant, payload.model_dump(mode="json"))


@dataclass
class World:
    """Everything of one seed. Actors change it, and nothing else does."""

    seed: int
    ledger: MeddledLedger
    clock: Clock
    catalog: Catalog
    folder: Path
    chance: Random = field(init=False)
    happened: Counter[str] = field(default_factory=Counter)
    """How often each thing was done, and each fault."""
    bells: list[str] = field(default_factory=list)
    """What the broker holds: attempts that doorbells name."""
    rung: list[str] = field(default_factory=list)
    """Every attempt that was ever rung, to forge from."""
    jobs: list[str] = field(default_factory=list)
    site: Counter[str] = field(default_factory=Counter)
    calm: bool = False
    """Whether the faults have stopped, so that everything can be drained."""
    set_back: bool = False
    """Whether the wall clock was ever set back."""

    def __post_init__(self) -> None:
        self.chance = Random(self.seed)
        ids = Random(self.seed)
        ulid.default_generator = ulid.ULIDGenerator(
            clock=lambda: int(self.clock.at * 1000), randomness=lambda _: ids.randbytes(10)
        )
        self.store = ArtifactStore(Settings(state_dir=self.folder).store_url)
        self.intake = Intake(self.ledger, self.catalog, self.store, ())
        door = Door(self.ledger, self.store, LEASE_SECONDS)
        duties = Duties(
            door, self.ledger, self.catalog, self.intake, self.store, self.folder / "log", "duties"
        )
        with self.ledger.write() as connection:
            purses.seed(connection, self.catalog, now(connection))
        self._started = 0
        self.nodes = [self.new_node() for _ in range(NODES)]
        self.node_paused_until = [0.0] * NODES
        self.workers = [
            Worker(self.ledger, door, duties, f"worker-{number}", self.site) for number in range(WORKERS)
        ]
        for worker in self.workers:
            worker.announce(tuple(self.catalog.lanes), slots=6)

    def new_node(self) -> Node:
        """An orchestrator process that has just started."""
        self._started += 1
        return Node(
            f"node-{self._started}",
            self.ledger,
            self.catalog,
            self.store,
            self.folder,
            self.chance.random,
            self.clock.monotonic,
        )

    def chooses(self, odds: float) -> bool:
        """Whether a fault of these odds happens now; never in a calm world."""
        return not self.calm and self.chance.random() < odds

    def turn(self, number: int) -> int:
        """A turn of one orchestrator, with what is raised handled as its process does."""
        try:
            return self.nodes[number].turn()
        except Deposed:
            self.happened["deposed"] += 1
            self.nodes[number].stumbled()
        except LedgerUnreachable:
            self.nodes[number].stumbled()
        except Gone:
            self.nodes[number] = self.new_node()
        return 1

    def publish(self) -> int:
        """The relay: rings what is written down, then forgets it."""
        with self.ledger.read() as connection:
            query = select(tables.doorbell).order_by(tables.doorbell.c.seq)
            rows = connection.execute(query).all()
        if not rows:
            return 0
        self.bells += [row.attempt_id for row in rows]
        self.rung += [row.attempt_id for row in rows]
        with self.ledger.write() as connection:
            seen = [row.seq for row in rows]
            connection.execute(delete(tables.doorbell).where(tables.doorbell.c.seq.in_(seen)))
        return len(rows)

    def submit(self, workflow: str, documents: int) -> None:
        names = [f"document-{number}" for number in range(1, documents + 1)]
        inputs: dict[str, Any] = {
            "question": f"What stands in the documents? {self.chance.randrange(3)}",
            "documents": [{"name": name, "text": f"something of {name}"} for name in names],
        }
        given = {
            "tenant": self.chance.choice(("acme", "zenith")),
            "portfolio": "docs",
            "workflow": workflow,
            "inputs": {"items": names} if workflow == "fan" else inputs,
            "purpose": "feature",
            "reason": "readers ask for it",
            "requested_by": "alice",
        }
        accepted = self.intake.submit(JobRequest.model_validate(given), new_id())
        self.jobs.append(accepted.job_id)

    def guarded(self, act: Callable[[], object]) -> bool:
        """Whether an act outside the orchestrator got its answer."""
        try:
            act()
        except (LedgerUnreachable, Gone, FencedOut):
            return False
        return True

    def check(self) -> None:
        """What must hold at any moment."""
        self._check(AT_ANY_MOMENT)
        if any(count > 1 for count in self.site.values()):
            raise Violation(f"an effect was applied more than once: {self.site}")

    def check_end(self) -> None:
        """What must hold once everything is drained: each job that was accepted has exactly one end."""
        self.check()
        self._check(AFTER_DRAIN)
        with self.ledger.read() as connection:
            event = tables.event
            moved = connection.execute(
                select(event.c.job_id).where(
                    event.c.kind == "job_moved", event.c.new.in_(("done", "failed", "cancelled"))
                )
            ).scalars()
            ends = Counter(moved)
        for job_id in self.jobs:
            if ends[job_id] != 1:
                raise Violation(f"job {job_id} has {ends[job_id]} ends")

    def is_over(self) -> bool:
        with self.ledger.read() as connection:
            query = select(tables.job.c.id).where(tables.job.c.ended_at.is_(None)).limit(1)
            return connection.execute(query).first() is None

    def digest(self) -> str:
        """Of all that was ever written into the event log."""
        with self.ledger.read() as connection:
            rows = connection.execute(select(tables.event).order_by(tables.event.c.seq)).all()
        return hashlib.sha256("\n".join(map(str, rows)).encode()).hexdigest()

    def last_events(self, count: int = 30) -> list[str]:
        with self.ledger.read() as connection:
            query = select(tables.event).order_by(tables.event.c.seq.desc()).limit(count)
            rows = connection.execute(query).all()
        return [
            f"{row.at:.3f} {row.kind} {row.old or ''}→{row.new or ''} job={row.job_id} subtask={row.subtask_id} "
            f"{row.actor}: {row.sentence}"
            for row in reversed(rows)
        ]

    def _check(self, folder: str) -> None:
        with self.ledger.read() as connection:
            for promise in promises(folder).values():
                if broken := promise.broken(connection):
                    raise Violation(f"{promise.name}: {broken[:3]}")
