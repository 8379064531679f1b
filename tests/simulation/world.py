"""The world of one seed: a ledger, two orchestrators, three workers, a broker, a site, and the chance they share."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import ulid
from sqlalchemy import Select, delete, func, literal, select, true, union_all

from contracts.base import Payload
from contracts.bench import Inputs
from contracts.catalog import Catalog
from contracts.jobs import JobRequest
from contracts.reports import Report
from orchestrator import purses, taints
from orchestrator.artifacts import ArtifactStore
from orchestrator.door import Claim, Door, Refusal
from orchestrator.door.claims import FencedOut
from orchestrator.effects import BEGUN, UNWELL
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
TENANTS = ("acme", "zenith")
MOST_JOBS = 3
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


class Worker(Hands):
    """A worker that takes its time: it claims now and reports later, and may be gone or paused between."""

    def __init__(
        self, ledger: MeddledLedger, door: Door, duties: Duties, name: str, site: Counter[str]
    ) -> None:
        super().__init__(ledger, door, duties, name)
        self.door, self.site = door, site
        self.held: list[Work] = []
        self.ends_within_effect = False
        """Whether it is gone once it has changed the site next, before it can say so."""
        self._applied: set[str] = set()
        """What it knows of its own attempts that they changed the site."""
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
            read_first = begun.ambiguous or claim.attempt in self._applied
            if not (read_first and self.site[grant.key]):
                self.site[grant.key] += 1  # whoever was not told to read does it, though it may be there
            self._applied.add(claim.attempt)
            if self.ends_within_effect:
                self.ends_within_effect = False
                raise Gone
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
    """What upstream was told is accepted."""
    submitted: set[str] = field(default_factory=set)
    """The workflows of these."""
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

    def submit(self, workflow: str, documents: int, **fields: Any) -> None:
        names = [f"document-{number}" for number in range(1, documents + 1)]
        inputs: dict[str, Any] = {"items": names}
        if self.catalog.workflows[workflow].inputs != Inputs.contract:
            inputs = {
                "question": f"What stands in the documents? {self.chance.randrange(3)}",
                "documents": [{"name": name, "text": f"something of {name}"} for name in names],
            }
        given = {
            "tenant": self.chance.choice(TENANTS),
            "portfolio": "docs",
            "workflow": workflow,
            "inputs": inputs,
            "purpose": "feature",
            "reason": "readers ask for it",
            "requested_by": "alice",
        }
        accepted = self.intake.submit(JobRequest.model_validate(given | fields), new_id())
        self.jobs.append(accepted.job_id)
        self.submitted.add(workflow)

    def rows(self, query: Select[Any]) -> list[Any]:
        with self.ledger.read() as connection:
            return list(connection.execute(query))

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
        """What must hold once everything is drained: each job has exactly one end, and so has what was replayed,
        what was missing is there or will never be, and what was built on anything wrong is marked."""
        self.check()
        self._check(AFTER_DRAIN)
        event = tables.event
        moved = select(event.c.job_id).where(
            event.c.kind == "job_moved", event.c.new.in_(("done", "failed", "cancelled"))
        )
        ends = Counter(row.job_id for row in self.rows(moved))
        for job_id in {*self.jobs, *(row.id for row in self.rows(select(tables.job.c.id)))}:
            if ends[job_id] != 1:
                raise Violation(f"job {job_id} has {ends[job_id]} ends")
        item, blocker = tables.replay_item, tables.blocker
        if open_ := self.rows(select(item).where(item.c.state.in_(("waiting", "released")))):
            raise Violation(f"what a replay took up has no end: {open_}")
        if open_ := self.rows(select(blocker).where(blocker.c.resolved_at.is_(None))):
            raise Violation(f"a blocker stands though its job has ended: {open_}")
        self._check_taints()

    def is_over(self) -> bool:
        """Whether nothing is open; what was granted and not claimed outlives a cancelled job by its start-by, and
        what ended last is still to be passed on to whoever lacks it, was built on something wrong, or has to know."""
        kinds = (tables.job, tables.attempt, tables.replay)
        lacking = select(tables.blocker.c.id).where(tables.blocker.c.resolved_at.is_(None))
        spreading = select(tables.taint.c.cause).where(tables.taint.c.spreading_since.is_not(None))
        untold = select(tables.effect.c.key).join(
            tables.subtask, tables.subtask.c.id == tables.effect.c.subtask_id
        )
        untold = untold.where(BEGUN, tables.effect.c.called_at.is_(None), tables.subtask.c.state.in_(UNWELL))
        ended = (select(each.c.id).where(each.c.ended_at.is_(None)) for each in kinds)
        open_ = union_all(lacking, spreading, untold, *ended)
        return not self.rows(select(open_.subquery()).limit(1))

    def tell_what_came(self) -> None:
        """Counts what the ledger tells of it, beside what was done."""
        attempt, item, job, kept = (
            tables.attempt.c,
            tables.replay_item.c,
            tables.job.c,
            tables.subtask.c.kept_from,
        )
        for what, name, condition in (
            ("event:", tables.event.c.kind, true()),
            ("an attempt is", attempt.state, true()),
            ("an attempt ended as", attempt.code, attempt.code.is_not(None)),
            ("what was replayed is", item.state, true()),
            ("a job is", job.state + ": " + job.workflow, true()),
            ("results were", literal("kept"), kept.is_not(None)),
        ):
            for told, count in self.rows(select(name, func.count()).where(condition).group_by(name)):
                self.happened[f"{what} {told}"] += count

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

    def _check_taints(self) -> None:
        marked = tables.taint.c
        with self.ledger.read() as connection:
            for cause in connection.execute(select(marked.cause).distinct()).scalars().all():
                known = connection.execute(select(marked.subtask_id).where(marked.cause == cause)).scalars()
                if unmarked := taints.spread(connection, {cause}) - set(known):
                    raise Violation(f"built on {cause}, which is wrong, and not marked: {unmarked}")
