"""A whole fleet whose processes can end at any place: an orchestrator, a relay, a worker, upkeep and people."""

import logging
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import select

from contracts.base import Payload
from contracts.catalog import Catalog
from contracts.failures import Code
from contracts.jobs import JobRequest
from contracts.reports import Report
from orchestrator import purses
from orchestrator.door import Claim, Door, EffectRefused, Refusal, patience
from orchestrator.inbox import answer
from orchestrator.intake import Intake
from orchestrator.ledger import tables
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.leadership import Deposed
from orchestrator.ledger.promises import AFTER_DRAIN, promises
from orchestrator.problems import Problem
from orchestrator.relay import Relay
from orchestrator.settings import Settings
from orchestrator.upkeep.duties import Duties, DutyFailed
from orchestrator.upkeep.ticker import Ticker
from orchestrator.webhooks import Deliverer
from tests.crashes import broker
from tests.crashes.saboteur import Injected, MeddledStore, Saboteur
from tests.integration.small_fleet import Deed, Hands, assert_story_holds
from tests.simulation.clock import Clock, Gone, MeddledLedger, When
from tests.simulation.node import Node

log = logging.getLogger(__name__)

MOST_ROUNDS = 300
CADENCES = {"health-snapshot": 300.0}
VENDOR, SITE = "workers:vendor request", "workers:site write"
"""What the worker, which is played here, calls outside."""
CALLBACK = "http://127.0.0.1:9/hook"


class CrashingHands(Hands):
    """A worker that can be gone at any moment, before a site that takes whatever is written to it."""

    site: Counter[str]
    """How often each effect was applied."""
    saboteur: Saboteur
    clock: Clock
    taken: Collection[str] = ()
    """Publications that the site refuses, since it has another page in their place."""
    gone_after_writing = False
    """Whether the worker ends once it has written to the site next."""

    def do(self, attempt_id: str) -> Claim | Refusal:
        claim = patience.claim(self._door, attempt_id, self.name, new_id(), self.clock.forward)
        if isinstance(claim, Claim):
            self.handoffs.append(claim.handoff)
            self._door.heartbeat([claim])
            deed = self._deed(claim.handoff)
            if deed.payload is not None or deed.failure is not None:
                patience.hand_in(self._door, claim, self.report(claim, deed), self.name, self.clock.forward)
        return claim

    def report(self, claim: Claim, deed: Deed) -> Report:
        if claim.handoff.route:
            self.saboteur.meddle(VENDOR, When.BEFORE)
            self.saboteur.meddle(VENDOR, When.AFTER)
        return super().report(claim, deed)

    def _effect(self, claim: Claim, payload: Payload) -> None:
        grant = claim.handoff.effect
        assert grant is not None
        begun = self._door.begin_effect(claim, grant, {"by": claim.attempt})
        if begun.result is not None:
            return
        stands = begun.ambiguous and bool(self.site[grant.key])
        if begun.ambiguous:
            self._door.effect_verified(claim, grant, "it is there" if stands else "it is not there")
        if claim.handoff.assignment.name in self.taken:
            self._door.withdraw_effect(claim, grant, "the site refused it")
            raise EffectRefused(Code.STATE_CHANGED, "its place was taken meanwhile")
        if not stands:
            self._write(grant.key)
        self._door.finish_effect(claim, grant, payload.model_dump(mode="json"))

    def _write(self, key: str) -> None:
        """Writes to the site without a look of its own: whoever was not told to look does it again."""
        self.saboteur.meddle(SITE, When.BEFORE)
        self.site[key] += 1
        self.saboteur.meddle(SITE, When.AFTER)
        if self.gone_after_writing:
            self.gone_after_writing = False
            raise Gone(SITE)


