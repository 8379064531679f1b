"""Invariants: each finds the violation that is planted for it, and the clock tells a person of it once."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from sqlalchemy import text, update

from contracts.lanes import Attempts
from orchestrator.catalog_files import load_catalog
from orchestrator.deciders.switches import Scope
from orchestrator.door import Claim
from orchestrator.inbox import acknowledge
from orchestrator.ledger import tables
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.promises import AFTER_DRAIN, last_event_before, promises
from orchestrator.pausing import Wish, hold
from orchestrator.reads.figures.collector import LedgerFigures
from orchestrator.upkeep.ticker import Ticker
from tests.integration.small_fleet import SmallFleet, insert_rows

FAR = 1e8
"""A cadence of which no boundary comes round while a test runs."""


@pytest.fixture
def storied(ledger: Ledger, tmp_path: Path) -> SmallFleet:
    """A fleet whose ledger tells of a published page, a worker that died, and of what nobody has begun; it is not
    held against its invariants afterwards, since they are what is broken here."""
    made = SmallFleet(ledger, tmp_path, load_catalog())
    job_id = made.submit("brief")
    made.run()
    made.decide(job_id, "approve")
    made.run()
    assert made.job(job_id).state == "done"
    return made


def change(fleet: SmallFleet, sql: str) -> None:
    """Does to the ledger what none of its code does."""
    with fleet.ledger.write() as connection:
        assert connection.execute(text(sql)).rowcount >= 1


def violated(fleet: SmallFleet, after: int = 0) -> set[str]:
    with fleet.ledger.read() as connection:
        return {name for name, promise in promises().items() if promise.broken(connection, after)}


def grant_another(fleet: SmallFleet) -> None:
    fleet.submit("brief")
    fleet.turn()


LAST_MOVE = "(SELECT max(seq) FROM event WHERE kind = 'subtask_moved')"
SOME_ATTEMPT = "(SELECT min(id) FROM attempt WHERE budget IS NOT NULL)"

DEEDS: dict[str, str] = {
    "released_items_have_their_job": "UPDATE job SET replay_of = id",
    "kept_results_are_their_sources": "UPDATE subtask SET kept_from = id WHERE state = 'done'",
    "moves_are_allowed": f"UPDATE event SET old = 'waiting', new = 'done' WHERE seq = {LAST_MOVE}",
    "moves_are_unbroken": f"UPDATE event SET old = 'ready', new = 'done' WHERE seq = {LAST_MOVE}",
    "states_follow_events": "UPDATE job SET state = 'failed', why = 'so'",
    "one_end_per_subtask": "INSERT INTO event (at, kind, job_id, subtask_id, actor, old, new) SELECT at, kind, "
    f"job_id, subtask_id, actor, old, new FROM event WHERE seq = {LAST_MOVE}",
    "ends_are_told": f"DELETE FROM event WHERE seq = {LAST_MOVE}",
    "ends_are_marked": f"UPDATE attempt SET ended_at = NULL WHERE id = {SOME_ATTEMPT}",
    "ended_jobs_are_at_rest": "UPDATE subtask SET state = 'ready', ended_at = NULL WHERE name = 'draft'",
    "only_claimed_attempts_ran": f"UPDATE attempt SET fence = 0 WHERE id = {SOME_ATTEMPT}",
    "running_attempts_have_running_subtasks": "UPDATE attempt SET state = 'running', ended_at = NULL "
    f"WHERE id = {SOME_ATTEMPT}",
    "effects_are_of_a_claim": "UPDATE effect SET applied_at = NULL, result = NULL",
    "effects_once_and_approved": "UPDATE subtask SET state = 'skipped' WHERE name = 'publish'",
    "approved_steps_have_an_approval": "UPDATE approval SET state = 'rejected'",
    "published_only_after_approval": "UPDATE approval SET state = 'rejected'",
    "nothing_is_negative": f"UPDATE attempt SET reserved_nano_usd = -1 WHERE id = {SOME_ATTEMPT}",
    "charged_attempts_have_a_model": f"UPDATE attempt SET model = NULL, cost_nano_usd = 5 WHERE id = {SOME_ATTEMPT}",
    "spending_adds_up": "UPDATE spending SET nano_usd = nano_usd + 1 WHERE scope = 'fleet'",
    "job_spending_adds_up": "UPDATE job SET max_cost_nano_usd = 1000000000",
    "crashes_are_lost_attempts": "UPDATE subtask SET crashes = 1 WHERE name = 'draft'",
    "lost_calls_are_ambiguous": f"UPDATE attempt SET state = 'lost' WHERE id = {SOME_ATTEMPT}",
    "one_at_a_time_changes_a_subject": "UPDATE subtask SET state = 'running', ended_at = NULL, subject = 'site' "
    "WHERE name IN ('publish', 'verify')",
    "dead_have_letters": "UPDATE subtask SET state = 'dead' WHERE name = 'draft'",
    "what_ended_unwell_says_why": "UPDATE job SET state = 'failed', why = ''",
    "rows_are_of_their_jobs_tenant": "UPDATE subtask SET tenant = 'other' WHERE name = 'draft'",
    "tries_and_crashes_are_bounded": "UPDATE subtask SET tries = 21 WHERE name = 'draft'",
    "repeated_answers_are_of_their_question": "UPDATE subtask SET answered_by = id WHERE name = 'draft'",
}
"""By the promise it breaks; each is done to the ledger of a brief that was published."""
WHILE_OPEN: dict[str, str] = {
    "work_under_way_has_one_attempt": "UPDATE subtask SET state = 'running' WHERE state = 'dispatched'",
    "returned_attempts_ring_no_more": "UPDATE attempt SET state = 'returned', ended_at = 1 "
    "WHERE state = 'dispatched'",
    "no_process_holds_two_suspects": "UPDATE attempt SET state = 'running', ended_at = NULL, worker = 'hands', "
    "suspect = true",
}
"""Likewise, where one more is under way."""


@pytest.mark.parametrize("name", sorted(DEEDS))
def test_a_violation_is_found_and_nothing_was_found_before_it(storied: SmallFleet, name: str) -> None:
    assert violated(storied) == set()

    change(storied, DEEDS[name])

    assert name in violated(storied)


@pytest.mark.parametrize("name", sorted(WHILE_OPEN))
def test_a_violation_under_way_is_found(storied: SmallFleet, name: str) -> None:
    grant_another(storied)
    assert violated(storied) == set()

    change(storied, WHILE_OPEN[name])

    assert name in violated(storied)


def test_a_job_of_two_ticks_is_found(storied: SmallFleet) -> None:
    (job,) = storied.rows(tables.job)
    given = {"name": "health-snapshot", "seen_at": 1.0, "job_id": job.id}
    insert_rows(storied.ledger, tables.tick, given | {"slot": 1.0}, given | {"slot": 2.0})

    assert violated(storied) == {"ticks_make_each_job_once"}


@pytest.mark.parametrize("scope", [Scope.LANE, Scope.FLEET])
def test_what_starts_although_it_is_paused_is_found_by_the_order_of_events(
    storied: SmallFleet, scope: Scope
) -> None:
    before = storied.claimed("brief")
    _, granted = storied.grant("brief")
    name = "research" if scope is Scope.LANE else ""
    hold(storied.ledger, storied.catalog, Wish(scope, name, "bob", "the index is rebuilt"))
    # The clock had been an hour ahead when the first was claimed, and was set right before the pause.
    change(storied, f"UPDATE attempt SET claimed_at = claimed_at + 3600 WHERE id = '{before.attempt}'")
    assert violated(storied) == set()

    paused = storied.row(tables.pause)
    change(storied, "DELETE FROM pause")
    assert isinstance(storied.hands.claim(granted), Claim)
    insert_rows(storied.ledger, tables.pause, paused._asdict() | {"at": paused.at - 10})
    assert violated(storied) == {"nothing_starts_while_paused"}
    with storied.ledger.read() as connection:
        ((found, *_),) = promises()["nothing_starts_while_paused"].broken(connection)
    assert found == granted


def test_of_another_tenant_nothing_is_kept_handed_over_or_followed(storied: SmallFleet) -> None:
    def foreign(after: int = 0) -> list[str]:
        with storied.ledger.read() as connection:
            found = promises()["rows_are_of_their_jobs_tenant"].broken(connection, after)
        return sorted(row[0] for row in found)

    (own,), other = storied.rows(tables.job), storied.submit("brief", tenant="other")
    storied.turn()
    draft, theirs = storied.subtask(own.id, "draft").id, storied.subtask(other, "draft").id
    insert_rows(storied.ledger, tables.supply, {"subtask_id": draft, "supplied_by": draft, "job_id": own.id})
    at = {"opened_at": 1.0, "tenant": "acme", "prerequisite": "address", "subject": "somebody"}
    insert_rows(storied.ledger, tables.blocker, at | {"id": "blocked", "job_id": own.id})
    letter = {"tenant": "acme", "category": "crash", "code": "crashed", "sentence": "so it is", "at": 1.0}
    insert_rows(storied.ledger, tables.dead_letter, letter | {"subtask_id": draft, "job_id": own.id})
    told = {"tenant": "acme", "url": "http://127.0.0.1/", "body": {}, "next_at": 1.0, "gave_up_at": 1.0}
    insert_rows(storied.ledger, tables.webhook, told | {"id": "told", "job_id": own.id})
    approval = storied.row(tables.approval).id
    assert foreign() == []

    for sql, what in (
        ("UPDATE dead_letter SET tenant = 'other'", draft),
        (f"UPDATE approval SET tenant = 'other' WHERE id = '{approval}'", approval),
        ("UPDATE webhook SET tenant = 'other'", "told"),
        ("UPDATE blocker SET tenant = 'other'", "blocked"),
        (f"UPDATE supply SET supplied_by = '{theirs}'", draft),
    ):
        before = foreign()
        change(storied, sql)
        assert foreign() == sorted([*before, what]), sql
    for link in ("origin", "replay_of", "lineage", "replaces"):
        change(storied, f"UPDATE job SET {link} = '{own.id}' WHERE id = '{other}'")
        assert other in foreign(), link
        change(storied, f"UPDATE job SET {link} = NULL WHERE id = '{other}'")
        assert other not in foreign(), link
    with storied.ledger.read() as connection:
        assert foreign(last_event_before(connection, now(connection) + 1)) == []


def test_more_tries_and_crashes_than_a_lane_may_allow_are_found_and_as_many_are_not(
    storied: SmallFleet,
) -> None:
    def most(field: str) -> int:
        return next(n for n in range(1, 100) if not _allows(field, n + 1))

    change(storied, f"UPDATE subtask SET tries = {most('most')}, crashes = {most('crashes')}")
    assert "tries_and_crashes_are_bounded" not in violated(storied)
    for column, field in (("tries", "most"), ("crashes", "crashes")):
        change(storied, f"UPDATE subtask SET {column} = {most(field) + 1} WHERE name = 'draft'")
        assert "tries_and_crashes_are_bounded" in violated(storied), column
        change(storied, f"UPDATE subtask SET {column} = 0 WHERE name = 'draft'")


def _allows(field: str, number: int) -> bool:
    """Whether a lane may say so."""
    try:
        Attempts.model_validate({field: number})
    except ValidationError:
        return False
    return True


def test_every_promise_has_its_violation() -> None:
    told = {*DEEDS, *WHILE_OPEN, "ticks_make_each_job_once", "nothing_starts_while_paused"}
    # the database itself refuses an approval by whoever asked: test_gates.py
    assert set(promises()) - told == {"approvals_by_somebody_else"}


def test_what_is_left_after_a_drain_is_found(storied: SmallFleet) -> None:
    def left() -> set[str]:
        with storied.ledger.read() as connection:
            return {name for name, promise in promises(AFTER_DRAIN).items() if promise.broken(connection)}

    assert left() == set()
    grant_another(storied)
    assert left() == {"everything_has_ended", "no_doorbell_is_left"}
    change(storied, "UPDATE effect SET applied_at = NULL, result = NULL")
    change(storied, "UPDATE subtask SET state = 'dead' WHERE name = 'publish' AND state = 'done'")
    assert left() == set(promises(AFTER_DRAIN))


def look(fleet: SmallFleet, slot: float) -> int:
    """The clock's look at the promises; how many jobs it made."""
    with fleet.ledger.read() as connection:
        at = now(connection)
    insert_rows(fleet.ledger, tables.tick, {"name": "invariants", "slot": slot, "seen_at": at})
    return Ticker(fleet.ledger, fleet.catalog, fleet.intake, {"invariants": FAR}).run()


