"""The diagnosis on staged situations, each made through the public verbs on a real ledger."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import event

from contracts.failures import Code
from orchestrator.cli.app import app
from orchestrator.cli.ending import run
from orchestrator.client import FleetClient
from orchestrator.deciders.switches import Scope
from orchestrator.door import WorkerCard
from orchestrator.ledger import tables
from orchestrator.pausing import Wish, hold
from orchestrator.reads.diagnosis import DiagnosisRead, diagnosis
from tests.integration.ledgers import problem_of, services_over, serving
from tests.integration.small_fleet import SmallFleet, age, fails

HAIKU = "anthropic/default/haiku"
TEN_MINUTES = 600.0


def diagnosed(fleet: SmallFleet, **window: float) -> DiagnosisRead:
    with fleet.ledger.read() as connection:
        return diagnosis(connection, fleet.catalog, fleet.settings.lease_seconds, **window)


def wait_for(fleet: SmallFleet, seconds: float) -> None:
    """Everything that is ready has been so for as many seconds more."""
    for row in fleet.rows(tables.subtask, state="ready"):
        age(fleet.ledger, tables.subtask, row.id, ready_at=seconds, not_before=seconds)


def short_of_budget(fleet: SmallFleet, documents: int = 6) -> None:
    """One is paid for after ten minutes, the others are still waiting."""
    fleet.set_level(HAIKU, "output_tokens", level=0.0, limit=60.0)
    fleet.submit("summary", documents=documents)
    fleet.plan.run()
    assert fleet.dispatch.run() == 0
    wait_for(fleet, TEN_MINUTES)
    age(fleet.ledger, tables.budget, HAIKU, refilled_at=60.0)
    assert fleet.dispatch.run() == 1
    fleet.hands.work()
    fleet.advance.run()


def short_of_workers(fleet: SmallFleet) -> None:
    """Two slots of slow work, and ten subtasks before them."""
    fleet.hands.announce(("noop",), slots=2)
    for _ in range(200):
        fleet.dispatch.learn("noop", 60.0)
    for _ in range(12):
        fleet.submit("fan")
    fleet.plan.run()
    assert fleet.dispatch.run() == 2
    for bell in fleet.hands.doorbells():
        fleet.hands.claim(bell.attempt_id)
    wait_for(fleet, TEN_MINUTES)


def asked(fleet: SmallFleet, jobs: int) -> list[str]:
    """Jobs that wait for a person."""
    made = [fleet.submit("brief") for _ in range(jobs)]
    fleet.run()
    assert {fleet.job(job_id).state for job_id in made} == {"awaiting_approval"}
    return made


def retry_storm(fleet: SmallFleet) -> None:
    """The vendor errs, and every attempt fails."""
    fleet.submit("summary", documents=8)
    for number in range(1, 9):
        fleet.hands.will(f"research[{number}]", *[fails(Code.VENDOR_ERROR)] * 2)
    for _ in range(2):
        fleet.turn()
        fleet.hands.work()
        fleet.advance.run()
        wait_for(fleet, 3.0)


def test_a_fleet_that_is_short_of_a_budget(fleet: SmallFleet) -> None:
    short_of_budget(fleet)

    found = diagnosed(fleet)

    (finding,) = found.findings
    assert (finding.cause, finding.fix) == ("budget", "another account")
    assert finding.where == f"{HAIKU}: output tokens"
    assert finding.waiting == 5
    assert finding.seconds_lost == pytest.approx(6 * TEN_MINUTES, rel=0.05)
    assert finding.longest_seconds == pytest.approx(TEN_MINUTES, rel=0.05)
    assert finding.numbers == {"limit": 60.0, "times_the_limit": 6.0}
    assert finding.share > 0.99
    assert found.verdict == f"short of budget ({HAIKU}: output tokens)"


def test_one_subtask_that_was_never_granted_shows(fleet: SmallFleet) -> None:
    fleet.set_budget(HAIKU, closed_until=9e9, closed_why="the account is over its limit")
    fleet.submit("summary")
    fleet.plan.run()
    assert fleet.dispatch.run() == 0
    wait_for(fleet, TEN_MINUTES)

    (finding,) = diagnosed(fleet).findings

    assert (finding.cause, finding.fix, finding.waiting) == ("budget", "pace", 1)
    assert "the account is over its limit" in finding.advice


def test_a_wait_counts_with_its_part_in_the_window(fleet: SmallFleet) -> None:
    short_of_budget(fleet)

    (finding,) = diagnosed(fleet, window_seconds=100.0).findings

    assert finding.seconds_lost == pytest.approx(6 * 100.0, rel=0.05)
    assert finding.longest_seconds == pytest.approx(TEN_MINUTES, rel=0.05)


def test_a_fleet_that_is_short_of_workers(fleet: SmallFleet) -> None:
    short_of_workers(fleet)

    (finding,) = diagnosed(fleet).findings

    assert (finding.cause, finding.where, finding.fix) == ("workers", "noop", "more processes")
    assert finding.waiting == 10
    assert finding.seconds_lost == pytest.approx(10 * TEN_MINUTES, rel=0.05)
    # nothing has ended yet, so what is known is that 10 × 600 s / 900 s waited on average
    assert finding.numbers["slots_missing"] == 7
    assert finding.numbers["processes_missing"] == 4


def test_a_lane_that_nobody_serves(fleet: SmallFleet) -> None:
    fleet.door.leave("hands")
    fleet.submit("fan")
    fleet.turn()
    wait_for(fleet, TEN_MINUTES)

    (finding,) = diagnosed(fleet).findings

    assert (finding.cause, finding.where) == ("workers", "noop")
    assert "fleet worker --lanes noop" in finding.advice


def test_a_broker_that_delivers_nothing_is_no_lack_of_workers(fleet: SmallFleet) -> None:
    fleet.submit("fan")
    fleet.turn()
    (bell,) = fleet.hands.doorbells()
    age(fleet.ledger, tables.attempt, bell.attempt_id, granted_at=120.0, start_by=120.0)
    fleet.reconcile.run()

    (finding,) = diagnosed(fleet).findings

    assert (finding.cause, finding.fix) == ("delivery", "look at the orchestrator")
    assert finding.numbers == {"returned": 1.0}


def test_a_fleet_that_is_short_of_approvals(fleet: SmallFleet) -> None:
    for job_id in asked(fleet, 3):
        row = fleet.row(tables.approval, job_id=job_id)
        age(fleet.ledger, tables.approval, row.id, asked_at=3600.0)

    (finding,) = diagnosed(fleet).findings

    assert (finding.cause, finding.where, finding.fix) == ("approvals", "brief/approval", "more approvers")
    assert finding.waiting == 3
    assert finding.seconds_lost == pytest.approx(3 * 900.0, rel=0.05), "no more than the window holds"
    assert finding.longest_seconds == pytest.approx(3600.0, rel=0.05)


def test_a_gate_at_which_everything_passes_should_go(fleet: SmallFleet) -> None:
    jobs = asked(fleet, 11)
    for job_id in jobs:
        row = fleet.row(tables.approval, job_id=job_id)
        age(fleet.ledger, tables.approval, row.id, asked_at=1200.0)
    for job_id in jobs[1:]:
        fleet.decide(job_id, "approve")

    (finding,) = diagnosed(fleet).findings

    assert (finding.cause, finding.fix, finding.waiting) == ("approvals", "fewer gates", 1)
    assert finding.numbers["approved_share"] == 1.0
    assert finding.numbers["median_answer_seconds"] == pytest.approx(1200.0, rel=0.05)


def test_a_fleet_that_is_starved_by_retries(fleet: SmallFleet) -> None:
    retry_storm(fleet)

    found = diagnosed(fleet)
    (finding,) = found.findings

    assert (finding.cause, finding.where, finding.fix) == (
        "retries",
        "anthropic: vendor_error",
        "mend what fails",
    )
    assert finding.numbers["failed"] == finding.numbers["ended"] >= 8
    assert finding.numbers["wasted_share"] == 1.0
    assert "starved by retries" in found.verdict
    assert finding.seconds_lost >= 8 * 0.5, "backoff is lost time too"


def test_an_overloaded_vendor_is_left_time_and_not_given_more_calls(fleet: SmallFleet) -> None:
    fleet.submit("summary", documents=8)
    for number in range(1, 9):
        fleet.hands.will(f"research[{number}]", fails(Code.OVERLOADED))
    fleet.turn()
    assert fleet.hands.work() == 8
    fleet.advance.run()
    wait_for(fleet, TEN_MINUTES)
    assert fleet.dispatch.run() < 8

    budget, retries = diagnosed(fleet).findings

    assert (budget.cause, budget.where, budget.fix) == ("budget", f"{HAIKU}: concurrency", "pace")
    assert (retries.cause, retries.where, retries.fix) == ("retries", "anthropic: overloaded", "pace")


def test_work_at_a_spending_cap_is_held_by_it(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary", documents=3, max_cost_usd=0.000001)
    fleet.turn()
    assert set(fleet.states(job_id).values()) >= {"parked"}
    for row in fleet.rows(tables.subtask, state="parked"):
        age(fleet.ledger, tables.subtask, row.id, ready_at=TEN_MINUTES)

    (finding,) = diagnosed(fleet).findings

    assert (finding.cause, finding.waiting, finding.fix) == ("hold", 3, "lift the hold")
    assert f"spending cap job/{job_id}" in finding.where


def test_who_waits_for_the_answer_of_another_is_short_of_nothing(fleet: SmallFleet) -> None:
    asked = {"question": "What stands in it?", "documents": [{"name": "a", "text": "something"}]}
    for _ in range(2):
        fleet.submit("summary", inputs=asked)
    fleet.turn()
    (row,) = fleet.rows(tables.subtask, state="ready")
    assert row.follows is not None
    wait_for(fleet, TEN_MINUTES)

    assert diagnosed(fleet).findings == ()


def test_a_healthy_fleet_is_short_of_nothing(fleet: SmallFleet) -> None:
    for _ in range(3):
        fleet.submit("summary", documents=3)
        fleet.submit("fan", documents=3)
    fleet.hands.will("research[1]", fails(Code.TIMEOUT))
    fleet.run()

    found = diagnosed(fleet)

    assert found.findings == ()
    assert found.verdict.startswith("nothing is short: ")
    assert f"{found.granted} attempts" in found.verdict
    assert found.granted >= 20


def test_of_an_empty_ledger_nobody_can_tell(fleet: SmallFleet) -> None:
    found = diagnosed(fleet)
    assert (found.findings, found.granted, found.seconds_lost) == ((), 0, 0.0)
    assert found.verdict.startswith("too little happened to tell")


def test_the_heaviest_comes_first(fleet: SmallFleet) -> None:
    short_of_workers(fleet)
    fleet.door.announce(WorkerCard("others", ("research",), (), 50, "1"))
    fleet.set_budget(HAIKU, concurrency=0)
    fleet.submit("summary")
    fleet.plan.run()
    assert fleet.dispatch.run() == 0
    wait_for(fleet, 300.0)

    workers, budget = diagnosed(fleet).findings

    assert (workers.cause, budget.cause, budget.fix) == ("workers", "budget", "higher limit")
    assert workers.seconds_lost > budget.seconds_lost
    assert workers.share + budget.share == pytest.approx(1.0)


def test_the_command_says_a_sentence_and_a_table(
    fleet: SmallFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    short_of_budget(fleet)
    with serving(services_over(fleet.ledger, fleet.catalog, tmp_path)) as address:
        monkeypatch.setenv("FLEET_API_URL", address)
        assert run(app, ("diagnose",)) == 0
        said = capfd.readouterr().out
        assert run(app, ("diagnose", "--minutes", "60", "--json")) == 0
        as_json = DiagnosisRead.model_validate_json(capfd.readouterr().out)
        with FleetClient(address) as client:
            read = client.diagnosis()

    assert said.splitlines()[0] == f"the last 15 min: short of budget ({HAIKU}: output tokens)"
    assert (
        "1. 6 subtasks lost 60 min waiting for output tokens of anthropic/default/haiku; 5 still wait" in said
    )
    assert "another account" in said.splitlines()[-1]
    assert (as_json.window_seconds, as_json.findings[0].waiting) == (3600.0, 5)
    assert (read.window_seconds, read.findings[0].cause) == (900.0, "budget")


def test_an_odd_window_is_refused(fleet: SmallFleet, tmp_path: Path) -> None:
    with serving(services_over(fleet.ledger, fleet.catalog, tmp_path)) as address:
        for given in ("0", "-1", "nan", "1e9"):
            answer = httpx2.get(f"{address}/v1/diagnosis", params={"window_seconds": given})
            assert "window_seconds" in problem_of(answer, 422)


def test_the_length_of_the_history_costs_nothing(fleet: SmallFleet) -> None:
    """Every table that grows is read by an index: of what is open, or of the ids of the window."""
    retry_storm(fleet)
    with fleet.ledger.read() as connection:
        if connection.dialect.name != "sqlite":
            pytest.skip("on few rows PostgreSQL scans whatever indexes there are")
        asked: list[tuple[str, Any]] = []
        event.listen(connection, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
        diagnosis(connection, fleet.catalog, fleet.settings.lease_seconds)
        plans = [
            row.detail
            for statement, parameters in list(asked)
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]

    grown = ("attempt", "subtask", "job", "approval", "event")
    scans = [line for line in plans if line.startswith("SCAN") and line.split()[1] in grown]
    assert any("attempt USING" in line for line in plans), plans
    assert [line for line in scans if "ix_" not in line or "open" not in line] == []


def test_paused_work_is_held_up_and_nobody_is_short_of_workers(fleet: SmallFleet) -> None:
    for _ in range(4):
        fleet.submit("fan")
    fleet.plan.run()
    hold(fleet.ledger, fleet.catalog, Wish(Scope.LANE, "noop", "bob", "the index is rebuilt"))
    assert fleet.dispatch.run() == 0
    wait_for(fleet, TEN_MINUTES)
    read = diagnosed(fleet)
    assert read.verdict == "held up (paused, as `fleet pauses` lists)"
