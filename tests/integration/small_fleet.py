"""A whole fleet in one process, on a real ledger: intake, the verbs of the loop, and hands that work by a script.

After every test it is held against what must be true at any moment, by `assert_story_holds`.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, delete, event, insert, select, update

from contracts.artifacts import digest_of
from contracts.base import Payload
from contracts.bench import Nothing
from contracts.brief import CheckedClaim, CheckedClaims, Claim, Claims, Draft, Published, Verified
from contracts.catalog import Catalog
from contracts.failures import Code, Failure
from contracts.handoffs import Handoff, ModelRoute
from contracts.jobs import JobRequest
from contracts.limits import Dimension, ResponseKind, VendorSignal
from contracts.reports import Call, Completed, Failed, Report, Summary, Usage
from contracts.states import JOB_ENDS, JOB_MOVES, SUBTASK_ENDS, SUBTASK_MOVES, JobState, SubtaskState
from contracts.verdicts import Decision, Finding, Severity, Verdict
from orchestrator import purses
from orchestrator.advance import Advancer
from orchestrator.answers import Answerer
from orchestrator.artifacts import ArtifactStore
from orchestrator.blocking import Suppliers
from orchestrator.deciders.charging import NOTHING, reservation
from orchestrator.deciders.pacing import Amount, Purse, beside, full, refilled, settled
from orchestrator.deciders.recovery import AWAY
from orchestrator.dispatch import Dispatcher
from orchestrator.door import Claim as Claimed
from orchestrator.door import Door, EffectRefused, Refusal, WorkerCard
from orchestrator.gathering import Gatherer
from orchestrator.inbox import answer
from orchestrator.intake import Intake
from orchestrator.ledger import tables
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.leadership import Leadership
from orchestrator.ledger.promises import promises
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.looking import Looker
from orchestrator.loop import Loop, Verbs
from orchestrator.plan import Planner
from orchestrator.recall import Recaller
from orchestrator.reconcile import Reconciler
from orchestrator.replay import Replayer
from orchestrator.settings import Settings
from orchestrator.settling import reserved_by
from orchestrator.upkeep.duties import Duties

CATALOG = Path(__file__).parent.parent / "bench" / "catalog"
"""The shipped catalog, and with it the lane that does nothing."""
USED = Usage(input_tokens=300, cached_input_tokens=100, output_tokens=50)
BEAT_SECONDS = 2.0
"""Of the hands; a worker whose beats are older than some of its heartbeats is granted nothing."""
MOST_TURNS = 200
OVERLAP_SECONDS = 1.0
"""A decision is of the moment at which its transaction began, and may take up what was committed a moment later."""
NO_TRIES = (
    "lost",
    "returned",
    "rate_limited",
    "paced overloaded",
    "unfinished",
    "missing_prerequisite",
    "unknown_contract",
    "interrupted",
    "stopped",
)
"""How attempts end that count as no try."""


@dataclass(frozen=True)
class Deed:
    """What the hands do with one attempt: a payload or a failure is reported; neither is silence."""

    payload: Payload | None = None
    failure: Failure | None = None
    usage: Usage | None = USED
    sent: bool = True
    contract: str | None = None
    """Claimed in the summary instead of the payload's own."""
    answer: bytes | None = None
    """What the vendor said, instead of a few words."""


SILENCE = Deed()
"""The attempt is claimed, and nothing more is ever heard."""


def delivers(payload: Payload, **values: Any) -> Deed:
    return Deed(payload=payload, **values)


def fails(code: Code, sentence: str = "so it is", retry_after: float | None = None, **values: Any) -> Deed:
    return Deed(failure=Failure(code=code, sentence=sentence, retry_after_seconds=retry_after), **values)


def objects(problem: str = "the description is too short") -> Deed:
    finding = Finding(line=1, severity=Severity.MAJOR, problem=problem)
    return delivers(Verdict(decision=Decision.OBJECT, findings=(finding,), confidence=0.9))