def test_a_person_is_called_once_until_somebody_takes_note(storied: SmallFleet) -> None:
    registry = CollectorRegistry()
    registry.register(LedgerFigures(storied.ledger, storied.catalog))

    def figure() -> float | None:
        return registry.get_sample_value("fleet_invariants_broken", {"invariant": "nothing_is_negative"})

    assert look(storied, 300.0) == 0
    change(storied, DEEDS["nothing_is_negative"])
    with storied.ledger.write() as connection:
        overlap = storied.catalog.ticks["invariants"].settings["overlap_seconds"]
        long_ago = tables.event.c.at - 2 * float(overlap)
        connection.execute(update(tables.event).values(at=long_ago))
    assert look(storied, 600.0) == 0, "nothing was read where nothing has happened since"
    storied.submit("brief")
    assert figure() is None

    assert look(storied, 900.0) == 1
    storied.run()
    (call,) = storied.rows(tables.escalation)
    (told,) = storied.rows(tables.event, kind="invariant_broken")
    assert call.sentence == told.sentence
    assert "nothing_is_negative" in call.sentence and "1 place(s)" in call.sentence
    assert call.id in storied.escalation_log.read_text()
    assert figure() == 1

    assert look(storied, 1200.0) == 0
    acknowledge(storied.ledger, call.id, "bob")
    assert figure() is None
    storied.submit("brief")
    assert look(storied, 1500.0) == 1, "it is still broken, and nobody is on the way any more"


