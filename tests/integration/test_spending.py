"""Spending caps: at the cap work is parked with its reason, what runs finishes, and room releases it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import update

from contracts.failures import Code
from contracts.reports import NANO
from orchestrator.cancelling import request_cancel
from orchestrator.capping import set_cap
from orchestrator.deciders.spending import Period, Scope
from orchestrator.ledger import tables
from orchestrator.reads.explain import explain
from orchestrator.reads.subtasks import subtasks_of
from tests.integration.small_fleet import SILENCE, SmallFleet, age, delivers, fails


def cap(fleet: SmallFleet, scope: Scope, name: str, limit: int | None, period: Period = Period.DAY) -> None:
    usd = None if limit is None else limit / NANO
    set_cap(fleet.ledger, fleet.catalog, scope, name, period, usd, "ada", "the month is long")


def worst_of_one(fleet: SmallFleet) -> int:
    """What a first attempt of research may cost at most, as dispatch reserves it."""
    _, attempt_id = fleet.grant("summary", tenant="probe")
    worst = int(fleet.row(tables.attempt, id=attempt_id).reserved_nano_usd)
    assert worst > 1000
    fleet.hands.do(attempt_id)
    fleet.advance.run()
    return worst


def spent(fleet: SmallFleet, scope: str, name: str) -> list[int]:
    return [row.nano_usd for row in fleet.rows(tables.spending, scope=scope, name=name)]


def another_day(fleet: SmallFleet) -> None:
    """What was spent today was spent yesterday."""
    with fleet.ledger.write() as connection:
        of_days = tables.spending.c.period != "total"
        connection.execute(update(tables.spending).where(of_days).values(period="2001-01-01"))


def _question(number: int) -> dict[str, Any]:
    """Inputs that nobody else asks about."""
    return {"question": f"What is {number}?", "documents": [{"name": "notes", "text": f"a note on {number}"}]}


def researching(fleet: SmallFleet, *states: str) -> list[Any]:
    rows = fleet.rows(tables.subtask, step="research", tenant="acme")
    return [row for row in rows if row.state in states]


def test_eight_concurrent_first_calls_overspend_a_tiny_cap_by_no_more_than_their_settling_error(
    fleet: SmallFleet,
) -> None:
    worst = worst_of_one(fleet)
    cap(fleet, Scope.TENANT, "acme", 5 * worst // 2)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: fleet.submit("summary", inputs=_question(number)), range(8)))
    error = worst // 10
    fleet.hands.cost_nano_usd = worst + error
    fleet.run()

    attempts = [row for row in fleet.rows(tables.attempt, lane="research") if row.cost_nano_usd > 1000]
    assert len(attempts) == 2
    assert sum(row.cost_nano_usd for row in attempts) <= 5 * worst // 2 + 2 * error
    parked = researching(fleet, "parked")
    assert len(parked) == 6
    for row in parked:
        assert row.why.startswith("tenant acme has spent $0.00") and row.why == row.held_by
        assert "today, and work under way may cost $0.00" in row.why, "both were granted at the same look"


def test_what_does_not_fit_beside_running_work_is_parked_until_that_has_cost_less(fleet: SmallFleet) -> None:
    worst = worst_of_one(fleet)
    cap(fleet, Scope.LANE, "research", 2 * worst + 2000)
    job_id = fleet.submit("summary", documents=4)
    fleet.turn()
    waiting = researching(fleet, "parked")
    assert len(researching(fleet, "dispatched")) == len(waiting) == 2
    assert {row.capped_by for row in waiting} == {"lane/research/day"}
    with fleet.ledger.read() as connection:
        told = {wait.subtask: wait.waits_for for wait in explain(connection, job_id).waits}
    assert "room under its spending cap: lane research has spent" in told[waiting[0].name]
    assert "; work under way to cost less than it may; the next day in UTC or" in told[waiting[0].name]

    fleet.run()
    assert len(researching(fleet, "done")) == 4
    assert all(row.held_by is None and row.capped_by is None for row in researching(fleet, "done"))


def test_running_work_finishes_at_a_cap_that_was_lowered(fleet: SmallFleet) -> None:
    claim = fleet.claimed("summary")
    job_id = claim.job
    cap(fleet, Scope.FLEET, "", 0, Period.TOTAL)
    fleet.hands.perform(claim, delivers(fleet.hands.payload(claim.handoff)))
    fleet.run()

    assert fleet.subtask(job_id, "research[1]").state == "done"
    assert fleet.subtask(job_id, "check-quotes[1]").state == "done", "what costs nothing goes on"
    draft = fleet.subtask(job_id, "draft")
    assert (draft.state, draft.capped_by) == ("parked", "fleet//total")
    assert fleet.job(job_id).state == "running"
    with fleet.ledger.read() as connection:
        said = explain(connection, job_id)
    assert "it waits for room under its spending cap: the fleet has spent $0.00" in said.sentence
    assert "`fleet budgets cap fleet --per total` raises it (draft)" in said.sentence


@pytest.mark.parametrize("how", ["raised", "removed", "another day"])
def test_parked_work_goes_on_once_there_is_room(fleet: SmallFleet, how: str) -> None:
    worst = worst_of_one(fleet)
    cap(fleet, Scope.TENANT, "acme", worst + 500)
    fleet.submit("summary", documents=3)
    fleet.run()
    assert (len(researching(fleet, "done")), len(researching(fleet, "parked"))) == (1, 2)
    assert fleet.turn() == 0, "and rests there"

    match how:
        case "raised":
            cap(fleet, Scope.TENANT, "acme", NANO)
        case "removed":
            cap(fleet, Scope.TENANT, "acme", None)
        case "another day":
            another_day(fleet)
    fleet.run()
    done = 2 if how == "another day" else 3
    assert len(researching(fleet, "done")) == done
    assert len(researching(fleet, "parked")) == 3 - done
    waited = [row for row in researching(fleet, "done") if row.gate_seconds > 0]
    assert len(waited) == done - 1
    assert not any(row.budget_seconds for row in fleet.rows(tables.attempt, lane="research"))


def test_hours_at_a_cap_are_a_gates_and_neither_the_budgets_nor_the_queues(fleet: SmallFleet) -> None:
    cap(fleet, Scope.TENANT, "acme", 0)
    job_id = fleet.submit("summary")
    fleet.turn()
    parked = fleet.subtask(job_id, "research[1]")
    age(fleet.ledger, tables.subtask, parked.id, ready_at=36000.0)
    cap(fleet, Scope.TENANT, "acme", None)
    fleet.reconcile.run()
    ready = fleet.subtask(job_id, "research[1]")
    assert (ready.state, ready.held_by, ready.capped_by) == ("ready", None, None)
    assert ready.gate_seconds == pytest.approx(36000, abs=60)

    fleet.run()
    (granted,) = fleet.attempts(job_id, "research[1]")
    assert granted.budget_seconds + granted.queue_seconds < 60
    with fleet.ledger.read() as connection:
        (line,) = [each for each in subtasks_of(connection, job_id) if each.name == "research[1]"]
    assert line.waits.gate_seconds == ready.gate_seconds


def test_a_verdict_at_a_cap_and_then_sealed_keeps_both_waits(fleet: SmallFleet) -> None:
    cap(fleet, Scope.LANE, "review", 0)
    job_id = fleet.submit("brief")
    fleet.run()
    held = [row for row in fleet.rows(tables.subtask, job_id=job_id) if row.capped_by]
    assert held and all(row.sealed_at is None for row in held)
    for row in held:
        age(fleet.ledger, tables.subtask, row.id, ready_at=3600.0)
    cap(fleet, Scope.LANE, "review", None)
    fleet.run()
    for row in held:
        assert fleet.row(tables.subtask, id=row.id).gate_seconds >= 3600


def test_what_a_cap_holds_hides_nothing_that_can_be_paid(fleet: SmallFleet) -> None:
    """More than dispatch looks at in a queue at a time is too dear; the cheap one stands behind it."""
    worst = worst_of_one(fleet)
    dear = [fleet.submit("summary", documents=8, max_cost_usd=3 * worst / 2 / NANO) for _ in range(12)]
    cheap = fleet.submit("summary")
    for _ in range(8):
        fleet.turn()
    assert fleet.subtask(cheap, "research[1]").state == "dispatched"
    assert {fleet.states(job_id)["research[8]"] for job_id in dear} == {"parked"}


def test_reports_change_what_is_told_of_the_held_and_write_nothing_of_them(fleet: SmallFleet) -> None:
    worst = worst_of_one(fleet)
    cap(fleet, Scope.LANE, "research", 2 * worst + 1500)
    job_id = fleet.submit("summary", documents=20)
    fleet.turn()
    before = {row.id: row for row in researching(fleet, "parked")}
    assert len(before) == 18

    fleet.hands.cost_nano_usd = worst
    bell = next(bell for bell in fleet.hands.doorbells() if bell.lane == "research")
    fleet.hands.do(bell.attempt_id)
    fleet.turn()
    assert {row.id: row for row in researching(fleet, "parked")} == before
    with fleet.ledger.read() as connection:
        told = {wait.subtask: wait.waits_for for wait in explain(connection, job_id).waits}
    first = min(before.values(), key=lambda row: row.id)
    assert "room under its spending cap: lane research has spent" in told[first.name]
    assert first.why not in told[first.name], "what it is told has the amounts of this moment"


def test_who_was_held_by_a_cap_and_then_followed_is_held_by_neither(fleet: SmallFleet) -> None:
    worst = worst_of_one(fleet)
    cap(fleet, Scope.TENANT, "acme", worst)
    fleet.submit("summary")
    fleet.turn()
    held = fleet.submit("summary", inputs=_question(7))
    fleet.turn()
    assert fleet.subtask(held, "research[1]").capped_by == "tenant/acme/day"
    cap(fleet, Scope.TENANT, "acme", NANO)
    fleet.reconcile.run()
    first = fleet.submit("summary", inputs=_question(7), priority=3)
    fleet.plan.run()
    fleet.dispatch.run()
    follower = fleet.subtask(held, "research[1]")
    assert follower.follows == fleet.subtask(first, "research[1]").id
    assert follower.capped_by is None
    fleet.hands.will("research[1]", *[fails(Code.BAD_REQUEST)] * 2)
    fleet.hands.work()
    fleet.advance.run()
    fleet.recall.run()
    released = fleet.subtask(held, "research[1]")
    assert (released.follows, released.held_by, released.capped_by) == (None, None, None)


def test_a_jobs_total_is_kept_while_it_has_a_cap_and_begun_with_what_it_spent(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary", documents=2)
    fleet.turn()
    first, second = fleet.hands.doorbells()
    fleet.hands.do(first.attempt_id)
    fleet.advance.run()
    assert spent(fleet, "job", job_id) == []

    cap(fleet, Scope.JOB, job_id, NANO, Period.TOTAL)
    assert spent(fleet, "job", job_id) == [1000]
    fleet.hands.do(second.attempt_id)
    fleet.advance.run()
    assert spent(fleet, "job", job_id) == [2000]

    cap(fleet, Scope.JOB, job_id, None, Period.TOTAL)
    fleet.run()
    total = sum(row.cost_nano_usd for row in fleet.rows(tables.attempt, job_id=job_id))
    assert total > 2000
    cap_again = fleet.submit("summary", max_cost_usd=1.0)
    fleet.run()
    assert spent(fleet, "job", cap_again) == [
        sum(row.cost_nano_usd for row in fleet.rows(tables.attempt, job_id=cap_again))
    ]


def test_a_cap_in_all_has_no_other_day(fleet: SmallFleet) -> None:
    worst = worst_of_one(fleet)
    cap(fleet, Scope.PURPOSE, "feature", worst + 1500, Period.TOTAL)
    fleet.submit("summary", documents=2)
    fleet.run()
    another_day(fleet)
    fleet.run()
    assert len(researching(fleet, "parked")) == 1


def test_only_as_much_is_released_as_fits_the_room(fleet: SmallFleet) -> None:
    worst = worst_of_one(fleet)
    cap(fleet, Scope.TENANT, "acme", 0)
    fleet.submit("summary", documents=5)
    fleet.turn()
    assert len(researching(fleet, "parked")) == 5
    cap(fleet, Scope.TENANT, "acme", 2 * worst)
    fleet.reconcile.run()
    assert (len(researching(fleet, "ready")), len(researching(fleet, "parked"))) == (2, 3)


def test_a_job_stops_at_its_own_cap_until_that_is_raised(fleet: SmallFleet) -> None:
    worst = worst_of_one(fleet)
    fleet.hands.cost_nano_usd = worst
    job_id = fleet.submit("summary", documents=3, max_cost_usd=2 * worst / NANO)
    other = fleet.submit("summary", tenant="globex")
    fleet.run()
    assert fleet.job(other).state == "done"
    (parked,) = researching(fleet, "parked")
    assert parked.why.startswith("this job has spent $0.00")
    with fleet.ledger.read() as connection:
        (wait,) = explain(connection, parked.id).waits
    assert (
        f"until `fleet budgets cap job {job_id} --per total` raises it, or the job is cancelled"
        in wait.waits_for
    )

    cap(fleet, Scope.JOB, job_id, NANO, Period.TOTAL)
    fleet.run()
    assert fleet.job(job_id).state == "done"
    (change,) = fleet.rows(tables.setting_change)
    assert (change.actor, change.what) == ("ada", f"spending cap of job {job_id}, total")
    assert (change.new, change.reason) == ("1 USD", "the month is long")


def test_a_job_at_its_cap_can_be_cancelled(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary", max_cost_usd=0.000001)
    fleet.run()
    assert fleet.subtask(job_id, "research[1]").state == "parked"
    request_cancel(fleet.ledger, job_id, "ada")
    fleet.run()
    assert fleet.job(job_id).state == "cancelled"
    cap(fleet, Scope.FLEET, "", NANO)
    assert fleet.turn() == 0, "what ended is not released"


def test_what_nobody_knows_counts_at_its_worst_case_and_what_never_left_counts_nothing(
    fleet: SmallFleet,
) -> None:
    claim = fleet.claimed("summary")
    lost = int(fleet.row(tables.attempt, id=claim.attempt).reserved_nano_usd)
    fleet.hands.perform(claim, SILENCE)
    age(fleet.ledger, tables.attempt, claim.attempt, lease_until=600.0)
    fleet.reconcile.run()
    assert spent(fleet, "tenant", "acme") == [lost, lost]

    fleet.dispatch.run()
    (bell,) = fleet.hands.doorbells()
    age(fleet.ledger, tables.attempt, bell.attempt_id, start_by=600.0)
    fleet.reconcile.run()
    assert spent(fleet, "tenant", "acme") == [lost, lost]

    fleet.hands.will("research[1]", fails(Code.TIMEOUT, usage=None))
    fleet.run()
    (timed_out,) = [row for row in fleet.rows(tables.attempt) if row.code == "timeout"]
    assert timed_out.ambiguous and timed_out.cost_nano_usd < timed_out.reserved_nano_usd
    answered = sum(row.cost_nano_usd for row in fleet.rows(tables.attempt, lane="research", code=None))
    assert spent(fleet, "lane", "research")[0] == lost + timed_out.reserved_nano_usd + answered
    assert spent(fleet, "fleet", "") == spent(fleet, "tenant", "acme")
    assert (
        sum(row.nano_usd for row in fleet.rows(tables.spending, scope="purpose", period="total"))
        == (spent(fleet, "fleet", "")[0])
    )