class Hands:
    """A worker without a broker: reads the doorbells as the relay does, and goes through the real door."""

    def __init__(self, ledger: Ledger, door: Door, duties: Duties, name: str = "hands") -> None:
        self.name = name
        self.simulates: tuple[str, ...] = ("anthropic", "google", "openai")
        self.reads_limits: tuple[str, ...] = ()
        self.handoffs: list[Handoff] = []
        self.cost_nano_usd = 1000
        """What each call costs that is reported with its usage."""
        self._ledger = ledger
        self._door = door
        self._duties = duties
        self._script: dict[str, list[Deed]] = defaultdict(list)
        self._beat_at = 0.0

    def beat(self) -> None:
        """Beats as a worker does, however slow the machine is; not where a test made the last beat an old one."""
        since = time.monotonic() - self._beat_at
        if since < BEAT_SECONDS:
            return
        query = select(tables.worker.c.beat_at).where(tables.worker.c.id == self.name)
        with self._ledger.read() as connection:
            last, at = connection.execute(query).scalar(), now(connection)
        if last is not None and last > at - since - BEAT_SECONDS:
            self._door.beat(self.name)
            self._beat_at = time.monotonic()

    def announce(self, lanes: tuple[str, ...], slots: int = 50) -> None:
        self._beat_at = time.monotonic()
        self._door.announce(
            WorkerCard(
                self.name, lanes, (), slots, "1", simulates=self.simulates, reads_limits=self.reads_limits
            )
        )

    def will(self, name: str, *deeds: Deed) -> None:
        """The next attempts of the subtask with this name go so; all others go well."""
        self._script[name] += deeds

    def work(self) -> int:
        """Answers every doorbell that rings now, and says how many."""
        bells = self.doorbells()
        for bell in bells:
            if bell.lane == "upkeep":
                self._duties.run(bell.attempt_id)
            else:
                self.do(bell.attempt_id)
        return len(bells)

    def doorbells(self) -> list[Any]:
        """Takes the doorbells away, as the relay does when the broker took them."""
        with self._ledger.write() as connection:
            rows = list(connection.execute(select(tables.doorbell).order_by(tables.doorbell.c.seq)))
            seen = [row.seq for row in rows]  # another may have been rung since
            connection.execute(delete(tables.doorbell).where(tables.doorbell.c.seq.in_(seen)))
        return rows

    def do(self, attempt_id: str) -> Claimed | Refusal:
        """One attempt from claim to report, by the script."""
        claim = self.claim(attempt_id)
        if isinstance(claim, Claimed):
            self.perform(claim, self._deed(claim.handoff))
        return claim

    def claim(self, attempt_id: str, token: str | None = None) -> Claimed | Refusal:
        claim = self._door.claim(attempt_id, self.name, token or new_id())
        if isinstance(claim, Claimed):
            self.handoffs.append(claim.handoff)
        return claim

    def perform(self, claim: Claimed, deed: Deed) -> bool:
        """Reports the deed; False where it was dropped, or where it is silence."""
        if deed.payload is None and deed.failure is None:
            return False
        return self._door.report(claim, self.report(claim, deed), self.name)

    def report(self, claim: Claimed, deed: Deed) -> Report:
        handoff = claim.handoff
        if deed.failure is not None:
            outcome: Completed | Failed = Failed(failure=deed.failure)
        else:
            assert deed.payload is not None
            outcome = self._done(claim, deed.payload, deed.contract)
        call = self._call(handoff.route, deed) if handoff.route else None
        return Report(outcome=outcome, call=call, worker_seconds=0.01)

    def _deed(self, handoff: Handoff) -> Deed:
        script = self._script[handoff.assignment.name]
        return script.pop(0) if script else delivers(self.payload(handoff))

    def _done(self, claim: Claimed, payload: Payload, contract: str | None) -> Completed | Failed:
        try:
            if claim.handoff.effect:
                self._effect(claim, payload)
        except EffectRefused as refused:
            return Failed(failure=Failure(code=refused.code, sentence=str(refused)))
        return Completed(summary=self._summary(payload, contract))

    def _effect(self, claim: Claimed, payload: Payload) -> None:
        grant = claim.handoff.effect
        assert grant is not None
        begun = self._door.begin_effect(claim, grant, {"by": claim.attempt})
        if begun.ambiguous:
            self._door.effect_verified(claim, grant, "the hands looked")
        if begun.result is None:
            self._door.finish_effect(claim, grant, payload.model_dump(mode="json"))

    def _summary(self, payload: Payload, claimed: str | None) -> Summary:
        ref = self._door.put(payload.model_dump_json().encode(), "application/json", payload.contract)
        return Summary(
            contract=claimed or payload.contract,
            text=payload.headline(),
            output=ref,
            confidence=payload.stated_confidence(),
            decision=payload.decision if isinstance(payload, Verdict) else None,
            facts=payload.facts(),
        )

    def _call(self, route: ModelRoute, deed: Deed) -> Call:
        said = deed.answer or f"what {route.model} said".encode()
        answer = self._door.put(said, "text/plain", "answer")
        return Call(
            vendor=route.vendor,
            account=route.account,
            group=route.group,
            model=route.model,
            simulated=True,
            usage=deed.usage if deed.sent else None,
            sent=deed.sent,
            cost_nano_usd=self.cost_nano_usd if deed.sent and deed.usage else 0,
            seconds=0.01,
            answer=answer if deed.sent else None,
            signal=_signal(deed),
        )

    def payload(self, handoff: Handoff) -> Payload:
        """A good answer to the handoff."""
        return _GOOD[handoff.desired_output](self, handoff)

    def _repeated_draft(self, handoff: Handoff) -> Draft | None:
        for item in handoff.context:
            if item.name == "draft" and item.artifact:
                return Draft.model_validate_json(self._door.get(item.artifact))
        return None

    def draft(self, handoff: Handoff) -> Draft:
        """The draft handed over, or a new one that says which round it is of."""
        return self._repeated_draft(handoff) or Draft(
            title=f"A page by {handoff.assignment.name}",
            slug="a-page",
            description="It says what the documents say, and no more.",
            body="Something stands [a-1].",
            citations=("a-1",),
            confidence=0.8,
        )


