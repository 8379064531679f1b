"""The door: who may claim, who may report, and what becomes of an effect."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, text
from sqlalchemy.exc import DBAPIError

from contracts.bench import Nothing
from contracts.failures import Code
from contracts.handoffs import EffectGrant
from contracts.states import SubtaskState
from orchestrator.artifacts import ArtifactStore
from orchestrator.deciders.switches import Scope
from orchestrator.door import Begun, Claim, Door, FencedOut, Refusal, WorkerCard, claims, patience
from orchestrator.door.claims import Delivery
from orchestrator.ledger import tables
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger, LedgerUnreachable
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.moves import SubtaskMove, move_subtasks
from orchestrator.pausing import Wish, hold, release
from tests.integration.small_fleet import SmallFleet, age, delivers, fails

WELL = delivers(Nothing())


def test_a_claim_raises_the_fence_and_sets_lease_and_deadline(fleet: SmallFleet) -> None:
    claim = fleet.claimed()

    row = fleet.row(tables.attempt, id=claim.attempt)
    assert (row.state, row.fence, claim.fence, row.worker) == ("running", 1, 1, "hands")
    assert abs(row.lease_until - row.claimed_at - fleet.settings.lease_seconds) < 0.5
    assert abs(row.deadline_at - row.claimed_at - row.allowed_seconds) < 0.5
    assert row.queue_seconds > 0
    assert fleet.subtask(claim.job, "open").state == "running"


def test_an_attempt_is_claimed_once_and_the_same_delivery_may_ask_again(fleet: SmallFleet) -> None:
    _, attempt_id = fleet.grant()
    first = fleet.hands.claim(attempt_id, "token")
    again = fleet.hands.claim(attempt_id, "token")
    second = fleet.hands.claim(attempt_id, "another delivery")

    assert isinstance(first, Claim) and again == first
    assert second == Refusal("the attempt is running")
    told = [row.new for row in fleet.rows(tables.event, attempt_id=attempt_id)]
    assert told == ["dispatched", "running"]


def test_of_many_deliveries_at_once_one_is_served(fleet: SmallFleet) -> None:
    _, attempt_id = fleet.grant()
    start = threading.Barrier(6)

    def deliver(number: int) -> Claim | Refusal:
        start.wait()
        return fleet.door.claim(attempt_id, f"worker-{number}", new_id())

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(deliver, range(6)))

    assert sum(isinstance(answer, Claim) for answer in answers) == 1
    assert {answer.why for answer in answers if isinstance(answer, Refusal)} == {"the attempt is running"}


def test_forged_and_late_doorbells_are_refused(fleet: SmallFleet) -> None:
    _, attempt_id = fleet.grant()
    age(fleet.ledger, tables.attempt, attempt_id, start_by=60.0)

    assert fleet.hands.claim(new_id()) == Refusal("no such attempt")
    assert fleet.hands.claim("'; DROP TABLE attempt") == Refusal("no such attempt")
    assert fleet.hands.claim(attempt_id) == Refusal(
        "its start-by has passed, its account has closed, it is paused, or its subtask was cancelled"
    )
    assert fleet.row(tables.attempt, id=attempt_id).state == "dispatched"


def test_a_report_is_taken_once_and_its_repetition_is_success(fleet: SmallFleet) -> None:
    claim = fleet.claimed()

    assert fleet.hands.perform(claim, WELL)
    assert fleet.hands.perform(claim, WELL)
    fleet.run()
    assert fleet.hands.perform(claim, WELL)

    assert [row.new for row in fleet.rows(tables.event, attempt_id=claim.attempt)].count("reported") == 1
    assert fleet.job(claim.job).state == "done"


def test_a_report_at_a_lost_fence_is_written_down_and_dropped(fleet: SmallFleet) -> None:
    claim = fleet.claimed()
    age(fleet.ledger, tables.attempt, claim.attempt, lease_until=60.0)
    fleet.reconcile.run()

    assert not fleet.hands.perform(claim, WELL)
    (stale,) = fleet.rows(tables.event, kind="attempt_stale")
    assert (stale.attempt_id, stale.actor) == (claim.attempt, "hands")
    assert stale.sentence == "a report at fence 1 came late: the attempt is lost"
    assert fleet.subtask(claim.job, "open").state == "ready"
    fleet.run()
    assert fleet.job(claim.job).state == "done"


GIVEN_BACK = fails(Code.INTERRUPTED, "its worker was told to stop and gave it back", usage=None)


def test_an_answer_that_comes_in_after_it_was_given_back_counts_until_somebody_acts_upon_that(
    fleet: SmallFleet,
) -> None:
    claim = fleet.claimed("summary")
    answer = delivers(fleet.hands.payload(claim.handoff))
    assert fleet.hands.perform(claim, GIVEN_BACK)
    assert fleet.hands.perform(claim, answer)
    assert fleet.hands.perform(claim, GIVEN_BACK), "whoever gives back later has nothing to tell"
    fleet.advance.run()

    row = fleet.row(tables.attempt, id=claim.attempt)
    assert (row.code, row.ambiguous, row.cost_nano_usd) == (None, False, fleet.hands.cost_nano_usd)
    assert fleet.row(tables.subtask, id=claim.subtask).state == "done"
    assert len(fleet.rows(tables.event, kind="attempt_answered", attempt_id=claim.attempt)) == 1
    assert fleet.hands.perform(claim, answer), "its answer was lost"
    fleet.run()


@pytest.mark.parametrize("first", ["given back", "killed"])
def test_an_answer_that_comes_in_when_its_attempt_is_over_is_kept_with_what_it_cost(
    fleet: SmallFleet, first: str
) -> None:
    claim = fleet.claimed("summary")
    answer = fleet.hands.report(claim, delivers(fleet.hands.payload(claim.handoff)))
    if first == "given back":
        assert fleet.hands.perform(claim, GIVEN_BACK)
        fleet.advance.run()
    else:
        lane = claim.handoff.assignment.lane
        hold(fleet.ledger, fleet.catalog, Wish(Scope.LANE, lane, "bob", "it is wrong", kills=True))
        fleet.reconcile.run()
        release(fleet.ledger, Scope.LANE, lane, "bob", "")
    for _ in range(2):
        assert not fleet.door.report(claim, answer, "hands")

    row = fleet.row(tables.attempt, id=claim.attempt)
    assert row.code == ("interrupted" if first == "given back" else "stopped")
    assert row.ambiguous and row.report["outcome"]["failure"]["code"] == row.code
    assert answer.call is not None and answer.call.answer is not None
    assert row.report["call"] == answer.call.model_dump(mode="json")
    assert fleet.rows(tables.artifact, digest=answer.call.answer.digest)
    assert fleet.row(tables.subtask, id=claim.subtask).state == "ready"
    fleet.run()
    assert fleet.job(claim.job).state == "done"


def test_heartbeats_extend_every_lease_at_once_and_name_what_must_stop(fleet: SmallFleet) -> None:
    claims = [fleet.claimed() for _ in range(5)]
    going, lost, late, cancelled, reported = claims
    for claim in claims:
        age(fleet.ledger, tables.attempt, claim.attempt, lease_until=10.0)
    age(fleet.ledger, tables.attempt, lost.attempt, lease_until=60.0)
    fleet.reconcile.run()
    age(fleet.ledger, tables.attempt, late.attempt, deadline_at=1000.0)
    with fleet.ledger.write() as connection:
        connection.execute(
            tables.job.update().where(tables.job.c.id == cancelled.job).values(cancel_requested_by="bob")
        )
    fleet.hands.perform(reported, WELL)
    before = {row.id: row.lease_until for row in fleet.rows(tables.attempt)}

    stop = fleet.door.heartbeat(claims)

    assert stop == {lost.attempt, late.attempt, cancelled.attempt, reported.attempt}
    after = {row.id: row.lease_until for row in fleet.rows(tables.attempt)}
    assert after[going.attempt] > before[going.attempt] + 9
    assert {after[c.attempt] == before[c.attempt] for c in (lost, late, reported)} == {True}
    assert fleet.door.heartbeat([]) == frozenset()
    fleet.run()


def test_an_effect_begun_again_answers_the_earlier_result(fleet: SmallFleet) -> None:
    claim = fleet.claimed()
    grant = EffectGrant(key="sha256:key", target="scratch:here", approved_digest=None)

    assert fleet.door.begin_effect(claim, grant, {"slug": "one"}) == Begun()
    assert fleet.door.begin_effect(claim, grant, {"slug": "one"}) == Begun()
    fleet.door.finish_effect(claim, grant, {"path": "one.html"})
    fleet.door.finish_effect(claim, grant, {"path": "two.html"})
    assert fleet.door.begin_effect(claim, grant, {"slug": "one"}) == Begun({"path": "one.html"})

    (effect,) = fleet.rows(tables.effect)
    assert (effect.result, effect.attempt_id) == ({"path": "one.html"}, claim.attempt)
    assert effect.intended_at <= effect.applied_at
    assert len(fleet.rows(tables.event, kind="effect_applied")) == 1


def test_the_result_of_an_effect_at_a_lost_fence_is_not_written(fleet: SmallFleet) -> None:
    claim = fleet.claimed()
    grant = EffectGrant(key="sha256:key", target="scratch:here", approved_digest=None)
    fleet.door.begin_effect(claim, grant, {})
    age(fleet.ledger, tables.attempt, claim.attempt, lease_until=60.0)
    fleet.reconcile.run()

    fleet.door.finish_effect(claim, grant, {"path": "late.html"})

    (effect,) = fleet.rows(tables.effect)
    assert (effect.result, effect.applied_at) == (None, None)
    assert fleet.rows(tables.event, kind="effect_applied") == []
    with pytest.raises(FencedOut, match="was taken away before scratch:here was touched"):
        fleet.door.begin_effect(claim, grant, {})


def test_a_claim_that_meets_a_cancellation_is_refused_and_changes_nothing(fleet: SmallFleet) -> None:
    job_id, attempt_id = fleet.grant()
    opening = fleet.subtask(job_id, "open")
    cancelled = SubtaskMove(opening.id, job_id, SubtaskState.DISPATCHED, SubtaskState.CANCELLED, "by bob")
    with ThreadPoolExecutor(1) as pool:
        with fleet.ledger.write() as connection:
            move_subtasks(connection, [cancelled], "the test", now(connection))
            waits = pool.submit(fleet.hands.claim, attempt_id)
            time.sleep(0.2)
            assert not waits.done()
        answer = waits.result(timeout=10)

    assert isinstance(answer, Refusal) and "cancelled" in answer.why
    assert fleet.row(tables.attempt, id=attempt_id).state == "dispatched"
    fleet.run()
    assert fleet.row(tables.attempt, id=attempt_id).state == "returned"


def test_two_that_begin_one_effect_at_once_both_get_an_answer(fleet: SmallFleet) -> None:
    claim = fleet.claimed()
    grant = EffectGrant(key="sha256:key", target="scratch:here", approved_digest=None)
    start = threading.Barrier(4)

    def begin(number: int) -> object:
        start.wait()
        return fleet.door.begin_effect(claim, grant, {"number": number})

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(begin, range(4))) == [Begun()] * 4
    assert len(fleet.rows(tables.effect)) == 1


def test_workers_that_report_one_artifact_at_once_do_not_collide(fleet: SmallFleet) -> None:
    job_id = fleet.submit("fan", documents=8)
    fleet.turn()
    for bell in fleet.hands.doorbells():
        fleet.hands.do(bell.attempt_id)
    fleet.turn()
    claims = [fleet.hands.claim(bell.attempt_id) for bell in fleet.hands.doorbells()]
    start = threading.Barrier(len(claims))

    def report(claim: Claim | Refusal) -> bool:
        assert isinstance(claim, Claim)
        start.wait()
        return fleet.hands.perform(claim, WELL)

    with ThreadPoolExecutor(len(claims)) as pool:
        assert list(pool.map(report, claims)) == [True] * 8
    fleet.run()

    assert fleet.job(job_id).state == "done"
    digests = [row.digest for row in fleet.rows(tables.artifact)]
    assert len(digests) == len(set(digests)) == 1


def test_workers_come_and_go_under_one_name(fleet: SmallFleet) -> None:
    fleet.hands.announce(("noop",), slots=3)
    fleet.door.leave("hands")
    assert fleet.row(tables.worker, id="hands").stopped_at is not None
    fleet.hands.announce(("noop", "draft"), slots=2)

    row = fleet.row(tables.worker, id="hands")
    assert (row.lanes, row.slots, row.stopped_at) == (["noop", "draft"], 2, None)
    age(fleet.ledger, tables.worker, "hands", beat_at=60.0)
    fleet.door.beat("hands")
    assert fleet.row(tables.worker, id="hands").beat_at >= row.beat_at


def test_of_two_workers_of_one_node_one_may_leave(fleet: SmallFleet) -> None:
    for worker_id in ("noop@host/1", "noop@host/2"):
        fleet.door.announce(WorkerCard(worker_id, ("noop",), (), 4, "1"))

    fleet.door.leave("noop@host/1")
    fleet.door.beat("noop@host/2")

    stays = {row.id for row in fleet.rows(tables.worker, stopped_at=None) if row.lanes == ["noop"]}
    assert stays == {"noop@host/2"}


def test_a_worker_that_beats_is_there_whatever_was_said_before(fleet: SmallFleet) -> None:
    fleet.hands.announce(("noop",))
    fleet.door.leave("hands")
    fleet.door.beat("hands")
    assert fleet.row(tables.worker, id="hands").stopped_at is None


class LosesAnswers:
    """A door whose first answers are lost on their way, though what was asked for was done."""

    def __init__(self, fleet: SmallFleet, lost: int) -> None:
        self._door = fleet.door
        self._lost = lost

    def claim(self, *arguments: Any) -> Claim | Refusal:
        return self._answer(self._door.claim(*arguments))

    def report(self, *arguments: Any) -> bool:
        return self._answer(self._door.report(*arguments))

    def _answer(self, answer: Any) -> Any:
        self._lost -= 1
        if self._lost >= 0:
            raise LedgerUnreachable(DBAPIError("", {}, Exception("gone")))
        return answer


def test_a_claim_whose_answer_was_lost_is_repeated_and_so_is_a_report(fleet: SmallFleet) -> None:
    _, attempt_id = fleet.grant()
    pauses: list[float] = []

    claim = patience.claim(LosesAnswers(fleet, 3), attempt_id, "hands", "token", pauses.append)  # type: ignore[arg-type]

    assert isinstance(claim, Claim) and claim.fence == 1
    assert pauses == [patience.CLAIM_AGAIN_SECONDS] * 3
    report = fleet.hands.report(claim, WELL)
    assert patience.hand_in(LosesAnswers(fleet, 2), claim, report, "hands", pauses.append)  # type: ignore[arg-type]
    fleet.run()


def test_a_claim_that_is_never_answered_is_given_up(fleet: SmallFleet) -> None:
    pauses: list[float] = []
    given_up = patience.claim(LosesAnswers(fleet, 99), new_id(), "hands", "token", pauses.append)  # type: ignore[arg-type]
    assert given_up == Refusal("the ledger did not answer 10 claims")


def at_once(
    fleet: SmallFleet, acts: Sequence[Callable[[], Any]], cancels: SubtaskMove | None = None
) -> list[Any]:
    """What each act answers, where a thread of its own asks for it while another transaction holds the ledger: one
    of them waits for that, and all who come meanwhile wait for the one."""
    with ThreadPoolExecutor(len(acts)) as pool:
        with fleet.ledger.write() as connection:
            connection.execute(select(tables.attempt).with_for_update())
            if cancels:
                move_subtasks(connection, [cancels], "the test", now(connection))
            asked = [pool.submit(act) for act in acts]
            time.sleep(0.2)
            assert not any(future.done() for future in asked)
        return [future.result(timeout=30) for future in asked]


def granted(fleet: SmallFleet, count: int) -> list[str]:
    """So many attempts of one job that wait for a worker."""
    fleet.submit("fan", documents=count)
    fleet.turn()
    fleet.hands.work()
    fleet.turn()
    return [bell.attempt_id for bell in fleet.hands.doorbells()]


def test_a_group_of_claims_is_taken_in_one_transaction(fleet: SmallFleet) -> None:
    """Whatever its statements hold an attempt against."""
    wanted = [Delivery(attempt, "hands", new_id()) for attempt in granted(fleet, 4)]
    taken = claims.claim(fleet.ledger, wanted, lease_seconds=30.0)
    assert [claim.attempt for claim in taken] == [delivery.attempt for delivery in wanted]
    assert all(isinstance(claim, Claim) for claim in taken)


def test_a_group_of_claims_on_what_is_held_is_refused_in_one_transaction(fleet: SmallFleet) -> None:
    wanted = [Delivery(attempt, "hands", new_id()) for attempt in granted(fleet, 4)]
    hold(fleet.ledger, fleet.catalog, Wish(Scope.TENANT, "acme", "olga", "a trial"))
    refused = claims.claim(fleet.ledger, wanted, lease_seconds=30.0)
    assert all(isinstance(answer, Refusal) and "it is paused" in answer.why for answer in refused)


def test_those_who_claim_or_report_at_once_share_transactions(
    fleet: SmallFleet, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = granted(fleet, 8)
    commits: list[Connection] = []

    def committed(connection: Connection) -> None:
        commits.append(connection)

    event.listen(fleet.ledger.engine, "commit", committed)
    taken = at_once(fleet, [partial(fleet.hands.claim, attempt) for attempt in attempts])
    reported = at_once(fleet, [partial(fleet.hands.perform, claim, WELL) for claim in taken])
    event.remove(fleet.ledger.engine, "commit", committed)

    assert [claim.attempt for claim in taken] == attempts
    assert reported == [True] * 8
    assert len(commits) < 2 * 8
    assert "each alone" not in caplog.text
    for attempt in attempts:
        told = [row.new for row in fleet.rows(tables.event, attempt_id=attempt)]
        assert told == ["dispatched", "running", "reported"]
    fleet.run()


def test_one_that_moved_meanwhile_does_not_spoil_the_claims_of_others(fleet: SmallFleet) -> None:
    first, late, cancelled, *others = granted(fleet, 6)
    age(fleet.ledger, tables.attempt, late, start_by=60.0)
    row = fleet.row(tables.attempt, id=cancelled)
    move = SubtaskMove(row.subtask_id, row.job_id, SubtaskState.DISPATCHED, SubtaskState.CANCELLED, "by bob")

    asked = [first, late, cancelled, *others, first, new_id()]
    answers = at_once(fleet, [partial(fleet.hands.claim, attempt) for attempt in asked], cancels=move)

    served = [answer.attempt for answer in answers if isinstance(answer, Claim)]
    assert sorted(served) == sorted([first, *others])
    refused = {
        attempt: answer.why
        for attempt, answer in zip(asked, answers, strict=True)
        if isinstance(answer, Refusal)
    }
    assert "start-by" in refused[late] and "cancelled" in refused[cancelled]
    assert (refused[first], refused[asked[-1]]) == ("the attempt is running", "no such attempt")
    assert fleet.row(tables.attempt, id=cancelled).state == "dispatched"
    fleet.run()


def test_one_that_was_taken_away_does_not_spoil_the_reports_of_others(fleet: SmallFleet) -> None:
    answers = [fleet.hands.claim(attempt) for attempt in granted(fleet, 6)]
    taken = [answer for answer in answers if isinstance(answer, Claim)]
    lost = taken[3]
    age(fleet.ledger, tables.attempt, lost.attempt, lease_until=60.0)
    fleet.reconcile.run()

    reported = at_once(fleet, [partial(fleet.hands.perform, claim, WELL) for claim in taken])

    assert reported == [claim is not lost for claim in taken]
    (stale,) = fleet.rows(tables.event, kind="attempt_stale")
    assert stale.attempt_id == lost.attempt
    fleet.run()


def test_an_unreachable_ledger_is_told_to_everybody_who_asks(tmp_path: Path) -> None:
    door = Door(
        Ledger(f"sqlite:///{tmp_path / 'nowhere' / 'ledger.sqlite3'}"), ArtifactStore(str(tmp_path)), 30.0
    )
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(door.claim, new_id(), "hands", new_id()) for _ in range(6)]
        assert [type(future.exception(timeout=30)) for future in asked] == [LedgerUnreachable] * 6


def test_a_missing_table_is_no_unreachable_ledger_and_a_missing_file_is(tmp_path: Path) -> None:
    empty = Ledger(f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    with pytest.raises(DBAPIError, match="no such table"), empty.read() as connection:
        connection.execute(text("SELECT * FROM job"))
    empty.close()
    nowhere = Ledger(f"sqlite:///{tmp_path / 'nowhere' / 'ledger.sqlite3'}")
    with pytest.raises(LedgerUnreachable, match="unable to open database file"), nowhere.read():
        pass


def test_a_pool_without_a_free_connection_is_an_unreachable_ledger(fleet: SmallFleet) -> None:
    pool = fleet.ledger.engine.pool
    taken = []
    pool._timeout = 0.1  # type: ignore[attr-defined]
    with pytest.raises(LedgerUnreachable, match="it is too busy"):
        for _ in range(40):
            taken.append(fleet.ledger.engine.connect())
            with fleet.ledger.write():
                pass
    for connection in taken:
        connection.close()
