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
from tests.integration.ledgers import ledger, migrated_file, migrated_schema
from tests.integration.small_fleet import SILENCE, SmallFleet, age, bench_catalog, delivers, fails, fleet

__all__ = ["bench_catalog", "fleet", "ledger", "migrated_file", "migrated_schema"]


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
        assert "today; this attempt may cost $0.00" in row.why


def test_what_does_not_fit_beside_running_work_waits_until_that_has_cost_less(fleet: SmallFleet) -> None:
    worst = worst_of_one(fleet)
    cap(fleet, Scope.LANE, "research", 2 * worst + 2000)
    job_id = fleet.submit("summary", documents=4)
    fleet.turn()
    waiting = researching(fleet, "ready")
    assert len(researching(fleet, "dispatched")) == len(waiting) == 2
    assert {row.capped_by for row in waiting} == {"lane/research/day"}
    with fleet.ledger.read() as connection:
        told = {wait.subtask: wait.waits_for for wait in explain(connection, job_id).waits}
    assert "work under way to cost less than it may: lane research has spent" in told[waiting[0].name]

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
    waited = [row for row in fleet.rows(tables.attempt, lane="research") if row.budget_seconds > 0]
    assert len(waited) == done - 1, "what it waited for money is no wait for a worker"


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
    assert spent(fleet, "lane", "research")[0] == lost + timed_out.reserved_nano_usd
    assert spent(fleet, "fleet", "") == spent(fleet, "tenant", "acme")
    assert (
        sum(row.nano_usd for row in fleet.rows(tables.spending, scope="purpose", period="total"))
        == (spent(fleet, "fleet", "")[0])
    )
