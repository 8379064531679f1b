"""Old and new code on one ledger: what a worker cannot read goes back for a newer one, and old code still starts."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update

from contracts.states import AttemptState
from orchestrator.door import Refusal
from orchestrator.ledger import schema, tables
from orchestrator.ledger.engine import Ledger
from tests.integration.small_fleet import SmallFleet, age, delivers
from workers.attempts import AttemptFailed, Attempts
from workers.heartbeat import Heartbeat
from workers.settings import WorkerSettings

Handed = dict[str, Any]


def of_a_newer_version(handed: Handed) -> Handed:
    return handed | {"version": 2}


def with_a_field_of_tomorrow(handed: Handed) -> Handed:
    return handed | {"mood": "cheerful"}


def for_a_payload_of_tomorrow(handed: Handed) -> Handed:
    return handed | {"desired_output": "bench.Nothing@2"}


def by_a_handler_of_tomorrow(handed: Handed) -> Handed:
    return handed | {"assignment": handed["assignment"] | {"handler": "bench.more"}}


NEWER = [of_a_newer_version, with_a_field_of_tomorrow, for_a_payload_of_tomorrow, by_a_handler_of_tomorrow]


class OldWorker:
    """A worker of this code, for which newer code has composed the handoffs."""

    def __init__(self, fleet: SmallFleet) -> None:
        self._fleet = fleet
        beat = Heartbeat(fleet.door, 60.0)
        self._attempts = Attempts(fleet.door, beat, WorkerSettings(), "old", lambda _: None)

    def hear(self, attempt_id: str) -> str:
        try:
            return self._attempts.run(attempt_id)
        except AttemptFailed as failed:
            return str(failed)


def rewritten(fleet: SmallFleet, job_id: str, handed: Handed) -> None:
    opening = tables.subtask.c.job_id == job_id, tables.subtask.c.name == "open"
    with fleet.ledger.write() as connection:
        connection.execute(update(tables.subtask).where(*opening).values(handoff=handed))


@pytest.mark.parametrize("newer", NEWER)
def test_what_an_old_worker_does_not_know_goes_back_unread_for_a_newer_one(
    fleet: SmallFleet, newer: Callable[[Handed], Handed]
) -> None:
    job_id, attempt_id = fleet.grant("fan")
    known = fleet.subtask(job_id, "open").handoff
    rewritten(fleet, job_id, newer(known))

    assert "newer code" in (said := OldWorker(fleet).hear(attempt_id)) or "does not know" in said
    fleet.advance.run()
    opening, (attempt,) = fleet.subtask(job_id, "open"), fleet.attempts(job_id, "open")
    assert (opening.state, opening.tries, opening.crashes, opening.repairs) == ("ready", 0, 0, 0)
    assert opening.why.startswith("unknown_contract: ")
    assert (attempt.state, attempt.code, attempt.ambiguous) == (
        AttemptState.SETTLED,
        "unknown_contract",
        False,
    )
    assert opening.handoff == newer(known), "it goes on as the newer code wrote it"

    rewritten(fleet, job_id, known)  # the newer worker, which knows what it was handed
    age(fleet.ledger, tables.subtask, opening.id, not_before=60.0)
    fleet.run()
    assert fleet.job(job_id).state == "done"


def test_what_no_worker_knows_is_a_dead_letter_in_the_end(fleet: SmallFleet) -> None:
    job_id, _ = fleet.grant("fan")
    opening = fleet.subtask(job_id, "open")
    rewritten(fleet, job_id, with_a_field_of_tomorrow(opening.handoff))
    most = fleet.catalog.lanes[opening.lane].attempts.limited
    old = OldWorker(fleet)
    for _ in range(most + 1):
        for attempt in fleet.attempts(job_id, "open"):
            if attempt.ended_at is None:
                old.hear(attempt.id)
        fleet.advance.run()
        if fleet.subtask(job_id, "open").state != "ready":
            break
        age(fleet.ledger, tables.subtask, opening.id, not_before=600.0)
        fleet.dispatch.run()
    (letter,) = fleet.rows(tables.dead_letter)
    assert letter.code == "unknown_contract"
    assert f"given back {most} of {most} times" in letter.sentence
    assert "mood" in letter.sentence
    fleet.run()


def tells_more(report: Handed) -> Handed:
    outcome, call = report["outcome"], report["call"]
    told = {
        "outcome": outcome | {"mood": "cheerful", "summary": outcome["summary"] | {"tone": "warm"}},
        "call": call | {"region": "north", "usage": call["usage"] | {"thought_tokens": 7}},
    }
    return report | told | {"machine": "of tomorrow"}


def test_what_a_newer_worker_tells_beside_its_report_is_passed_over(fleet: SmallFleet) -> None:
    claim = fleet.claimed("summary")
    assert fleet.hands.perform(claim, delivers(fleet.hands.payload(claim.handoff)))
    this = tables.attempt.c.id == claim.attempt
    with fleet.ledger.write() as connection:
        report = connection.execute(select(tables.attempt.c.report).where(this)).scalar_one()
        connection.execute(update(tables.attempt).where(this).values(report=tells_more(report)))
    fleet.advance.run()
    attempt = fleet.row(tables.attempt, id=claim.attempt)
    assert (attempt.state, attempt.code) == (AttemptState.SETTLED, None)
    assert attempt.input_tokens == report["call"]["usage"]["input_tokens"] > 0
    assert attempt.report["machine"] == "of tomorrow", "it is kept as it was told"
    assert fleet.row(tables.subtask, id=claim.subtask).state == "done"
    fleet.run()
    assert fleet.job(claim.job).state == "done"


def test_a_late_claim_of_what_went_back_is_refused(fleet: SmallFleet) -> None:
    job_id, attempt_id = fleet.grant("fan")
    rewritten(fleet, job_id, of_a_newer_version(fleet.subtask(job_id, "open").handoff))
    assert isinstance(fleet.hands.claim(attempt_id, token="T" * 26), Refusal)
    assert fleet.hands.claim(attempt_id, token="T" * 26) == Refusal("the attempt is reported")


@pytest.fixture
def expanded(ledger: Ledger) -> Iterator[Ledger]:
    """A ledger that newer code has migrated, for as long as a test lasts."""
    _at_version(ledger, "9999")
    _oldest(ledger, None)
    yield ledger
    _at_version(ledger, schema.newest())


def _at_version(ledger: Ledger, version: str) -> None:
    with ledger.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def _oldest(ledger: Ledger, code: str | None) -> None:
    with ledger.write() as connection:
        connection.execute(delete(tables.compatibility))
        if code is not None:
            connection.execute(insert(tables.compatibility).values(oldest_code=code))


def test_code_starts_on_a_ledger_that_newer_code_only_expanded(expanded: Ledger) -> None:
    _oldest(expanded, schema.newest())
    schema.check_version(expanded)
    assert schema.migrate(expanded) == "9999", "and leaves it as it is"


@pytest.mark.parametrize("oldest", ["9998", None])
def test_code_does_not_start_where_something_that_it_needs_was_taken_away(
    expanded: Ledger, oldest: str | None
) -> None:
    _oldest(expanded, oldest)
    since = "code of version 9998" if oldest else "newer code"
    sentence = f"the ledger is of version 9999 and needs {since}, and this is {schema.newest()}"
    for start in (schema.check_version, schema.migrate):
        with pytest.raises(schema.WrongVersion, match=sentence):
            start(expanded)


def test_a_migrated_ledger_says_which_code_may_work_on_it(tmp_path: Path) -> None:
    made = Ledger(f"sqlite:///{tmp_path / 'new.sqlite3'}")
    schema.migrate(made)
    with made.read() as connection:
        (oldest,) = connection.execute(tables.compatibility.select()).scalars()
    made.close()
    assert oldest == "0003"
