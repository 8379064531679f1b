"""What ready work is told to wait for, with the seconds and with what stands before it."""

import re
from dataclasses import replace

import pytest

from orchestrator import calibrations
from orchestrator.deciders.estimating import UNKNOWN
from orchestrator.ledger import tables
from orchestrator.reads.budgets import budgets
from orchestrator.reads.waiting import waiting_in
from tests.integration.small_fleet import SmallFleet

HAIKU = "anthropic/default/haiku"


def waits(fleet: SmallFleet, job_id: str) -> dict[str, str]:
    with fleet.ledger.read() as connection:
        return {wait.subtask: wait.waits_for for wait in waiting_in(connection, job_id)}


def test_a_short_budget_is_named_with_its_seconds_and_the_queue(fleet: SmallFleet) -> None:
    fleet.set_level(HAIKU, "output_tokens", level=0.0, limit=2400.0)
    job_id = fleet.submit("summary", documents=3)
    fleet.turn()

    told = waits(fleet, job_id)
    numbers = {
        name: float(found[1])
        for name, wait in told.items()
        if (found := re.match(rf"([\d.]+) s for {HAIKU} output tokens", wait))
    }
    # 400 tokens each at 40 a second: one after the other.
    assert numbers["research[1]"] <= 10
    assert numbers["research[2]"] - numbers["research[1]"] == pytest.approx(10, abs=0.11)
    assert told["research[1]"].endswith("output tokens")
    assert told["research[2]"].endswith(", behind 1 subtask")
    assert told["research[3]"].endswith(", behind 2 subtasks")


def test_urgent_work_is_not_behind_what_was_there_before_it(fleet: SmallFleet) -> None:
    fleet.set_level(HAIKU, "output_tokens", level=0.0, limit=2400.0)
    fleet.submit("summary", documents=3)
    urgent = fleet.submit("summary", priority=3)
    fleet.turn()
    assert "behind" not in waits(fleet, urgent)["research[1]"]


def test_a_closed_budget_is_named_with_why_and_when_it_opens(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary")
    at = fleet.budget(HAIKU).refilled_at
    fleet.set_budget(HAIKU, closed_until=at + 60, closed_why="the vendor said so")
    fleet.turn()
    told = waits(fleet, job_id)["research[1]"]
    assert re.fullmatch(rf"{HAIKU} to open in (59|60)\.\d s \(the vendor said so\)", told)


def test_what_does_not_stand_before_it_is_not_counted(fleet: SmallFleet) -> None:
    """A follower, what backs off, what a cap holds, and the work of other tenants, with whom it takes turns."""
    fleet.set_level(HAIKU, "output_tokens", level=0.0, limit=2400.0)
    asked = {"question": "What stands in it?", "documents": [{"name": "a", "text": "something"}]}
    fleet.submit("summary", inputs=asked)
    follower = fleet.submit("summary", inputs=asked)
    resting = fleet.submit("summary")
    capped = fleet.submit("summary")
    fleet.submit("summary", documents=3, tenant="globex")
    fleet.submit("summary", tenant="initech")
    job_id = fleet.submit("summary")
    fleet.plan.run()
    first = fleet.row(tables.subtask, id=fleet.rows(tables.subtask, state="ready", tenant="acme")[0].id)
    moved = {follower: {"follows": first.id}, resting: {"not_before": first.ready_at + 3600}}
    moved[capped] = {"state": "parked", "capped_by": "fleet//day"}
    with fleet.ledger.write() as connection:
        for other, values in moved.items():
            this = tables.subtask.c.id == fleet.subtask(other, "research[1]").id
            connection.execute(tables.subtask.update().where(this).values(**values))

    told = waits(fleet, job_id)["research[1]"]
    assert told.endswith("output tokens, behind 1 subtask, in turn with 2 other tenants")
    assert 19 < float(told.split(" s ")[0]) <= 20
    assert "output tokens" not in waits(fleet, follower)["research[1]"]
    with fleet.ledger.write() as connection:
        this = tables.subtask.c.id == fleet.subtask(capped, "research[1]").id
        connection.execute(tables.subtask.update().where(this).values(state="ready", capped_by=None))


def test_what_stands_before_it_is_counted_as_it_was_learned(fleet: SmallFleet) -> None:
    fleet.set_level(HAIKU, "output_tokens", level=0.0, limit=2400.0)
    job_id = fleet.submit("summary", documents=3)
    fleet.plan.run()
    row = fleet.subtask(job_id, "research[1]")
    learned = replace(UNKNOWN, samples=50, output_mean=120.0, recent_outputs=(120,) * 50)
    with fleet.ledger.write() as connection:
        calibrations.keep(connection, {(row.model, row.lane): learned})
    # 120 tokens each at 40 a second
    told = waits(fleet, job_id)["research[3]"]
    assert 8 < float(told.split(" s ")[0]) <= 9
    assert told.endswith("behind 2 subtasks")


def test_only_the_first_of_many_are_looked_at_closely(fleet: SmallFleet) -> None:
    fleet.set_level(HAIKU, "output_tokens", level=0.0, limit=2400.0)
    job_id = fleet.submit("summary", documents=12)
    fleet.plan.run()
    told = waits(fleet, job_id)
    assert "output tokens, behind 9 subtasks" in told["research[10]"]
    assert [told[f"research[{number}]"] for number in (11, 12)] == ["its turn in lane research"] * 2


def test_a_closed_account_whose_calls_are_all_taken_is_closed(fleet: SmallFleet) -> None:
    fleet.set_budget(HAIKU, concurrency=1)
    job_id = fleet.submit("summary", documents=2)
    fleet.turn()
    at = fleet.budget(HAIKU).refilled_at
    fleet.set_budget(HAIKU, closed_until=at + 60, closed_why="the vendor said so")
    assert waits(fleet, job_id)["research[2]"].startswith(f"{HAIKU} to open in ")


def test_a_call_that_is_reported_is_in_flight_no_more_and_keeps_what_it_reserved(fleet: SmallFleet) -> None:
    _, attempt_id = fleet.grant("summary")
    fleet.hands.do(attempt_id)
    with fleet.ledger.read() as connection:
        (read,) = [each for each in budgets(connection) if each.key == HAIKU]
    reserved = {each.dimension: each.reserved for each in read.dimensions}
    assert (read.in_flight, reserved["concurrency"], reserved["requests"]) == (0, 0, 1)
    assert reserved["output_tokens"] > 0


def test_all_calls_taken_is_no_matter_of_time(fleet: SmallFleet) -> None:
    fleet.set_budget(HAIKU, concurrency=1)
    job_id = fleet.submit("summary", documents=2)
    fleet.turn()
    assert waits(fleet, job_id)["research[2]"] == f"a call of {HAIKU} to end"
    assert fleet.row(tables.subtask, job_id=job_id, name="research[1]").state == "dispatched"