def _signal(deed: Deed) -> VendorSignal:
    """What the vendor's answer says of its account."""
    if deed.failure is None:
        return VendorSignal(kind=ResponseKind.OK)
    kind = _KINDS.get(deed.failure.code, ResponseKind.SILENT)
    return VendorSignal(kind=kind, retry_after_seconds=deed.failure.retry_after_seconds)


_KINDS = {
    Code.RATE_LIMITED: ResponseKind.RATE_LIMITED,
    Code.DAY_LIMIT: ResponseKind.DAY_LIMITED,
    Code.OVERLOADED: ResponseKind.OVERLOADED,
    Code.SPEND_LIMIT: ResponseKind.SPEND_LIMITED,
    Code.UNAUTHORISED: ResponseKind.UNAUTHORISED,
    Code.CUT: ResponseKind.OK,
}
_CLAIM = {"claim": "Something stands.", "quote": "something", "confidence": 0.9}
_PLACE = {"slug": "a-page", "path": "docs/a-page.html", "page_digest": digest_of(b"page")}
_GOOD: dict[str, Callable[[Hands, Handoff], Payload]] = {
    "brief.Claims@1": lambda hands, handoff: Claims(claims=(Claim.model_validate(_CLAIM),)),
    "brief.CheckedClaims@1": lambda hands, handoff: CheckedClaims(
        document=handoff.assignment.name,
        digest=digest_of(b"document"),
        claims=(CheckedClaim.model_validate(_CLAIM | {"id": "a-1", "offset": 0, "length": 9}),),
    ),
    "brief.Draft@1": lambda hands, handoff: hands.draft(handoff),
    "review.Verdict@1": lambda hands, handoff: Verdict(decision=Decision.APPROVE, confidence=0.9),
    "site.Published@1": lambda hands, handoff: Published.model_validate(_PLACE | {"posts": 1}),
    "site.Verified@1": lambda hands, handoff: Verified.model_validate(_PLACE | {"checks": ("page",)}),
    "bench.Nothing@1": lambda hands, handoff: Nothing(),
}


class NoWake:
    """Nobody waits in a single thread."""

    def wait(self, most_seconds: float) -> None: ...

    def worked(self) -> None: ...

    def close(self) -> None: ...