class World:
    """Runs stories. What a process that ended knew is gone; the ledger, the store and the site stay."""

    def __init__(
        self,
        ledger: MeddledLedger,
        clock: Clock,
        catalog: Catalog,
        folder: Path,
        saboteur: Saboteur,
        opens: type[Door] = Door,
    ) -> None:
        self.ledger, self.clock, self.catalog, self.saboteur = ledger, clock, catalog, saboteur
        self.heard: Counter[str] = Counter()
        """Webhooks by their id."""
        self.answers_by, self.refused_first = "bob", ""
        self._folder = folder
        self._nodes = 0
        self.store = MeddledStore(Settings(state_dir=folder).store_url, saboteur)
        self.intake = Intake(ledger, catalog, self.store, ("127.0.0.1",))
        self.door = opens(ledger, self.store, 30.0)
        self.escalation_log = folder / "escalations.log"
        self.duties = Duties(
            self.door, ledger, catalog, self.intake, self.store, self.escalation_log, "duties", clock.forward
        )
        self.ticker = Ticker(ledger, catalog, self.intake, CADENCES)
        self.hands = CrashingHands(ledger, self.door, self.duties)
        self.hands.site, self.hands.saboteur, self.hands.clock = Counter(), saboteur, clock
        ledger.find, ledger.meddle = saboteur.find, saboteur.meddle
        broker.delivered()
        broker.Channel.find, broker.Channel.meddle = saboteur.find, saboteur.meddle
        with ledger.engine.begin() as connection:
            purses.seed(connection, catalog, now(connection))
        self.start_orchestrator()
        self.acts(lambda: self.hands.announce(tuple(catalog.lanes)))

    def start_orchestrator(self) -> None:
        self._nodes += 1
        self.node = Node(
            f"node-{self._nodes}",
            self.ledger,
            self.catalog,
            self.store,
            self._folder,
            lambda: 0.0,
            self.clock.monotonic,
        )
        self.relay = Relay(self.ledger, broker.URL, lambda: True, monotonic=self.clock.monotonic)
        self._deliverer = Deliverer(self.ledger, ("127.0.0.1",), lambda: True)

    def submit(self, workflow: str, documents: int = 1, **fields: Any) -> str:
        """A job from upstream, which asks again with the same key where it got no answer."""
        names = [f"document-{number}" for number in range(1, documents + 1)]
        inputs: dict[str, Any] = {
            "question": "What stands in the documents?",
            "documents": [{"name": name, "text": f"something of {name}"} for name in names],
        }
        given = {
            "tenant": "acme",
            "portfolio": "docs",
            "workflow": workflow,
            "inputs": {"items": names} if workflow == "fan" else inputs,
            "purpose": "feature",
            "reason": "readers ask for it",
            "requested_by": "alice",
            "callback_url": CALLBACK,
        }
        request, key, made = JobRequest.model_validate(given | fields), new_id(), []
        self.acts(lambda: made.append(self.intake.submit(request, key).job_id))
        return made[-1]

    def acts(self, act: Callable[[], object]) -> None:
        """Somebody outside does something, and does it again where no answer came; it may have been done then."""
        with suppress(Problem):
            try:
                act()
            except (Gone, Injected, LedgerUnreachable, OSError):
                act()

    def settle(self) -> None:
        """Everybody goes on until every job has ended and been told of."""
        for _ in range(MOST_ROUNDS):
            done = self.lead() + self.ring() + self.work() + self.deliver()
            self.answer_questions()
            if not done:
                if self._is_over():
                    return
                self.clock.forward(8.0)
            self.clock.forward(0.3)
        raise AssertionError(f"not at rest after {MOST_ROUNDS} rounds: {self.outcome()}")

    def lead(self) -> int:
        return self._as_orchestrator(self.node.turn)

    def ring(self) -> int:
        def publish() -> int:
            rung = self.relay.publish()
            self.relay.sing()
            return rung

        return self._as_orchestrator(publish)

    def deliver(self) -> int:
        with httpx2.Client(transport=httpx2.MockTransport(self._hear)) as client:
            return self._as_orchestrator(lambda: self._deliverer.deliver(client))

    def work(self) -> int:
        """The worker beats, and answers what the broker delivered; a process that ends drops what it had in hand."""
        self.acts(self._beat)
        attempts = broker.delivered()
        for attempt_id in attempts:
            try:
                self._do(attempt_id)
            except (Gone, Injected, LedgerUnreachable, OSError, DutyFailed) as fault:
                log.info("attempt %s is dropped: %r", attempt_id, fault)
        return len(attempts)

    def answer_questions(self) -> None:
        """Somebody approves of what is asked; another may have tried before who must not."""
        with self.ledger.read() as connection:
            asked = connection.execute(
                select(tables.approval.c.id).where(tables.approval.c.state == "waiting")
            ).scalars()
            waiting = list(asked)
        for approval_id in waiting:
            for person in filter(None, (self.refused_first, self.answers_by)):
                self.acts(partial(answer, self.ledger, approval_id, "approve", person))

    def outcome(self) -> dict[str, Any]:
        """How every job ended, and every subtask of those that were not cancelled."""
        with self.ledger.read() as connection:
            jobs = connection.execute(select(tables.job).order_by(tables.job.c.id)).all()
            subtasks = connection.execute(select(tables.subtask).order_by(tables.subtask.c.name)).all()
        return {
            f"{number} {job.workflow}": (
                job.state,
                {
                    row.name: row.state
                    for row in subtasks
                    if row.job_id == job.id and job.state != "cancelled"
                },
            )
            for number, job in enumerate(jobs, 1)
            if job.tenant == "acme"
        }

    def hold(self) -> None:
        """What must be true now that everything is over."""
        assert_story_holds(self.ledger, budgets=False)
        with self.ledger.read() as connection:
            for promise in promises(AFTER_DRAIN).values():
                assert not promise.broken(connection), promise.name
            told = set(connection.execute(select(tables.webhook.c.id)).scalars())
        assert set(self.hands.site.values()) <= {1}, "an effect was applied twice"
        assert set(self.heard) == told, "every webhook was heard"

    def _as_orchestrator(self, act: Callable[[], int]) -> int:
        """Does as `Loop.run` and the threads beside it do with what is raised."""
        try:
            return act()
        except (Deposed, LedgerUnreachable):
            self.node.stumbled()
        except Gone:
            self.start_orchestrator()
        except Exception as error:
            log.info("it goes on after %r", error)
        return 1

    def _beat(self) -> None:
        if self.door.beat(self.hands.name, 0, heard=True):
            self.hands.announce(tuple(self.catalog.lanes))

    def _do(self, attempt_id: str) -> None:
        with self.ledger.read() as connection:
            query = select(tables.attempt.c.lane).where(tables.attempt.c.id == attempt_id)
            lane = connection.execute(query).scalar_one()
        if lane == "upkeep":
            self.duties.run(attempt_id)
        else:
            self.hands.do(attempt_id)

    def _hear(self, request: httpx2.Request) -> httpx2.Response:
        place = self.saboteur.find()
        self.saboteur.meddle(place, When.BEFORE)
        self.heard[request.headers["webhook-id"]] += 1
        self.saboteur.meddle(place, When.AFTER)
        return httpx2.Response(204)

    def _is_over(self) -> bool:
        with self.ledger.read() as connection:
            open_jobs = connection.execute(
                select(tables.job.c.id).where(tables.job.c.ended_at.is_(None)).limit(1)
            ).first()
            untold = connection.execute(
                select(tables.webhook.c.id)
                .where(tables.webhook.c.delivered_at.is_(None), tables.webhook.c.gave_up_at.is_(None))
                .limit(1)
            ).first()
            replays = connection.execute(
                select(tables.replay.c.id).where(tables.replay.c.ended_at.is_(None)).limit(1)
            ).first()
        return open_jobs is None and untold is None and replays is None
