"""Effects: applied once whoever dies, on the state they were built on, and one at a time on each subject."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import TimeoutError as PoolTimeout

from contracts.artifacts import digest_of
from contracts.brief import CheckedClaim, CheckedClaims, Draft
from contracts.catalog import Catalog
from contracts.failures import Code
from contracts.handoffs import EffectGrant
from contracts.replays import ReplayRequest
from contracts.workflows import ReplayClass
from orchestrator.artifacts import ArtifactStore, StoreUnreachable
from orchestrator.cancelling import request_cancel
from orchestrator.deciders.switches import Scope
from orchestrator.door import Begun, Claim, Door, EffectRefused
from orchestrator.intake import Intake
from orchestrator.ledger import tables
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.ledger.promises import AFTER_DRAIN, promises
from orchestrator.pausing import Wish, hold, release
from orchestrator.problems import Conflict, Malformed, NotFound
from orchestrator.reads.explain import explain
from orchestrator.replay import Replayer
from orchestrator.replaying import open_replay
from orchestrator.vouching import settle
from tests.integration.small_fleet import SmallFleet, age, delivers, fails
from tests.integration.test_replay import with_unsafe_publishing
from workers.attempts import AttemptFailed, Attempts
from workers.heartbeat import Heartbeat
from workers.settings import WorkerSettings
from workers.site.place import Place
from workers.site.posts import Post, reading

BY_SITE = ("rules", "publish", "verify")
"""The lanes that real hands work here, on a real site."""
CLAIMS = CheckedClaims(
    document="wind",
    digest=digest_of(b"document"),
    claims=(
        CheckedClaim(claim="Wind turns them.", quote="wind", confidence=0.9, id="wind-1", offset=0, length=4),
    ),
)
FILLER = "Wind moves the blades, the blades move a shaft, and the shaft moves the generator. " * 6


def page(slug: str = "wind") -> Draft:
    return Draft(
        title="How wind turns turbines",
        slug=slug,
        description="What moves the blades of a turbine, and what that has to do with wind.",
        body=f"{FILLER}[wind-1]",
        citations=("wind-1",),
        confidence=0.8,
    )


class Killed(BaseException):
    """A worker died: nothing catches it, and nobody reports."""


class DyingDoor(Door):
    """The door of a worker that dies at chosen places, each once."""

    dies_at: set[str]

    def begin_effect(self, claim: Claim, grant: EffectGrant, intent: dict[str, Any]) -> Begun:
        begun = super().begin_effect(claim, grant, intent)
        self._die("after its intent")
        return begun

    def finish_effect(self, claim: Claim, grant: EffectGrant, result: dict[str, Any]) -> None:
        self._die("after it was applied")
        super().finish_effect(claim, grant, result)

    def _die(self, place: str) -> None:
        if place in self.dies_at:
            self.dies_at.remove(place)
            raise Killed(place)


class AwayDoor(Door):
    """The door to a ledger that does not answer the first time: nothing was done, or it was and nobody learns."""

    away: set[str]

    def begin_effect(self, claim: Claim, grant: EffectGrant, intent: dict[str, Any]) -> Begun:
        self._miss("begin")
        return super().begin_effect(claim, grant, intent)

    def finish_effect(self, claim: Claim, grant: EffectGrant, result: dict[str, Any]) -> None:
        self._miss("finish")
        super().finish_effect(claim, grant, result)
        self._miss("the answer to finish")

    def _miss(self, place: str) -> None:
        if place in self.away:
            self.away.remove(place)
            raise LedgerUnreachable(PoolTimeout())


class KillingDoor(Door):
    """The door of a worker whose tenant is killed by a switch between its claim and its effect, once."""

    kill: Callable[[], None] | None

    def begin_effect(self, claim: Claim, grant: EffectGrant, intent: dict[str, Any]) -> Begun:
        if self.kill:
            self.kill()
            self.kill = None
        return super().begin_effect(claim, grant, intent)


class AwayStore(ArtifactStore):
    """A store that gives nothing so many times."""

    away: int

    def get(self, digest: str) -> bytes:
        if self.away:
            self.away -= 1
            raise StoreUnreachable("the artifact store is unreachable: nobody answers")
        return super().get(digest)


@dataclass
class Publishing:
    """A fleet whose site lanes are worked by real handlers on real files."""

    fleet: SmallFleet
    state_dir: Path
    dies_at: set[str] = field(default_factory=set)
    killed: int = 0

    def __post_init__(self) -> None:
        door = DyingDoor(self.fleet.ledger, self.fleet.store, self.fleet.settings.lease_seconds)
        door.dies_at = self.dies_at
        environment: dict[str, Any] = {"FLEET_STATE_DIR": self.state_dir}
        self.attempts = Attempts(door, Heartbeat(door, 3600.0), WorkerSettings(**environment), "site hands")

    def run(self) -> None:
        """Turns and works until neither does anything more."""
        self.fleet.run(self._work)

    def _work(self) -> int:
        bells = self.fleet.hands.doorbells()
        for bell in bells:
            self.do(bell.attempt_id, bell.lane)
        return len(bells)

    def do(self, attempt_id: str, lane: str) -> None:
        if lane not in BY_SITE:
            self.fleet.hands.do(attempt_id)
            return
        try:
            self.attempts.run(attempt_id)
        except AttemptFailed:
            pass
        except Killed:
            self.killed += 1
            age(self.fleet.ledger, tables.attempt, attempt_id, lease_until=3600.0)

    def until_killed(self) -> None:
        """Turns and works until its worker has died."""
        for _ in range(20):
            self.fleet.turn()
            self._work()
            if self.killed:
                return
        raise AssertionError("it did not die")

    def asked(self, slug: str = "wind") -> str:
        """A brief that waits for its approval."""
        for step, payload in (("check-quotes[1]", CLAIMS), ("draft", page(slug))):
            self.fleet.hands.will(step, delivers(payload))
        job_id = self.fleet.submit("brief")
        self.run()
        assert self.fleet.job(job_id).state == "awaiting_approval", self.fleet.job(job_id).why
        return job_id

    def posts(self) -> list[Post]:
        with reading(Place(self.state_dir, self.state_dir / "sites" / "acme" / "docs").posts) as posts:
            return posts.all()


def wait(fleet: SmallFleet, job_id: str, seconds: float) -> None:
    """The publication of this job waits for so long before it is granted again."""
    this = update(tables.subtask).where(tables.subtask.c.id == fleet.subtask(job_id, "publish").id)
    with fleet.ledger.write() as connection:
        connection.execute(this.values(not_before=now(connection) + seconds))


@pytest.fixture
def publishing(fleet: SmallFleet, tmp_path: Path) -> Publishing:
    return Publishing(fleet, tmp_path / "state")


@pytest.mark.parametrize(
    ("place", "shown"),
    [("after its intent", "was not applied"), ("after it was applied", "was applied")],
)
def test_a_worker_that_dies_inside_an_effect_leaves_it_applied_once_after_the_world_was_read(
    publishing: Publishing, place: str, shown: str
) -> None:
    fleet = publishing.fleet
    job_id = publishing.asked()
    publishing.dies_at.add(place)
    fleet.decide(job_id, "approve")
    publishing.run()

    assert publishing.killed == 1
    assert fleet.job(job_id).state == "done"
    assert [post.job for post in publishing.posts()] == [job_id]
    effect = fleet.row(tables.effect)
    lost, told = fleet.attempts(job_id, "publish")
    assert (lost.state, told.state, effect.attempt_id) == ("lost", "settled", told.id)
    assert shown in effect.verification and effect.verified_at <= effect.applied_at
    (event,) = fleet.rows(tables.event, kind="effect_verified")
    assert shown in event.sentence and event.attempt_id == told.id


def test_an_effect_waits_for_a_ledger_that_is_away_instead_of_failing(publishing: Publishing) -> None:
    fleet, pauses = publishing.fleet, list[float]()
    job_id = publishing.asked()
    door = AwayDoor(fleet.ledger, fleet.store, fleet.settings.lease_seconds)
    door.away = {"begin", "finish", "the answer to finish"}
    publishing.attempts.door, publishing.attempts.sleep = door, pauses.append
    fleet.decide(job_id, "approve")
    publishing.run()

    assert len(pauses) == 3 and not door.away
    assert fleet.job(job_id).state == "done"
    assert [post.job for post in publishing.posts()] == [job_id]
    assert [row.state for row in fleet.attempts(job_id, "publish")] == ["settled"]


def test_an_effect_that_a_switch_kills_as_it_begins_waits_for_the_switch_and_is_no_failure(
    publishing: Publishing,
) -> None:
    fleet = publishing.fleet
    job_id = publishing.asked()
    door = KillingDoor(fleet.ledger, fleet.store, fleet.settings.lease_seconds)
    wish = Wish(Scope.TENANT, "acme", "bob", "the site is moved", kills=True)
    door.kill = lambda: hold(fleet.ledger, fleet.catalog, wish)
    publishing.attempts.door = door
    fleet.decide(job_id, "approve")
    publishing.run()
    assert door.kill is None and publishing.posts() == []
    assert fleet.subtask(job_id, "publish").state == "ready"

    release(fleet.ledger, Scope.TENANT, "acme", "bob", "it is moved")
    publishing.run()
    assert fleet.job(job_id).state == "done"
    assert [row.code for row in fleet.attempts(job_id, "publish")] == ["interrupted", None]
    assert fleet.subtask(job_id, "publish").tries == 1


@pytest.mark.parametrize(("away", "codes"), [(3, [None]), (12, ["store_unreachable", None])])
def test_a_store_that_is_away_is_waited_for_and_then_tried_again(
    publishing: Publishing, away: int, codes: list[str | None]
) -> None:
    fleet, pauses = publishing.fleet, list[float]()
    job_id = publishing.asked()
    store = AwayStore(fleet.settings.store_url)
    store.away = away
    publishing.attempts.door = Door(fleet.ledger, store, fleet.settings.lease_seconds)
    publishing.attempts.sleep = pauses.append
    fleet.decide(job_id, "approve")
    for _ in range(3):
        publishing.run()
        with fleet.ledger.write() as connection:
            connection.execute(update(tables.subtask).values(not_before=None))

    assert store.away == 0 and len(pauses) == away - (len(codes) - 1)
    assert fleet.job(job_id).state == "done"
    assert [row.code for row in fleet.attempts(job_id, "publish")] == codes


def test_a_store_that_is_not_mounted_is_waited_for_and_blames_no_handoff(
    publishing: Publishing, tmp_path: Path
) -> None:
    fleet, pauses = publishing.fleet, list[float]()
    job_id = publishing.asked()
    fleet.decide(job_id, "approve")
    fleet.answer.run()
    kept, elsewhere = Path(fleet.settings.store_url.removeprefix("file://")), tmp_path / "unmounted"
    kept.rename(elsewhere)

    def mounted_again(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            elsewhere.rename(kept)

    publishing.attempts.sleep = mounted_again
    publishing.run()
    assert len(pauses) == 2, "it was never away"
    assert fleet.job(job_id).state == "done"
    assert [row.code for row in fleet.attempts(job_id, "publish")] == [None]


def test_what_nobody_interrupted_is_not_verified(publishing: Publishing) -> None:
    job_id = publishing.asked()
    publishing.fleet.decide(job_id, "approve")
    publishing.run()
    effect = publishing.fleet.row(tables.effect)
    assert (effect.verified_at, effect.verification, effect.replay_class) == (None, "", "idempotent")
    assert publishing.fleet.rows(tables.event, kind="effect_verified") == []


def test_a_result_of_an_effect_whose_end_nobody_knew_counts_only_once_the_world_was_read(
    fleet: SmallFleet,
) -> None:
    grant = EffectGrant(key="sha256:key", target="scratch:here", approved_digest=None)
    first = fleet.claimed()
    fleet.door.begin_effect(first, grant, {})
    second = fleet.claimed()

    assert fleet.door.begin_effect(second, grant, {}) == Begun(ambiguous=True)
    fleet.door.finish_effect(second, grant, {"path": "unread"})
    assert fleet.row(tables.effect).result is None
    fleet.door.effect_verified(second, grant, "nothing is there")
    fleet.door.finish_effect(second, grant, {"path": "read"})
    effect = fleet.row(tables.effect)
    assert (effect.result, effect.subtask_id) == ({"path": "read"}, second.subtask)
    fleet.run()


@pytest.mark.parametrize(
    ("replay_class", "refused"), [(ReplayClass.UNSAFE, True), (ReplayClass.COMPENSABLE, False)]
)
def test_an_unsafe_effect_whose_end_nobody_knows_is_left_to_a_person(
    fleet: SmallFleet, replay_class: ReplayClass, refused: bool
) -> None:
    grant = EffectGrant(key="k", target="scratch:here", approved_digest=None, replay_class=replay_class)
    fleet.door.begin_effect(fleet.claimed(), grant, {})
    second = fleet.claimed()
    if refused:
        with pytest.raises(EffectRefused, match="may have changed scratch:here") as caught:
            fleet.door.begin_effect(second, grant, {})
        assert caught.value.code is Code.GATE_REFUSED
    else:
        assert fleet.door.begin_effect(second, grant, {}).ambiguous
    assert fleet.row(tables.effect).result is None
    fleet.run()


def begun(fleet: SmallFleet, **fields: Any) -> tuple[str, Claim]:
    """A summary whose worker wrote its intent to publish down, and was never heard of again."""
    job_id = fleet.submit("summary", **fields)
    for _ in range(20):
        fleet.turn()
        for bell in fleet.hands.doorbells():
            if bell.lane != "publish":
                fleet.hands.do(bell.attempt_id)
                continue
            claim = fleet.hands.claim(bell.attempt_id)
            assert isinstance(claim, Claim) and claim.handoff.effect
            fleet.door.begin_effect(claim, claim.handoff.effect, {})
            return job_id, claim
    raise AssertionError("it was never to be published")


def falls_silent(fleet: SmallFleet, claim: Claim) -> None:
    age(fleet.ledger, tables.attempt, claim.attempt, lease_until=3600.0)
    fleet.run()


def test_of_an_effect_that_was_begun_as_its_job_was_cancelled_a_person_is_told_once(
    fleet: SmallFleet,
) -> None:
    job_id, claim = begun(fleet)
    request_cancel(fleet.ledger, job_id, "bob")
    falls_silent(fleet, claim)
    assert fleet.job(job_id).state == "cancelled"
    called = fleet.row(tables.escalation)
    key = fleet.row(tables.effect).key
    assert (called.job_id, called.subject) == (job_id, f"effect/{key}")
    assert (
        f"publish of job {job_id} is cancelled, and its attempt never said whether it changed"
        in called.sentence
    )
    assert f"`fleet effect settle {key} --applied`" in called.sentence
    fleet.reconcile.run()
    assert len(fleet.rows(tables.escalation)) == 1
    with fleet.ledger.read() as connection:
        assert not promises(AFTER_DRAIN)["somebody_knows_of_each_effect"].broken(connection)

    settle(fleet.ledger, key, False, "olga", "there is no such page")
    assert fleet.row(tables.escalation).acknowledged_by == "olga"
    assert fleet.rows(tables.effect) == []


def test_a_deadline_that_ends_an_effect_that_was_begun_says_what_may_have_been_changed(
    fleet: SmallFleet,
) -> None:
    job_id, _ = begun(fleet)
    with fleet.ledger.write() as connection:
        past = now(connection) - 1.0
        late = update(tables.job).where(tables.job.c.id == job_id)
        connection.execute(late.values(deadline=past, stop_at=past))
    fleet.run()
    letter = fleet.row(tables.dead_letter, job_id=job_id)
    assert letter.code == "too_late"
    assert f"scratch:{job_id} may have been changed: look there, then `fleet effect settle" in letter.sentence
    assert fleet.row(tables.escalation).job_id == job_id


@pytest.mark.parametrize("applied", [True, False])
def test_a_person_says_whether_an_unsafe_effect_was_applied_and_a_replay_goes_on_from_there(
    fleet: SmallFleet, bench_catalog: Catalog, applied: bool
) -> None:
    fleet.catalog = unsafe = bench_catalog.model_copy(
        update={"workflows": bench_catalog.workflows | with_unsafe_publishing(bench_catalog).workflows}
    )
    fleet.intake = Intake(fleet.ledger, unsafe, fleet.store, fleet.settings.webhook_allow)
    fleet.replay = Replayer(fleet.leadership, fleet.snapshots, unsafe)
    job_id, claim = begun(fleet)
    key = fleet.row(tables.effect).key
    with pytest.raises(Conflict, match="an attempt is at the effect"):
        settle(fleet.ledger, key, applied, "olga", "I looked")
    falls_silent(fleet, claim)
    assert fleet.job(job_id).state == "failed"
    assert f"`fleet effect settle {key}" in fleet.row(tables.dead_letter).sentence
    published = fleet.hands.payload(claim.handoff).model_dump(mode="json")
    if applied:
        with pytest.raises(Malformed, match=r"result: give what it came to as a site\.Published@1"):
            settle(fleet.ledger, key, applied, "olga", "I looked")
    settle(fleet.ledger, key, applied, "olga", "I looked", published if applied else None)
    (told,) = fleet.rows(tables.event, kind="effect_settled")
    assert told.actor == "olga" and told.sentence.endswith(
        f"it was {'' if applied else 'not '}applied: I looked"
    )

    again = {"selection": {"ids": [job_id]}, "requested_by": "carol", "reason": "olga has looked"}
    wanted = ReplayRequest.model_validate(again | {"approved_by": "dave", "dry_run": False})
    open_replay(fleet.ledger, unsafe, wanted)
    fleet.run()
    assert fleet.row(tables.job, replay_of=job_id).state == "done"
    effect = fleet.row(tables.effect)
    assert (effect.settled_by, effect.result) == ("olga" if applied else None, published)
    assert len(fleet.rows(tables.event, kind="effect_applied")) == (0 if applied else 1)
    with pytest.raises(Conflict, match="was applied, and its result is in the ledger"):
        settle(fleet.ledger, key, True, "olga", "again")
    with pytest.raises(NotFound):
        settle(fleet.ledger, "sha256:none", True, "olga", "again")


def test_a_result_answers_only_for_what_it_came_of(fleet: SmallFleet) -> None:
    grants = [
        EffectGrant(key="k", target="scratch:here", approved_digest=digest_of(page)) for page in (b"1", b"2")
    ]
    claim, result = fleet.claimed(), {"path": "one"}
    fleet.door.begin_effect(claim, grants[0], {})
    fleet.door.finish_effect(claim, grants[0], result)
    assert fleet.door.begin_effect(claim, grants[0], {}) == Begun(result=result)
    with pytest.raises(EffectRefused, match=r"has applied sha256:\w+… to scratch:here") as caught:
        fleet.door.begin_effect(fleet.claimed(), grants[1], {})
    assert caught.value.code is Code.GATE_REFUSED

    with fleet.ledger.write() as connection:  # as older code has written it
        connection.execute(update(tables.effect).values(intent={}))
    assert fleet.door.begin_effect(fleet.claimed(), grants[1], {}) == Begun(result=result)
    fleet.run()


def test_two_identical_questions_approved_at_once_both_end_well_the_second_asked_again(
    publishing: Publishing,
) -> None:
    fleet = publishing.fleet
    first, second = publishing.asked(), publishing.asked()
    fleet.decide(first, "approve")
    fleet.decide(second, "approve")
    publishing.run()

    late, done = sorted((first, second), key=lambda job_id: fleet.job(job_id).state)
    assert (fleet.job(done).state, fleet.job(late).state) == ("done", "awaiting_approval")
    states = fleet.states(late)
    assert (states["publish"], states["eligibility#2"], states["approval#2"]) == ("skipped", "done", "parked")
    (refused,) = fleet.attempts(late, "publish")
    assert refused.code == "state_changed"
    assert "site:acme/docs/wind was changed by subtask" in refused.report["outcome"]["failure"]["sentence"]
    was, now = sorted(fleet.rows(tables.approval, job_id=late), key=lambda row: row.asked_at)
    assert (was.state, now.state, was.digest != now.digest) == ("approved", "waiting", True)
    assert now.packet["asked again"].startswith(
        "planned again from eligibility: site:acme/docs/wind was changed"
    )

    fleet.decide(late, "approve")
    publishing.run()
    assert fleet.job(late).state == "done", fleet.job(late).why
    assert sorted(post.slug for post in publishing.posts()) == ["wind", "wind-2"]
    assert fleet.rows(tables.dead_letter) == []


def test_what_the_site_itself_refuses_is_planned_again_and_no_person_is_called_about_it(
    publishing: Publishing,
) -> None:
    fleet = publishing.fleet
    first, second = publishing.asked(), publishing.asked()
    publishing.dies_at.add("after it was applied")
    fleet.decide(first, "approve")
    publishing.until_killed()
    fleet.reconcile.run()
    wait(fleet, first, 3600.0)
    fleet.decide(second, "approve")
    publishing.run()

    (refused,) = fleet.attempts(second, "publish")
    assert "was taken by job" in refused.report["outcome"]["failure"]["sentence"], (
        "the ledger did not know of it"
    )
    (told,) = fleet.rows(tables.event, kind="effect_withdrawn")
    assert (told.job_id, told.attempt_id) == (second, refused.id)
    assert fleet.states(second)["publish"] == "skipped"
    assert {row.subtask_id for row in fleet.rows(tables.effect)} == {fleet.subtask(first, "publish").id}
    assert fleet.rows(tables.escalation) == []

    wait(fleet, first, 0.0)
    publishing.run()
    fleet.decide(second, "approve")
    publishing.run()
    assert [fleet.job(job_id).state for job_id in (first, second)] == ["done", "done"]
    assert {post.slug: post.job for post in publishing.posts()} == {"wind": first, "wind-2": second}
    (read,) = fleet.rows(tables.event, kind="effect_verified")
    assert read.job_id == first, "what was withdrawn is begun anew, and not as what may have been applied"


def test_an_intent_is_taken_back_by_whom_it_belongs_to_while_its_end_is_open(fleet: SmallFleet) -> None:
    grant = EffectGrant(key="sha256:key", target="scratch:here", approved_digest=None)
    first, second = fleet.claimed(), fleet.claimed()
    fleet.door.begin_effect(first, grant, {})
    fleet.door.withdraw_effect(replace(first, fence=first.fence + 1), grant, "of another fence")
    assert fleet.door.begin_effect(second, grant, {}) == Begun(ambiguous=True)
    fleet.door.withdraw_effect(second, grant, "it did not look")
    assert fleet.row(tables.effect).attempt_id == first.attempt

    for _ in range(2):  # as of a worker that did not hear the answer
        fleet.door.withdraw_effect(first, grant, "it is taken")
    assert fleet.rows(tables.effect) == []
    assert fleet.row(tables.event, kind="effect_withdrawn").sentence.endswith(": it is taken")

    assert fleet.door.begin_effect(second, grant, {}) == Begun()
    fleet.door.finish_effect(second, grant, {"path": "here"})
    fleet.door.withdraw_effect(second, grant, "too late")
    assert fleet.row(tables.effect).result == {"path": "here"}
    fleet.run()


def test_pages_that_have_nothing_to_do_with_each_other_are_published_together(publishing: Publishing) -> None:
    fleet = publishing.fleet
    jobs = [publishing.asked(slug) for slug in ("wind", "water", "sun")]
    for job_id in jobs:
        fleet.decide(job_id, "approve")
    publishing.run()

    assert {fleet.job(job_id).state for job_id in jobs} == {"done"}
    versions = {row.name: row.version for row in fleet.rows(tables.subject)}
    assert versions.pop("site:acme/docs") == 3, "the target counts every change"
    assert sorted(versions.values()) == [1, 2, 3], "a page has the count at its own last change"


def test_of_two_that_change_one_subject_one_is_granted_at_a_time(publishing: Publishing) -> None:
    fleet = publishing.fleet
    jobs = [publishing.asked(), publishing.asked()]
    for job_id in jobs:
        fleet.decide(job_id, "approve")
    fleet.turn()
    fleet.turn()

    states = sorted(fleet.states(job_id)["publish"] for job_id in jobs)
    assert states == ["dispatched", "ready"]
    assert {fleet.subtask(job_id, "publish").subject for job_id in jobs} == {"site:acme/docs/wind"}
    waiting, changing = sorted(jobs, key=lambda job_id: fleet.states(job_id)["publish"], reverse=True)
    with fleet.ledger.read() as connection:
        (first, *_) = explain(connection, waiting).waits
    assert first.waits_for == f"publish of job {changing} to have changed site:acme/docs/wind"
    publishing.run()


def test_a_person_may_still_ask_for_a_revision_of_what_was_planned_again(publishing: Publishing) -> None:
    fleet = publishing.fleet
    first, second = publishing.asked(), publishing.asked()
    fleet.decide(first, "approve")
    publishing.run()
    fleet.decide(second, "approve")
    publishing.run()
    fleet.hands.will("draft#2", delivers(page("shorter")))
    fleet.decide(second, "revise", comment="say it shorter")
    publishing.run()

    (revision,) = fleet.handed("draft#2")
    assert any("say it shorter" in tried.sentence for tried in revision.tried)
    assert fleet.states(second)["approval#3"] == "parked"
    fleet.decide(second, "approve")
    publishing.run()
    assert fleet.job(second).state == "done", fleet.job(second).why
    assert sorted(post.slug for post in publishing.posts()) == ["shorter", "wind"]


def test_a_state_that_changes_again_and_again_ends_the_step_as_declared(fleet: SmallFleet) -> None:
    job_id = fleet.submit("brief")
    for number in range(1, 8):
        fleet.hands.will(f"publish#{number}" if number > 1 else "publish", fails(Code.STATE_CHANGED))
    for _ in range(6):
        fleet.run()
        fleet.decide(job_id, "approve")
    fleet.run()

    assert fleet.job(job_id).state == "failed"
    (letter,) = fleet.rows(tables.dead_letter)
    assert letter.code == "state_changed"
    assert letter.sentence.startswith("the state changed again after 5 round(s)")
    assert fleet.rows(tables.effect) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda handoff: handoff["context"].pop(), "came with 1 artifacts of"),
        (lambda handoff: handoff["context"].reverse(), "the handoff's manifest is sha256:"),
        (lambda handoff: handoff["context"][0]["artifact"].update(size_bytes=1), "its manifest names 2 of"),
        (
            lambda handoff: (handoff.pop("manifest"), handoff["context"][0]["artifact"].update(size_bytes=1)),
            "bytes, and 1 were announced",
        ),
    ],
)
def test_a_handoff_that_is_not_as_it_was_written_down_is_refused_on_arrival(
    publishing: Publishing, change: Callable[[Any], Any], sentence: str
) -> None:
    fleet = publishing.fleet
    job_id = publishing.asked()
    fleet.decide(job_id, "approve")
    fleet.answer.run()
    ready = fleet.subtask(job_id, "publish")
    assert ready.state == "ready"
    handoff = ready.handoff
    change(handoff)
    with fleet.ledger.write() as connection:
        this = update(tables.subtask).where(tables.subtask.c.id == ready.id)
        connection.execute(this.values(handoff=handoff))
    publishing.run()

    (letter,) = fleet.rows(tables.dead_letter)
    assert (letter.code, letter.lane) == ("broken_handoff", "publish")
    assert sentence in letter.sentence
    assert publishing.posts() == []