class SmallFleet:
    """Every part on one ledger. It leads; nothing runs by itself."""

    def __init__(self, ledger: Ledger, folder: Path, catalog: Catalog, **settings: Any) -> None:
        self.ledger = ledger
        self.catalog = catalog
        self.settings = Settings(state_dir=folder, **settings)
        self.store = ArtifactStore(self.settings.store_url)
        self.intake = Intake(ledger, catalog, self.store, self.settings.webhook_allow)
        self.leadership = Leadership(ledger, "the test", 60.0)
        self.snapshots = Snapshots()
        self.dispatch = Dispatcher(self.leadership, self.settings)
        self.plan = Planner(self.leadership, self.snapshots)
        self.replay = Replayer(self.leadership, self.snapshots, catalog)
        self.advance = Advancer(
            self.leadership,
            self.snapshots,
            self.dispatch.learn,
            self.dispatch.correct,
            Suppliers(self.intake, catalog.prerequisites),
            chance=lambda: 0.0,
        )
        self.answer = Answerer(self.leadership, self.snapshots)
        self.gather = Gatherer(ledger, self.leadership, catalog, self.intake, self.settings)
        self.recall = Recaller(self.leadership, self.snapshots, self.settings)
        self.reconcile = Reconciler(
            self.leadership, self.snapshots, {}, self.dispatch.correct, chance=lambda: 0.0
        )
        self.door = Door(ledger, self.store, self.settings.lease_seconds)
        self.escalation_log = folder / "escalations.log"
        duties = Duties(self.door, ledger, catalog, self.intake, self.store, self.escalation_log, "duties")
        self.hands = Hands(ledger, self.door, duties)
        self.assert_budgets = True
        """Whether the levels can be replayed; False where a test sets them by hand."""
        self.leadership.seek()
        with ledger.write() as connection:
            at = now(connection)
            purses.seed(connection, catalog, at)
            known_for_long = update(tables.budget_level)
            connection.execute(
                known_for_long.values(burst_seconds=tables.budget_level.c.declared_burst_seconds)
            )
            seeded = purses.read_purses(connection, at, {})
            rested = {key: refilled(purse, 60.0, another_day=False) for key, purse in seeded.items()}
            purses.write_levels(connection, rested, at)
        self.hands.announce(tuple(catalog.lanes))

    def submit(self, workflow: str = "summary", documents: int = 1, **fields: Any) -> str:
        """A job from upstream; of `fan` with so many items. Unless one is given, its question is asked once only."""
        names = [f"document-{number}" for number in range(1, documents + 1)]
        inputs: dict[str, Any] = {
            "question": f"What stands in the documents? ({new_id()})",
            "documents": [{"name": name, "text": f"something of {name}"} for name in names],
        }
        if workflow == "fan":
            inputs = {"items": names}
        given: dict[str, Any] = {
            "tenant": "acme",
            "portfolio": "docs",
            "workflow": workflow,
            "inputs": inputs,
            "purpose": "feature",
            "reason": "readers ask for it",
            "requested_by": "alice",
        }
        return self.intake.submit(JobRequest.model_validate(given | fields)).job_id

    def turn(self) -> int:
        """Every verb once, as the loop calls them; how much was done."""
        return sum(verb.run() for verb in vars(self._verbs()).values())

    def _verbs(self) -> Verbs:
        return Verbs(
            plan=self.plan,
            replay=self.replay,
            advance=self.advance,
            answer=self.answer,
            recall=self.recall,
            gather=self.gather,
            dispatch=self.dispatch,
            reconcile=self.reconcile,
        )

    def run(self, work: Callable[[], int] | None = None) -> None:
        """Turns and works until neither does anything more; with other hands where `work` is given. Turns are the
        loop's own, whose clock stands still, so that reconcile comes where all else is at rest; by then every verb
        found nothing to do, seen or not."""
        look = Looker(self.ledger).look
        loop = Loop(self.leadership, self._verbs(), look, NoWake(), lambda: None, monotonic=lambda: 0.0)
        for _ in range(MOST_TURNS):
            self.hands.beat()
            if loop.turn() + (work or self.hands.work)() == 0 and self.turn() == 0:
                return
        raise AssertionError(f"still not at rest after {MOST_TURNS} turns")

    def grant(self, workflow: str = "fan", **fields: Any) -> tuple[str, str]:
        """A job whose first subtask is granted; the job and the attempt."""
        job_id = self.submit(workflow, **fields)
        self.turn()
        return job_id, self.hands.doorbells()[-1].attempt_id

    def claimed(self, workflow: str = "fan", **fields: Any) -> Claimed:
        """The claim on the first attempt of a new job."""
        _, attempt_id = self.grant(workflow, **fields)
        claim = self.hands.claim(attempt_id)
        assert isinstance(claim, Claimed)
        return claim

    def decide(self, job_id: str, decision: Any, by: str = "bob", comment: str = "") -> None:
        """Answers the question of the job that waits."""
        (asked,) = [row for row in self.rows(tables.approval, job_id=job_id) if row.state == "waiting"]
        answer(self.ledger, asked.id, decision, by, comment)

    def rows(self, table: Table, **where: Any) -> list[Any]:
        query = select(table).where(*(table.c[name] == value for name, value in where.items()))
        with self.ledger.read() as connection:
            return list(connection.execute(query.order_by(*table.primary_key.columns)))

    def row(self, table: Table, **where: Any) -> Any:
        (found,) = self.rows(table, **where)
        return found

    def job(self, job_id: str) -> Any:
        return self.row(tables.job, id=job_id)

    def subtask(self, job_id: str, name: str) -> Any:
        return self.row(tables.subtask, job_id=job_id, name=name)

    def attempts(self, job_id: str, name: str) -> list[Any]:
        return self.rows(tables.attempt, subtask_id=self.subtask(job_id, name).id)

    def states(self, job_id: str) -> dict[str, str]:
        """The state of every subtask of a job, by name."""
        return {row.name: row.state for row in self.rows(tables.subtask, job_id=job_id)}

    def handed(self, name: str) -> list[Handoff]:
        """What the hands were given for subtasks of this name, in order."""
        return [h for h in self.hands.handoffs if h.assignment.name == name]

    def budget(self, key: str) -> Any:
        return self.row(tables.budget, key=key)

    def levels(self, key: str) -> dict[str, float]:
        """The levels of a budget by dimension, as of when it was last refilled."""
        return {row.dimension: row.level for row in self.rows(tables.budget_level, key=key)}

    def set_level(self, key: str, dimension: str, **values: Any) -> None:
        """Sets one dimension of a budget by hand; its levels cannot be replayed any more."""
        self.assert_budgets = False
        level = tables.budget_level
        with self.ledger.write() as connection:
            connection.execute(
                update(level).where(level.c.key == key, level.c.dimension == dimension).values(**values)
            )

    def set_budget(self, key: str, **values: Any) -> None:
        """Sets a budget by hand; its levels cannot be replayed any more."""
        self.assert_budgets = False
        with self.ledger.write() as connection:
            connection.execute(update(tables.budget).where(tables.budget.c.key == key).values(**values))