def test_what_was_begun_before_a_look_and_written_after_it_is_read_by_the_next_one(
    storied: SmallFleet,
) -> None:
    with storied.ledger.read() as connection:
        begun = now(connection)
    assert look(storied, 300.0) == 0
    change(storied, DEEDS["nothing_is_negative"])
    insert_rows(storied.ledger, tables.event, {"at": begun, "kind": "led", "actor": "one that took its time"})
    assert look(storied, 600.0) == 1


def test_while_a_clock_that_was_set_back_catches_up_all_is_read(storied: SmallFleet) -> None:
    assert look(storied, 300.0) == 0
    with storied.ledger.write() as connection:
        an_hour_ahead = tables.tick.c.looked_at + 3600
        connection.execute(update(tables.tick).values(looked_at=an_hour_ahead))
    change(storied, DEEDS["nothing_is_negative"])
    storied.submit("brief")
    assert look(storied, 600.0) == 1


def test_of_the_history_only_what_is_new_is_read_again(storied: SmallFleet) -> None:
    change(storied, DEEDS["moves_are_allowed"])
    with storied.ledger.read() as connection:
        last = last_event_before(connection, now(connection) + 1)

    assert "moves_are_allowed" in violated(storied)
    assert "moves_are_allowed" not in violated(storied, after=last)
