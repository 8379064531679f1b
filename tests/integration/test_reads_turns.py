"""What ready work is told to wait for, with the seconds and with what stands before it."""

import re

from orchestrator.ledger import tables
from orchestrator.reads.waiting import waiting_in
from tests.integration.ledgers import ledger, migrated_file, migrated_schema
from tests.integration.small_fleet import SmallFleet, bench_catalog, fleet

__all__ = ["bench_catalog", "fleet", "ledger", "migrated_file", "migrated_schema"]

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
    assert 9 < numbers["research[1]"] <= 10
    assert 19 < numbers["research[2]"] <= 20
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


def test_all_calls_taken_is_no_matter_of_time(fleet: SmallFleet) -> None:
    fleet.set_budget(HAIKU, concurrency=1)
    job_id = fleet.submit("summary", documents=2)
    fleet.turn()
    assert waits(fleet, job_id)["research[2]"] == f"a call of {HAIKU} to end"
    assert fleet.row(tables.subtask, job_id=job_id, name="research[1]").state == "dispatched"