def age(ledger: Ledger, table: Table, key: str, **seconds: float) -> None:
    """Lets time pass for one row: the named moments of it lie so many seconds earlier."""
    (column,) = table.primary_key.columns
    moments = {name: table.c[name] - by for name, by in seconds.items()}
    with ledger.write() as connection:
        assert connection.execute(update(table).where(column == key).values(moments)).rowcount == 1


def break_report(ledger: Ledger, attempt_id: str) -> None:
    """Makes a kept report one that nobody can read."""
    with ledger.write() as connection:
        broken = update(tables.attempt).where(tables.attempt.c.id == attempt_id)
        connection.execute(broken.values(report={"outcome": {"kind": "nonsense"}}))


def insert_rows(ledger: Ledger, table: Table, *rows: dict[str, Any]) -> None:
    with ledger.write() as connection:
        connection.execute(insert(table), list(rows))


@contextmanager
def overheard(fleet: SmallFleet) -> Iterator[list[str]]:
    """Every statement that the ledger is asked meanwhile, but for the beginnings of transactions."""
    asked: list[str] = []

    def hear(*given: Any) -> None:
        if given[2] != "BEGIN IMMEDIATE":
            asked.append(given[2])

    event.listen(fleet.ledger.engine, "before_cursor_execute", hear)
    yield asked
    event.remove(fleet.ledger.engine, "before_cursor_execute", hear)


