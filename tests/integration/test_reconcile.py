"""Reconcile: what fell silent, came late or was cancelled is found by the database's clock."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, update

from contracts.bench import Nothing
from contracts.failures import Code
from contracts.states import SubtaskState
from orchestrator.cancelling import request_cancel
from orchestrator.door import Claim, Refusal
from orchestrator.ledger import tables
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import IDLE_SECONDS, Ledger, LedgerUnreachable
from orchestrator.ledger.moves import SubtaskMove, move_subtasks
from orchestrator.reconcile import BATCH, Reconciler
from tests.integration.small_fleet import SILENCE, SmallFleet, age, delivers, fails

HAIKU = "anthropic/default/haiku"


def test_what_nobody_claimed_in_time_goes_back_refunded_and_uncounted(fleet: SmallFleet) -> None:
    job_id, attempt_id = fleet.grant("summary")
    low = fleet.levels(HAIKU)["input_tokens"]
    assert fleet.reconcile.run() == 0

    age(fleet.ledger, tables.attempt, attempt_id, start_by=60.0)
    assert isinstance(fleet.hands.claim(attempt_id), Refusal)
    assert fleet.reconcile.run() == 1

    attempt, research = fleet.row(tables.attempt, id=attempt_id), fleet.subtask(job_id, "research[1]")
    assert (attempt.state, attempt.input_tokens, attempt.ambiguous) == ("returned", 0, None)
    assert (research.state, research.tries, research.crashes) == ("ready", 0, 0)
    assert fleet.levels(HAIKU)["input_tokens"] > low + 400
    assert fleet.hands.claim(attempt_id) == Refusal("the attempt is returned")
    fleet.run()
    assert fleet.job(job_id).state == "done"
    assert fleet.handed("research[1]")[0].tried == ()


def test_a_doorbell_that_was_never_rung_is_taken_away_with_its_attempt_and_its_work_does_not_rest(
    fleet: SmallFleet,
) -> None:
    """However long the broker is away, work goes on once it is back."""
    job_id = fleet.submit("fan")
    for _ in range(6):
        fleet.turn()
        (bell,) = fleet.rows(tables.doorbell)
        age(fleet.ledger, tables.attempt, bell.attempt_id, granted_at=60.0, start_by=60.0)
        fleet.reconcile.run()
        assert fleet.rows(tables.doorbell) == []
        opening, returned = fleet.subtask(job_id, "open"), fleet.row(tables.attempt, id=bell.attempt_id)
        assert opening.why == "the broker took no doorbell for it"
        assert opening.not_before == returned.ended_at
    assert fleet.rows(tables.escalation) == []
    fleet.run()
    assert fleet.job(job_id).state == "done"


def test_a_worker_that_stops_inside_a_transaction_does_not_stop_the_loop_with_it(fleet: SmallFleet) -> None:
    if fleet.ledger.is_sqlite:
        pytest.skip("on SQLite whoever writes is waited for until its process ends")
    claim = fleet.claimed("summary")
    age(fleet.ledger, tables.attempt, claim.attempt, lease_until=60.0)
    stopped = Ledger(fleet.ledger.url.render_as_string(hide_password=False))
    held = update(tables.attempt).where(tables.attempt.c.id == claim.attempt).values(worker_seconds=1.0)
    began = time.monotonic()
    with pytest.raises(LedgerUnreachable), stopped.write() as connection:
        connection.execute(held)
        assert fleet.reconcile.run() == 1
        assert time.monotonic() - began < 2 * IDLE_SECONDS
        connection.execute(held)
    stopped.close()

    assert fleet.row(tables.attempt, id=claim.attempt).state == "lost"
    fleet.run()


def test_a_worker_that_falls_silent_is_a_crash_and_the_next_one_is_told(fleet: SmallFleet) -> None:
    claim = fleet.claimed("summary")
    fleet.door.heartbeat([claim])
    assert fleet.reconcile.run() == 0
    age(fleet.ledger, tables.attempt, claim.attempt, lease_until=60.0)
    low = fleet.levels(HAIKU)
    assert fleet.reconcile.run() == 1

    attempt, research = fleet.row(tables.attempt, id=claim.attempt), fleet.subtask(claim.job, "research[1]")
    assert (attempt.state, attempt.code, attempt.ambiguous) == ("lost", "crashed", True)
    assert attempt.input_tokens == attempt.reserved_input_tokens
    assert fleet.levels(HAIKU) == low, "what was reserved stays charged"
    assert (research.state, research.tries, research.crashes) == ("ready", 0, 1)
    assert research.why == "crashed: its worker hands fell silent (crash 1 of 3)"
    fleet.run()
    (tried,) = fleet.handed("research[1]")[1].tried
    assert (tried.code, tried.sentence) == ("crashed", "its worker hands fell silent")
    assert fleet.job(claim.job).state == "done"


def test_three_crashes_are_a_dead_letter(fleet: SmallFleet) -> None:
    job_id = fleet.submit("fan")
    fleet.hands.will("open", SILENCE, SILENCE, SILENCE)
    for _ in range(3):
        fleet.run()
        (attempt,) = [row for row in fleet.attempts(job_id, "open") if row.ended_at is None]
        age(fleet.ledger, tables.attempt, attempt.id, lease_until=60.0)
    fleet.run()

    (letter,) = fleet.rows(tables.dead_letter)
    assert (letter.code, letter.category, fleet.subtask(job_id, "open").crashes) == ("crashed", "crash", 3)
    assert "crash 3 of 3; it may be the killer" in letter.sentence
    assert fleet.job(job_id).state == "failed"


def test_an_attempt_that_beats_past_its_deadline_is_taken_away(fleet: SmallFleet) -> None:
    claim = fleet.claimed()
    age(fleet.ledger, tables.attempt, claim.attempt, deadline_at=301.0)

    assert fleet.door.heartbeat([claim]) == {claim.attempt}
    fleet.reconcile.run()

    opening = fleet.subtask(claim.job, "open")
    assert (opening.state, opening.crashes) == ("ready", 1)
    assert "it ran longer than the 300 s it was allowed" in opening.why
    assert not fleet.hands.perform(claim, delivers(Nothing()))
    fleet.run()


def test_a_job_is_cancelled_before_it_was_planned(fleet: SmallFleet) -> None:
    job_id = fleet.submit("fan", callback_url="http://127.0.0.1/hook")
    request_cancel(fleet.ledger, job_id, "bob")
    fleet.run()

    assert (fleet.job(job_id).state, fleet.job(job_id).why) == ("cancelled", "cancelled by bob")
    assert fleet.states(job_id) == {}
    assert fleet.row(tables.webhook, job_id=job_id).body["type"] == "job.cancelled"


def test_a_job_is_cancelled_while_its_work_is_ready(fleet: SmallFleet) -> None:
    fleet.door.leave("hands")
    job_id = fleet.submit("fan")
    fleet.run()
    assert fleet.states(job_id)["open"] == "ready"
    request_cancel(fleet.ledger, job_id, "bob")
    fleet.run()

    assert fleet.job(job_id).state == "cancelled"
    assert set(fleet.states(job_id).values()) == {"cancelled"}


def test_a_job_is_cancelled_while_its_work_is_granted_and_the_grant_is_refunded(fleet: SmallFleet) -> None:
    job_id, attempt_id = fleet.grant("summary")
    request_cancel(fleet.ledger, job_id, "bob")
    fleet.run()

    assert fleet.job(job_id).state == "cancelled"
    assert fleet.row(tables.attempt, id=attempt_id).state == "returned"
    assert isinstance(fleet.hands.claim(attempt_id), Refusal)


def test_a_job_is_cancelled_while_its_work_runs(fleet: SmallFleet) -> None:
    claim = fleet.claimed("summary")
    request_cancel(fleet.ledger, claim.job, "bob")
    fleet.run()
    assert fleet.job(claim.job).state == "running", "a worker holds it"

    assert fleet.door.heartbeat([claim]) == {claim.attempt}
    fleet.hands.perform(claim, fails(Code.INTERRUPTED, "told to stop", usage=None))
    fleet.run()

    assert fleet.job(claim.job).state == "cancelled"
    attempt = fleet.row(tables.attempt, id=claim.attempt)
    assert (attempt.state, attempt.ambiguous, attempt.input_tokens) == (
        "settled",
        True,
        attempt.reserved_input_tokens,
    )
    assert fleet.rows(tables.dead_letter) == []


def test_a_cancelled_job_ends_even_if_its_worker_never_speaks_again(fleet: SmallFleet) -> None:
    claim = fleet.claimed("summary")
    request_cancel(fleet.ledger, claim.job, "bob")
    age(fleet.ledger, tables.attempt, claim.attempt, lease_until=60.0)
    fleet.run()

    assert fleet.job(claim.job).state == "cancelled"
    assert fleet.row(tables.attempt, id=claim.attempt).state == "lost"


def test_a_report_that_meets_a_cancellation_is_settled_all_the_same(fleet: SmallFleet) -> None:
    claim = fleet.claimed("summary")
    fleet.hands.perform(claim, delivers(fleet.hands.payload(claim.handoff)))
    request_cancel(fleet.ledger, claim.job, "bob")
    fleet.reconcile.run()
    fleet.run()

    attempt = fleet.row(tables.attempt, id=claim.attempt)
    assert (attempt.state, attempt.input_tokens, attempt.cost_nano_usd) == ("settled", 300, 1000)
    assert fleet.job(claim.job).state == "cancelled"


def test_a_job_is_cancelled_while_a_person_is_asked_and_the_question_is_withdrawn(fleet: SmallFleet) -> None:
    job_id = fleet.submit("brief")
    fleet.run()
    assert fleet.job(job_id).state == "awaiting_approval"
    request_cancel(fleet.ledger, job_id, "bob")
    fleet.run()

    assert fleet.job(job_id).state == "cancelled"
    assert fleet.states(job_id)["approval"] == "cancelled"
    assert fleet.row(tables.approval, job_id=job_id).state == "lapsed"


def test_when_the_result_can_no_longer_come_the_rest_is_cancelled(fleet: SmallFleet) -> None:
    job_id = fleet.submit("fan", documents=4)
    fleet.hands.announce(("noop",), slots=1)
    fleet.hands.will("spread[1]", fails(Code.REFUSED))
    fleet.run()
    assert fleet.job(job_id).state == "failed"
    assert set(fleet.states(job_id).values()) <= {"done", "dead", "skipped", "cancelled"}


def test_one_job_that_cannot_be_read_holds_up_no_other(fleet: SmallFleet) -> None:
    broken, fine = fleet.claimed("fan"), fleet.claimed("summary")
    other = fleet.submit("summary")
    fleet.turn()
    for claim in (broken, fine):
        age(fleet.ledger, tables.attempt, claim.attempt, lease_until=60.0)
    request_cancel(fleet.ledger, other, "bob")
    with fleet.ledger.write() as connection:
        wrong = tables.job.update().where(tables.job.c.id == broken.job)
        connection.execute(wrong.values(workflow="nothing-like-it"))
    fleet.run()

    assert fleet.job(other).state == "cancelled"
    assert fleet.job(fine.job).state == "done"
    (told,) = fleet.rows(tables.event, kind="flawed")
    assert told.job_id == broken.job
    assert "KeyError" in told.sentence
    (called,) = fleet.rows(tables.escalation)
    assert (
        f"orchestrator.reconcile leaves job {broken.job} alone, and tries again every 300 s"
        in called.sentence
    )


def test_what_is_nobodys_job_and_raises_keeps_no_job_from_its_lease(fleet: SmallFleet) -> None:
    claim = fleet.claimed("fan")
    age(fleet.ledger, tables.attempt, claim.attempt, lease_until=60.0)
    never = {"a tick": 0.0}
    reconcile = Reconciler(fleet.leadership, fleet.snapshots, never, fleet.dispatch.correct)
    assert reconcile.run() == 1
    assert fleet.subtask(claim.job, "open").state == "ready"
    assert fleet.rows(tables.event, kind="flawed") == []


def test_what_nobody_claims_rests_longer_each_time_and_not_once_it_was_claimed(fleet: SmallFleet) -> None:
    job_id, attempt_id = fleet.grant()
    rested = []
    for _ in range(6):
        assert len(fleet.rows(tables.escalation)) == (len(rested) >= 5)
        age(fleet.ledger, tables.attempt, attempt_id, granted_at=60.0, start_by=60.0)
        fleet.reconcile.run()
        opening = fleet.subtask(job_id, "open")
        returned = fleet.row(tables.attempt, id=attempt_id)
        rested.append(opening.not_before - returned.ended_at)
        age(fleet.ledger, tables.subtask, opening.id, not_before=60.0)
        assert fleet.dispatch.run() == 1
        attempt_id = fleet.hands.doorbells()[-1].attempt_id
    assert rested == pytest.approx([0.0, 1.5, 3.0, 6.0, 12.0, 24.0])
    assert "nobody claimed it by its start-by, 4 times in a row; again in 6 s" in [
        row.sentence for row in fleet.rows(tables.event, job_id=job_id)
    ]
    (called,) = fleet.rows(tables.escalation)
    assert called.sentence.startswith(
        "work of lane noop was granted and rung 5 times in a row, and nobody claimed"
    )
    fleet.hands.do(attempt_id)
    fleet.run()
    assert fleet.job(job_id).state == "done"


def test_many_that_are_cancelled_and_still_run_hold_up_no_other(fleet: SmallFleet) -> None:
    """More than are looked at together."""
    fleet.hands.announce(tuple(fleet.catalog.lanes), slots=BATCH + 10)
    jobs = [fleet.submit("fan") for _ in range(BATCH + 2)]
    running: list[Claim] = []
    while len(running) < len(jobs) - 1:
        fleet.hands.beat()
        assert fleet.turn()
        for bell in fleet.hands.doorbells()[: len(jobs) - 1 - len(running)]:
            claim = fleet.hands.claim(bell.attempt_id)
            assert isinstance(claim, Claim)
            running.append(claim)
    (other,) = set(jobs) - {claim.job for claim in running}
    for job_id in jobs:
        request_cancel(fleet.ledger, job_id, "bob")
    for _ in range(3):
        fleet.reconcile.run()
    assert fleet.job(other).state == "cancelled"
    for claim in running:
        assert fleet.hands.perform(claim, delivers(Nothing()))
    fleet.run()
    assert {row.state for row in fleet.rows(tables.job)} == {"cancelled"}


def test_a_cancellation_that_meets_a_claim_lets_the_worker_have_it(fleet: SmallFleet) -> None:
    job_id, attempt_id = fleet.grant()
    request_cancel(fleet.ledger, job_id, "bob")
    opening = fleet.subtask(job_id, "open")
    claimed = SubtaskMove(opening.id, job_id, SubtaskState.DISPATCHED, SubtaskState.RUNNING, "claimed")
    with ThreadPoolExecutor(1) as pool:
        with fleet.ledger.write() as connection:
            at = now(connection)
            running = {"state": "running", "fence": 1, "claimed_at": at, "lease_until": at + 30}
            taken = tables.attempt.update().where(tables.attempt.c.id == attempt_id)
            connection.execute(taken.values(**running, deadline_at=at + 300))
            move_subtasks(connection, [claimed], "a worker", at)
            waits = pool.submit(fleet.reconcile.run)
            time.sleep(0.2)
            assert not waits.done()
        waits.result(timeout=10)

    assert fleet.subtask(job_id, "open").state == "running"
    assert fleet.rows(tables.event, kind="flawed") == []
    age(fleet.ledger, tables.attempt, attempt_id, lease_until=60.0)
    fleet.run()
    assert fleet.job(job_id).state == "cancelled"


def test_the_loss_of_what_changes_nothing_looks_through_no_effects(fleet: SmallFleet) -> None:
    claim = fleet.claimed("summary")
    age(fleet.ledger, tables.attempt, claim.attempt, lease_until=60.0)
    asked: list[str] = []
    event.listen(fleet.ledger.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    fleet.reconcile.run()
    assert fleet.subtask(claim.job, "research[1]").crashes == 1
    of_no_index = [
        statement
        for statement in asked
        if "FROM effect" in statement and "applied_at IS NULL" not in statement
    ]
    assert asked and not of_no_index
