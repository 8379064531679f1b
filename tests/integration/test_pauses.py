"""What is paused is not granted, claimed or applied; what is killed stops; and all of it is offered again."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from sqlalchemy import insert, update

from contracts.jobs import JobRequest
from contracts.states import SubtaskState
from orchestrator import stopping
from orchestrator.cli.app import app
from orchestrator.cli.ending import run as run_here
from orchestrator.deciders.switches import Scope
from orchestrator.door import Claim, FencedOut, Refusal
from orchestrator.ledger import tables
from orchestrator.ledger.clock import now
from orchestrator.pausing import Wish, hold, release
from orchestrator.problems import Malformed, NotFound
from orchestrator.reads.explain import explain
from orchestrator.reads.pauses import pauses_read
from orchestrator.reads.readiness import readiness
from orchestrator.upkeep import looks
from orchestrator.upkeep.ticker import Ticker
from tests.integration.ledgers import problem_of, rows_of
from tests.integration.small_fleet import SmallFleet, age, delivers, insert_rows

EVERY_SCOPE = {
    Scope.FLEET: "",
    Scope.LANE: "research",
    Scope.VENDOR: "anthropic",
    Scope.TENANT: "acme",
    Scope.WORKFLOW: "summary",
}


def paused(fleet: SmallFleet, scope: Scope, name: str, kills: bool = False, **more: Any) -> None:
    hold(fleet.ledger, fleet.catalog, Wish(scope, name, "bob", "the index is rebuilt", kills, **more))


def doorbells_of(fleet: SmallFleet, lane: str) -> list[Any]:
    """Works all other lanes off, and answers what rings for this one."""
    bells = fleet.hands.doorbells()
    for bell in bells:
        if bell.lane != lane:
            fleet.hands.do(bell.attempt_id)
    return [bell for bell in bells if bell.lane == lane]


def run_until_ready(fleet: SmallFleet, job_id: str, count: int) -> None:
    fleet.turn()
    fleet.hands.work()
    fleet.advance.run()
    assert list(fleet.states(job_id).values()).count("ready") == count


def vendor_of_research(fleet: SmallFleet) -> str:
    model = fleet.catalog.lanes["research"].model
    assert model is not None
    return model.vendor


@pytest.mark.parametrize("scope", EVERY_SCOPE)
def test_what_is_paused_is_not_granted_and_goes_on_where_it_stood(fleet: SmallFleet, scope: Scope) -> None:
    seen = fleet.submit("summary", tenant="acme")
    fleet.plan.run()
    name = vendor_of_research(fleet) if scope is Scope.VENDOR else EVERY_SCOPE[scope]
    paused(fleet, scope, name)
    other = fleet.submit("fan", tenant="other")
    fleet.run()
    assert fleet.subtask(seen, "research[1]").state == "ready"
    assert fleet.job(other).state == ("running" if scope is Scope.FLEET else "done")
    assert not fleet.attempts(seen, "research[1]")
    with fleet.ledger.read() as connection:
        told, read = explain(connection, seen), pauses_read(connection)
    (wait,) = [each for each in told.waits if each.subtask == "research[1]"]
    words = f"{scope} {name}".strip()
    assert "is paused by bob since" in wait.waits_for
    assert wait.waits_for.endswith(f": the index is rebuilt; `fleet resume {words}`")
    assert [(each.scope, each.name, each.in_force) for each in read.items] == [(scope, name, True)]
    assert read.items[0].ready >= 1

    release(fleet.ledger, scope, name, "bob", "it is done")
    fleet.run()
    assert fleet.job(seen).state == "done"
    changes = fleet.rows(tables.setting_change)
    assert [(each.actor, each.old, each.new) for each in changes] == [
        ("bob", "going on", "paused"),
        ("bob", "paused", "resumed"),
    ]
    assert [each.actor for each in fleet.rows(tables.event) if each.kind in ("paused", "resumed")] == [
        "bob"
    ] * 2


@pytest.mark.parametrize("scope", EVERY_SCOPE)
def test_what_was_granted_before_a_pause_is_not_claimed_and_goes_back_unrun(
    fleet: SmallFleet, scope: Scope
) -> None:
    job_id, attempt_id = fleet.grant("summary")
    paused(fleet, scope, vendor_of_research(fleet) if scope is Scope.VENDOR else EVERY_SCOPE[scope])
    refused = fleet.hands.claim(attempt_id)
    assert isinstance(refused, Refusal)
    assert "paused" in refused.why
    age(fleet.ledger, tables.attempt, attempt_id, start_by=2.0)
    fleet.reconcile.run()
    assert fleet.row(tables.attempt, id=attempt_id).state == "returned"
    subtask = fleet.subtask(job_id, "research[1]")
    assert (subtask.state, subtask.tries, subtask.crashes) == ("ready", 0, 0)
    assert fleet.turn() == 0


def test_a_pause_lets_what_runs_finish(fleet: SmallFleet) -> None:
    claim = fleet.claimed("fan")
    paused(fleet, Scope.LANE, "noop")
    assert fleet.door.heartbeat([claim]) == frozenset()
    fleet.reconcile.run()
    assert fleet.subtask(claim.job, "open").state == SubtaskState.RUNNING


@pytest.mark.parametrize("scope", EVERY_SCOPE)
def test_after_a_kill_nothing_is_claimed_every_heartbeat_says_stop_and_what_ran_comes_back(
    fleet: SmallFleet, scope: Scope
) -> None:
    held = []
    for _ in range(3):
        held.append(fleet.claimed("summary"))
    _, granted = fleet.grant("summary")
    paused(
        fleet, scope, vendor_of_research(fleet) if scope is Scope.VENDOR else EVERY_SCOPE[scope], kills=True
    )

    assert isinstance(fleet.hands.claim(granted), Refusal)
    assert fleet.door.heartbeat(held) == {claim.attempt for claim in held}
    fleet.reconcile.run()
    for claim in held:
        subtask = fleet.subtask(claim.job, "research[1]")
        assert (subtask.state, subtask.tries, subtask.crashes) == ("ready", 0, 0)
        assert "is killed by bob since" in subtask.why
        (attempt,) = fleet.attempts(claim.job, "research[1]")
        assert (attempt.state, attempt.code, attempt.ambiguous) == ("lost", "stopped", True)
        assert not fleet.hands.perform(claim, delivers(fleet.hands.payload(claim.handoff))), (
            "its report came too late"
        )
    age(fleet.ledger, tables.attempt, granted, start_by=2.0)
    fleet.run()
    assert not [row for row in fleet.rows(tables.attempt) if row.ended_at is None]

    name = vendor_of_research(fleet) if scope is Scope.VENDOR else EVERY_SCOPE[scope]
    release(fleet.ledger, scope, name, "bob", "")
    fleet.run()
    assert {row.state for row in fleet.rows(tables.job)} == {"done"}


def test_what_was_killed_and_waits_to_be_taken_back_counts_no_crash_meanwhile(fleet: SmallFleet) -> None:
    count = stopping.MOST + 5
    fleet.hands.announce(("noop",), slots=count)
    run_until_ready(fleet, fleet.submit("fan", documents=count), count)
    while fleet.dispatch.run():
        for bell in fleet.hands.doorbells():
            fleet.hands.claim(bell.attempt_id)
    paused(fleet, Scope.LANE, "noop", kills=True)
    running = tables.attempt.c.state == "running"
    with fleet.ledger.write() as connection:
        silent = {"lease_until": tables.attempt.c.lease_until - 60}
        assert connection.execute(update(tables.attempt).where(running).values(silent)).rowcount == count

    fleet.reconcile.run()
    fleet.reconcile.run()
    lost = [row for row in fleet.rows(tables.attempt) if row.state == "lost"]
    assert Counter(row.code for row in lost) == {"stopped": count}
    assert {row.crashes for row in fleet.rows(tables.subtask)} == {0}


@pytest.mark.parametrize("then", ["resumed", "paused", "over"])
def test_what_was_killed_counts_no_crash_though_its_worker_dies_after_the_switch_was_lifted(
    fleet: SmallFleet, then: str
) -> None:
    claim = fleet.claimed("fan")
    paused(fleet, Scope.LANE, claim.handoff.assignment.lane, kills=True)
    fleet.door.heartbeat([claim])
    if then == "resumed":
        release(fleet.ledger, Scope.LANE, claim.handoff.assignment.lane, "bob", "")
    elif then == "paused":
        paused(fleet, Scope.LANE, claim.handoff.assignment.lane)
    else:
        with fleet.ledger.write() as connection:
            connection.execute(update(tables.pause).values(until=tables.pause.c.at + 1e-6))
    age(fleet.ledger, tables.attempt, claim.attempt, lease_until=60.0)
    assert fleet.door.heartbeat([claim]) == {claim.attempt}
    fleet.reconcile.run()
    attempt, subtask = (
        fleet.row(tables.attempt, id=claim.attempt),
        fleet.row(tables.subtask, id=claim.subtask),
    )
    assert (attempt.state, attempt.code) == ("lost", "stopped")
    assert (subtask.state, subtask.crashes, subtask.tries) == ("ready", 0, 0)


def test_whoever_goes_on_with_what_was_killed_is_told_what_may_have_been_changed(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary")
    while not (bells := doorbells_of(fleet, "publish")):
        fleet.turn()
    claim = fleet.hands.claim(bells[0].attempt_id)
    assert isinstance(claim, Claim) and claim.handoff.effect is not None
    fleet.door.begin_effect(claim, claim.handoff.effect, {})
    paused(fleet, Scope.LANE, "publish", kills=True)
    fleet.reconcile.run()
    release(fleet.ledger, Scope.LANE, "publish", "bob", "")
    fleet.run()

    assert fleet.job(job_id).state == "done"
    (tried,) = fleet.handed("publish")[-1].tried
    assert (tried.attempt, tried.code) == (claim.attempt, "stopped")
    assert tried.sentence.startswith("stopped: lane publish is killed by bob since ")
    assert tried.kept == f"scratch:{job_id} may have been changed: look first"


def test_a_killed_attempt_begins_no_effect(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary")
    while not (bells := doorbells_of(fleet, "publish")):
        fleet.turn()
    claim = fleet.hands.claim(bells[0].attempt_id)
    assert isinstance(claim, Claim) and claim.handoff.effect is not None
    paused(fleet, Scope.TENANT, "acme", kills=True)
    with pytest.raises(FencedOut, match="killed by a switch before"):
        fleet.door.begin_effect(claim, claim.handoff.effect, {})
    assert not fleet.rows(tables.effect, subtask_id=claim.subtask)
    release(fleet.ledger, Scope.TENANT, "acme", "bob", "")
    fleet.run()
    assert fleet.job(job_id).state in ("done", "running")


BROKEN: dict[str, dict[str, Any]] = {
    "an unknown scope": {"scope": "team", "name": "blue"},
    "a name for the fleet": {"scope": "fleet", "name": "all"},
    "no name": {"scope": "lane", "name": ""},
    "a begin that lies ahead": {"scope": "lane", "name": "draft", "at": 9e9},
    "an end before its begin": {"scope": "lane", "name": "draft", "until": 5.0},
    "an end that never comes": {"scope": "lane", "name": "draft", "until": 1e300},
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_switch_that_cannot_be_read_stops_the_fleet_until_it_is_removed(
    fleet: SmallFleet, kind: str
) -> None:
    claim = fleet.claimed("fan")
    _, granted = fleet.grant("fan")
    waits = fleet.submit("fan")
    fleet.plan.run()
    with fleet.ledger.write() as connection:
        row = {"at": now(connection), "by": "?", "why": "?", "kills": False, "until": None} | BROKEN[kind]
        connection.execute(insert(tables.pause).values(**row))

    assert isinstance(fleet.hands.claim(granted), Refusal)
    assert fleet.door.heartbeat([claim]) == {claim.attempt}
    assert fleet.dispatch.run() == 0
    with fleet.ledger.read() as connection:
        ready, told = readiness(connection), explain(connection, waits).sentence
        read = pauses_read(connection)
    assert read.stopped
    assert read.broken[0] in ready.missing and not ready.ready
    assert "the whole fleet is stopped, as the pause" in told and "cannot be read" in told

    fleet.reconcile.run()
    release(fleet.ledger, row["scope"], row["name"], "bob", "it was a typo")
    age(fleet.ledger, tables.attempt, granted, start_by=2.0)
    fleet.run()
    assert {row.state for row in fleet.rows(tables.job)} == {"done"}


def test_a_pause_ends_by_itself_when_its_time_has_passed(fleet: SmallFleet) -> None:
    job_id = fleet.submit("fan")
    paused(fleet, Scope.LANE, "noop", for_seconds=60.0)
    fleet.run()
    assert fleet.job(job_id).state == "running"
    with fleet.ledger.write() as connection:
        earlier = {"at": tables.pause.c.at - 61, "until": tables.pause.c.until - 61}
        connection.execute(update(tables.pause).values(earlier))
    fleet.run()
    assert fleet.job(job_id).state == "done"
    with fleet.ledger.read() as connection:
        (read,) = pauses_read(connection).items
    assert not read.in_force


def test_an_unknown_name_is_refused_with_what_is_known(fleet: SmallFleet) -> None:
    fleet.submit("fan")
    for scope, name, known in (
        (Scope.LANE, "reserch", "research"),
        (Scope.VENDOR, "anthropik", "anthropic, google, openai"),
        (Scope.WORKFLOW, "brieff", "brief"),
        (Scope.TENANT, "acne", "acme"),
    ):
        with pytest.raises(Malformed, match=f"no {scope} “{name}”; known are: .*{known}"):
            paused(fleet, scope, name)
    with pytest.raises(Malformed, match="there is one fleet"):
        paused(fleet, Scope.FLEET, "all")
    with pytest.raises(NotFound, match="lane research is not paused; nothing is"):
        release(fleet.ledger, "lane", "research", "bob", "")
    assert not fleet.rows(tables.pause) and not fleet.rows(tables.setting_change)


@pytest.mark.parametrize(("scope", "name"), [(Scope.FLEET, ""), (Scope.WORKFLOW, "escalation-drill")])
def test_ticks_of_what_is_paused_make_no_job_and_the_newest_is_caught_up_with(
    fleet: SmallFleet, scope: Scope, name: str
) -> None:
    ticker = Ticker(fleet.ledger, fleet.catalog, fleet.intake, {"escalation-drill": 1e8})
    paused(fleet, scope, name)
    assert ticker.run() == 0
    words = f"workflow {name}" if name else "the fleet"
    (row,) = fleet.rows(tables.tick)
    assert (row.outcome, row.job_id) == (f"skipped: {words} is paused", None)
    insert_rows(
        fleet.ledger,
        tables.tick,
        {"name": "escalation-drill", "slot": 1.0, "seen_at": 1.0, "looked_at": 1.0, "outcome": row.outcome},
    )
    with fleet.ledger.read() as connection:
        assert pauses_read(connection).items[0].skipped_ticks == ("escalation-drill",)

    assert release(fleet.ledger, scope, name, "bob", "", catch_up=True) == 1
    assert ticker.run() == 1
    assert [each.outcome for each in fleet.rows(tables.tick)] == [row.outcome, "made 1 job(s)"]
    assert ticker.run() == 0


def test_a_paused_lane_with_many_ready_rows_leaves_the_others_their_turn(fleet: SmallFleet) -> None:
    request = {
        "tenant": "acme",
        "portfolio": "docs",
        "workflow": "fan",
        "inputs": {"items": [f"{n}" for n in range(300)]},
        "purpose": "feature",
        "reason": "many of them",
        "requested_by": "alice",
    }
    big = fleet.intake.submit(JobRequest.model_validate(request)).job_id
    run_until_ready(fleet, big, 300)
    paused(fleet, Scope.LANE, "noop")
    small = fleet.submit("summary")
    fleet.run()
    assert fleet.job(small).state == "done"
    assert sum(state == "ready" for state in fleet.states(big).values()) == 300


def test_of_two_who_hold_the_same_at_one_moment_the_later_word_counts(fleet: SmallFleet) -> None:
    with ThreadPoolExecutor(1) as other:
        with fleet.ledger.write() as connection:
            first = {"scope": "lane", "name": "noop", "by": "ada", "why": "slow", "at": now(connection)}
            connection.execute(insert(tables.pause).values(**first))
            later = other.submit(paused, fleet, Scope.LANE, "noop", kills=True)
            time.sleep(0.3)
        later.result(timeout=20)
    (row,) = fleet.rows(tables.pause)
    assert (row.by, row.kills) == ("bob", True)


def test_operators_pause_kill_and_resume_over_http(http: httpx2.Client, ledger: Any) -> None:
    asked = {"by": "ada", "reason": "the index is rebuilt"}
    made = http.put("/v1/pauses/lane/research", json=asked | {"for_seconds": 7200}).json()
    (item,) = made["items"]
    assert (item["scope"], item["name"], item["kills"], item["in_force"]) == ("lane", "research", False, True)
    assert "lane research is paused by ada since" in item["sentence"]
    killed = http.put("/v1/pauses/fleet", json=asked | {"kills": True}).json()
    assert killed["stopped"] and [each["scope"] for each in killed["items"]] == ["fleet", "lane"]

    refused = http.put("/v1/pauses/lane/reserch", json=asked)
    assert "no lane “reserch”; known are: audit" in problem_of(refused, 422)
    assert http.put("/v1/pauses/team/blue", json=asked).status_code == 422
    assert http.put("/v1/pauses/lane/draft", json={"by": "ada", "reason": ""}).status_code == 422

    left = http.delete("/v1/pauses/fleet", params={"by": "ada", "catch_up": True}).json()
    assert left["ticks_to_fire"] == 0 and [each["scope"] for each in left["pauses"]["items"]] == ["lane"]
    assert http.delete("/v1/pauses/lane/research", params={"by": "ada"}).json()["pauses"]["items"] == []
    again = http.delete("/v1/pauses/lane/research", params={"by": "ada"})
    assert problem_of(again, 404) == "lane research is not paused; nothing is"
    assert http.get("/v1/pauses").json() == {"stopped": False, "items": [], "broken": []}
    whats = [(row.what, row.old, row.new) for row in rows_of(ledger, tables.setting_change)]
    assert whats == [
        ("lane research", "going on", "paused"),
        ("the fleet", "going on", "killed"),
        ("the fleet", "killed", "resumed"),
        ("lane research", "paused", "resumed"),
    ]


def test_the_commands_pause_kill_list_and_resume(
    api: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLEET_API_URL", api)

    def said(*arguments: str, code: int = 0) -> str:
        assert run_here(app, arguments) == code
        told = capfd.readouterr()
        return " ".join((told.err if code else told.out).split())

    because = ("--why", "the index is rebuilt", "--by", "ada")
    assert "lane research is paused by ada since" in said(
        "pause", "lane", "research", *because, "--for", "2h"
    )
    assert "the fleet is killed by ada since" in said("kill", "fleet", *because)
    listed = said("pauses")
    assert "until" in listed and "`fleet resume lane research`" in listed
    resumed = said("resume", "fleet", "--catch-up", "--by", "ada")
    assert resumed.startswith("fleet goes on; 0 skipped tick(s) fire once")
    assert resumed.endswith('fleet replay --paused "fleet"')
    resumed = said("resume", "lane", "research", "--reason", "it is rebuilt", "--as", "ada")
    assert resumed.startswith("lane research goes on")
    assert resumed.endswith('fleet replay --paused "lane research"')
    assert said("pauses") == "nothing is paused"
    assert "no vendor “acme”; known are: anthropic" in said("kill", "vendor", "acme", *because, code=1)
    assert "lane draft is not paused" in said("resume", "lane", "draft", code=1)
    assert "is no duration; write 90s" in said("pause", "lane", "draft", *because, "--for", "soon", code=2)


def test_the_commands_say_what_stops_the_fleet_and_which_name_is_missing(
    api: str, ledger: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLEET_API_URL", api)
    with ledger.write() as connection:
        broken = {"scope": "lane", "name": "", "by": "?", "why": "?", "at": now(connection)}
        connection.execute(insert(tables.pause).values(**broken))

    assert run_here(app, ("pauses",)) == 0
    told = " ".join(capfd.readouterr().out.split())
    assert told.endswith("cannot be read: it names no lane; `fleet resume lane` removes it")
    assert run_here(app, ("resume", "lane")) == 0
    capfd.readouterr()
    assert run_here(app, ("kill", "lane", "--why", "it runs wild")) == 1
    assert "say which lane; known are: audit, " in capfd.readouterr().err
    assert not rows_of(ledger, tables.pause)


def test_what_is_held_is_not_told_as_stalled(fleet: SmallFleet) -> None:
    fleet.submit("fan")
    fleet.plan.run()
    (row,) = fleet.rows(tables.subtask, state="ready")
    age(fleet.ledger, tables.subtask, row.id, ready_at=3600.0)
    entry = fleet.catalog.ticks["stalled-work"]
    with fleet.ledger.read() as connection:
        assert [each.subjects for each in looks.stalled(connection, entry, now(connection))] == [(row.id,)]
    paused(fleet, Scope.LANE, "noop")
    with fleet.ledger.read() as connection:
        assert looks.stalled(connection, entry, now(connection)) == []