def assert_story_holds(ledger: Ledger, budgets: bool = True) -> None:
    """What must be true of a ledger at any moment, whatever has happened."""
    with ledger.read() as connection:
        story = Story.of(connection)
        _assert_promises(connection)
    _assert_moves(story.jobs, story.events["job_moved"], "job_id", JOB_MOVES, JOB_ENDS, JobState)
    _assert_moves(
        story.subtasks, story.events["subtask_moved"], "subtask_id", SUBTASK_MOVES, SUBTASK_ENDS, SubtaskState
    )
    _assert_attempts(story)
    _assert_ends(story)
    if budgets:
        _assert_levels(story)


@dataclass
class Story:
    """A ledger read at one moment."""

    jobs: list[Any]
    subtasks: list[Any]
    attempts: dict[str, list[Any]]
    """By subtask."""
    budgets: list[Any]
    levels: list[Any]
    webhooks: list[Any]
    approvals: list[Any]
    events: dict[str, list[Any]] = field(default_factory=dict)
    """By kind, in the order in which they were written."""

    @classmethod
    def of(cls, connection: Connection) -> "Story":
        attempts: dict[str, list[Any]] = defaultdict(list)
        for row in connection.execute(select(tables.attempt).order_by(tables.attempt.c.id)):
            attempts[row.subtask_id].append(row)
        events: dict[str, list[Any]] = defaultdict(list)
        for row in connection.execute(select(tables.event).order_by(tables.event.c.seq)):
            events[row.kind].append(row)
        return cls(
            jobs=list(connection.execute(select(tables.job))),
            subtasks=list(connection.execute(select(tables.subtask))),
            attempts=attempts,
            budgets=list(connection.execute(select(tables.budget))),
            levels=list(connection.execute(select(tables.budget_level))),
            webhooks=list(connection.execute(select(tables.webhook))),
            approvals=list(connection.execute(select(tables.approval))),
            events=events,
        )


def _assert_promises(connection: Connection) -> None:
    """The invariants that are shipped and that `fleet check` runs."""
    for promise in promises().values():
        assert not promise.broken(connection), promise.name


def _assert_moves(rows: Any, events: Any, key: str, moves: Any, ends: Any, kind: Any) -> None:
    """The events tell every move, each of them allowed, and lead to the state in which the row is."""
    told = defaultdict(list)
    for each in events:
        told[getattr(each, key)].append(each)
    for row in rows:
        path = told[row.id]
        assert path, f"{row.id} is {row.state} and no event tells of it"
        assert path[0].old is None, f"{row.id} begins with {path[0].old} → {path[0].new}"
        for before, after in pairwise(path):
            assert after.old == before.new, f"{row.id}: {before.new}, then {after.old} → {after.new}"
            assert (kind(after.old), kind(after.new)) in moves
            assert before.at <= after.at + OVERLAP_SECONDS
        assert path[-1].new == row.state
        assert (row.ended_at is not None) == (row.state in ends)
        assert row.ended_at in (None, path[-1].at)
        assert [event.new for event in path].count("done") <= 1


def _assert_attempts(story: Story) -> None:
    for subtask in story.subtasks:
        attempts = story.attempts[subtask.id]
        open_ = [row for row in attempts if row.ended_at is None]
        assert len(open_) <= 1, f"{subtask.name} has {len(open_)} open attempts"
        if subtask.state in ("dispatched", "running"):
            assert [row.state for row in open_] == [subtask.state]
        elif subtask.state == "submitted":
            assert [(row.state, row.vendor_batch_id is None) for row in open_] == [("running", False)]
        elif subtask.state in SUBTASK_ENDS | {"waiting", "ready", "parked"}:
            assert not open_, f"{subtask.name} is {subtask.state}, and an attempt is {open_[0].state}"
        for row in attempts:
            assert (row.ended_at is None) == (row.state in ("dispatched", "running", "reported"))
            assert (
                (row.fence > 0)
                == (row.claimed_at is not None)
                == (row.state not in ("dispatched", "returned"))
            )
        if subtask.state != "cancelled" and not open_ and "flawed" not in story.events:
            ended = Counter(_ended(row) for row in attempts)
            counted = sum(ended.values()) - sum(ended[name] for name in NO_TRIES)
            probes = sum(ended[code] for code in AWAY)  # are none where the vendor was known to be away
            assert counted - probes <= subtask.tries <= counted, subtask.name
            assert subtask.crashes <= ended["lost"], subtask.name


def _ended(attempt: Any) -> str | None:
    """How an attempt ended, as tries are counted."""
    if attempt.state == "lost" and attempt.code in ("stopped", "too_late"):
        return "stopped"
    if attempt.state != "settled":
        return str(attempt.state)
    paced = attempt.budget is not None and attempt.code == "overloaded"
    return "paced overloaded" if paced else attempt.code


def _assert_ends(story: Story) -> None:
    ended = {row.id for row in story.subtasks if row.ended_at is not None}
    for approval in story.approvals:
        assert not (approval.state == "waiting" and approval.subtask_id in ended), (
            "it asks for what has ended"
        )
    called = {row.job_id: row for row in story.webhooks}
    for job in story.jobs:
        wanted = job.ended_at is not None and job.callback_url is not None
        assert (job.id in called) == wanted, f"a webhook of {job.id}, which is {job.state}"
        if job.state == "done":
            assert job.result or "mapped over an empty list" in job.why
        elif job.ended_at is not None:
            assert job.why


def _assert_levels(story: Story) -> None:
    """The levels are those that follow from the attempts alone: reserved at the grant, corrected at the end; and
    lower at most by what nobody had counted yet, of which the ledger does not keep how much it was at each grant."""
    for budget in story.budgets:
        own = [row for row in story.levels if row.key == budget.key]
        start = {n: replace(bucket, level=full(n, bucket)) for n, bucket in purses.buckets_of(own).items()}
        kept = purses.purse_of(budget, purses.buckets_of(own), 0, budget.refilled_at)
        most = least = replace(kept, buckets=start)
        last, held = 0.0, Counter[Dimension]()
        for at, together in groupby(sorted(_changes(story, kept), key=lambda c: c[0]), key=lambda c: c[0]):
            most, least = (refilled(purse, at - last, another_day=False) for purse in (most, least))
            least, last = beside(least, held), at
            for _, given_back, taken in together:
                most, least = (settled(purse, given_back, taken) for purse in (most, least))
                held.update(taken if not given_back else {name: -by for name, by in given_back.items()})
        gained = max(budget.refilled_at - last, 0.0)
        most, least = (refilled(purse, gained, another_day=False) for purse in (most, least))
        least = beside(least, held)
        found = refilled(kept, max(last - budget.refilled_at, 0.0), another_day=False)
        for name, bucket in found.buckets.items():
            between = least.buckets[name].level - 0.01 <= bucket.level <= most.buckets[name].level + 0.01
            assert between, f"{budget.key} {name}"


def _changes(story: Story, purse: Purse) -> Iterator[tuple[float, Amount, Amount]]:
    """What was given back to a budget and taken from it, and when."""
    for row in (row for rows in story.attempts.values() for row in rows if row.budget == purse.key):
        reserved = reservation(purse.charging, reserved_by(row))
        yield row.granted_at, NOTHING, reserved
        if row.state == "returned" or (row.state == "settled" and not (row.sent or row.ambiguous)):
            yield row.ended_at, reserved, NOTHING
        elif row.state == "settled":
            yield row.ended_at, reserved, _used(row, purse, reserved)
        elif row.state == "lost":
            yield row.ended_at, reserved, reserved


def _used(row: Any, purse: Purse, reserved: Amount) -> Amount:
    taken = row.input_tokens - (0 if purse.charging.cached_input_counts else row.cached_input_tokens)
    together = reserved[Dimension.TOKENS] if purse.charging.promise_counts else taken + row.output_tokens
    return {
        Dimension.REQUESTS: 1,
        Dimension.REQUESTS_PER_DAY: 1,
        Dimension.INPUT_TOKENS: taken,
        Dimension.OUTPUT_TOKENS: row.output_tokens,
        Dimension.TOKENS: together,
    }
