"""A replay's face: what it would do, its refusals, how far it is, and what a person types for it."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from contracts.artifacts import digest_of
from contracts.catalog import Catalog
from contracts.failures import Code
from contracts.registry import contract
from contracts.workflows import ReplayClass, Workflow
from orchestrator import purses
from orchestrator.cancelling import request_cancel
from orchestrator.capping import set_cap
from orchestrator.cli.app import app
from orchestrator.cli.ending import MISUSED, run
from orchestrator.client import FleetClient, FleetError
from orchestrator.deciders.signing import signature
from orchestrator.deciders.spending import Period
from orchestrator.deciders.spending import Scope as Capped
from orchestrator.deciders.switches import Scope, called
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.ids import new_id
from orchestrator.pausing import Wish, hold, release
from tests.integration.ledgers import (
    Rows,
    counts,
    postgresql_ledger,
    problem_of,
    rows_of,
    services_over,
    serving,
)
from tests.integration.small_fleet import SmallFleet, fails, insert_rows
from tests.integration.test_effects import begun, falls_silent

ALL = {"selection": {"code": "refused"}, "requested_by": "carol"}
BECAUSE = {"reason": "the vendor is well again", "dry_run": False}


@pytest.fixture
def face(fleet: SmallFleet, tmp_path: Path) -> Iterator[str]:
    """The address of an API over the fleet's ledger and catalog."""
    with serving(services_over(fleet.ledger, fleet.catalog, tmp_path)) as address:
        yield address


@pytest.fixture
def http(face: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=face, timeout=60) as client:
        yield client


def failed(fleet: SmallFleet, **fields: Any) -> str:
    """A job that failed at its draft."""
    fleet.hands.will("draft", fails(Code.REFUSED, f"the vendor refused request {new_id()}"))
    job_id = fleet.submit("summary", **fields)
    fleet.run()
    assert fleet.job(job_id).state == "failed"
    return job_id


def test_a_preview_says_what_would_run_and_changes_nothing(fleet: SmallFleet, http: httpx2.Client) -> None:
    failed(fleet, documents=3)
    failed(fleet, documents=2, tenant="zeta")
    before = counts(fleet.ledger)

    answer = http.post("/v1/replays", json=ALL)

    assert answer.status_code == 200
    shown = answer.json()
    assert counts(fleet.ledger) == before
    assert (shown["jobs"], shown["letters"], shown["unfit"], shown["obstacles"]) == (2, 2, [], [])
    assert shown["tenants"] == [{"name": "acme", "jobs": 1}, {"name": "zeta", "jobs": 1}]
    assert shown["workflows"] == [{"name": "summary", "jobs": 2}]
    assert shown["lanes"] == [{"name": "draft", "jobs": 2}]
    assert {(step["step"], step["anew"], step["kept"]) for step in shown["steps"]} == {
        ("research", 0, 5),
        ("check-quotes", 0, 5),
        ("draft", 2, 0),
        ("publish", 2, 0),
    }
    classes = {step["step"]: step["replay_class"] for step in shown["steps"]}
    assert (classes["draft"], classes["publish"]) == ("read_only", "idempotent")
    expected = shown["expected"]
    assert expected["calls"] == 2  # the drafts; to publish asks no model
    assert min(expected["input_tokens"], expected["output_tokens"], expected["usd"]) > 0
    assert expected["unknown"] == []
    assert shown["sentence"].startswith("2 job(s) would be run again as new jobs: 4 subtask(s) made anew")


def test_a_step_or_an_edit_makes_more_anew_and_a_pace_takes_longer(
    fleet: SmallFleet, http: httpx2.Client
) -> None:
    failed(fleet, documents=3)

    def anew(**fields: Any) -> dict[str, int]:
        shown = http.post("/v1/replays", json={**ALL, **fields}).json()
        return {step["step"]: step["anew"] for step in shown["steps"]}

    assert anew(from_step="check-quotes") == {"research": 0, "check-quotes": 3, "draft": 1, "publish": 1}
    edit = [{"op": "replace", "path": "/question", "value": "And why?"}]
    assert anew(edit=edit) == {"research": 3, "check-quotes": 3, "draft": 1, "publish": 1}
    slow = http.post("/v1/replays", json={**ALL, "per_minute": 0.1}).json()["expected"]
    assert (slow["minutes"], slow["held_by"]) == (10.0, "its own pace of 0.1 jobs a minute")


def test_the_estimate_is_what_the_replay_then_takes(fleet: SmallFleet, http: httpx2.Client) -> None:
    """Requests exactly; tokens within the rounding of what was learned from equal answers."""
    for _ in range(3):
        failed(fleet, documents=2)
    expected = http.post("/v1/replays", json=ALL).json()["expected"]
    before = {row.id for row in fleet.rows(tables.attempt)}

    replay_id = http.post("/v1/replays", json=ALL | BECAUSE).json()["id"]
    fleet.run()

    made = [row for row in fleet.rows(tables.attempt) if row.id not in before and row.vendor]
    assert len(made) == expected["calls"] == 3
    assert sum(row.output_tokens for row in made) == expected["output_tokens"]
    assert http.get(f"/v1/replays/{replay_id}").json()["items"] == {"done": 3}


def test_a_pause_or_a_cap_that_would_hold_it_is_told_before_and_while_it_runs(
    fleet: SmallFleet, http: httpx2.Client, face: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    job_id = failed(fleet)
    model = fleet.catalog.lanes["draft"].model
    assert model is not None
    pause(fleet, Scope.LANE, "research")  # all of it is kept
    fleet.submit("summary", tenant="zeta")
    pause(fleet, Scope.TENANT, "zeta")
    pause(fleet, Scope.WORKFLOW, "brief")
    cap(fleet, Capped.LANE, "research", 0.0)
    cap(fleet, Capped.FLEET, "", 1000.0)
    assert http.post("/v1/replays", json=ALL).json()["obstacles"] == []

    def obstacles() -> list[str]:
        shown = http.post("/v1/replays", json=ALL).json()
        if shown["obstacles"]:
            assert f"but not while this holds: {shown['obstacles'][0]}" in shown["sentence"]
        return shown["obstacles"]  # type: ignore[no-any-return]

    held = {Scope.LANE: "draft", Scope.VENDOR: model.vendor, Scope.TENANT: "acme", Scope.WORKFLOW: "summary"}
    for scope, name in (held | {Scope.FLEET: ""}).items():
        pause(fleet, scope, name)
        (against,) = obstacles()
        assert against.startswith(f"{called(scope, name)} is paused by bob") and "`fleet resume" in against
        release(fleet.ledger, scope, name, "bob", "enough")
    capped = {Capped.LANE: "draft", Capped.TENANT: "acme", Capped.PURPOSE: "rework", Capped.FLEET: ""}
    for kind, name in capped.items():
        cap(fleet, kind, name, 0.0)
        (against,) = obstacles()
        assert "has spent $0.0" in against and "a call of lane draft may cost $0." in against
        cap(fleet, kind, name, None)

    cap(fleet, Capped.FLEET, "", 0.0)
    pause(fleet, Scope.LANE, "publish")
    assert len(obstacles()) == 2
    monkeypatch.setenv("FLEET_API_URL", face)
    assert run(app, ("replay", job_id)) == 0
    assert capsys.readouterr().out.count("in the way: ") == 2
    opened = http.post("/v1/replays", json=ALL | BECAUSE).json()
    assert opened["held"][0].startswith("lane publish is paused by bob"), "before it releases anything"
    fleet.run()
    paused, capped_by = http.get(f"/v1/replays/{opened['id']}").json()["held"]
    assert paused.startswith("lane publish is paused by bob")
    assert capped_by.startswith("1 subtask(s) are parked: the fleet has spent $")
    assert run(app, ("replay", "--show", opened["id"])) == 0
    assert capsys.readouterr().out.count("held now: ") == 2

    cap(fleet, Capped.FLEET, "", None)
    release(fleet.ledger, "lane", "publish", "bob", "enough")
    fleet.run()
    ended = http.get(f"/v1/replays/{opened['id']}").json()
    assert (ended["items"], ended["held"]) == ({"done": 1}, [])


def pause(fleet: SmallFleet, scope: Scope, name: str) -> None:
    hold(fleet.ledger, fleet.catalog, Wish(scope, name, "bob", "the index is rebuilt"))


def cap(fleet: SmallFleet, scope: Capped, name: str, limit_usd: float | None) -> None:
    set_cap(fleet.ledger, fleet.catalog, scope, name, Period.TOTAL, limit_usd, "bob", "the month is over")


def test_a_replay_is_opened_followed_and_told_both_ways(fleet: SmallFleet, http: httpx2.Client) -> None:
    first, second = failed(fleet), failed(fleet)
    fleet.hands.will("draft", fails(Code.REFUSED, "the vendor refused it still"))

    answer = http.post("/v1/replays", json=ALL | BECAUSE | {"most_open": 1})

    assert answer.status_code == 201
    opened = answer.json()
    assert answer.headers["location"] == f"/v1/replays/{opened['id']}"
    assert (opened["state"], opened["total"], opened["items"]) == ("running", 2, {"waiting": 2})
    assert opened["selection"] == {"code": "refused"}
    fleet.run()
    shown = http.get(f"/v1/replays/{opened['id'][:20]}").json()
    assert (shown["state"], shown["items"]) == ("done", {"done": 1, "failed": 1})
    assert [(group["code"], group["count"]) for group in shown["failures"]] == [("refused", 1)]
    items = http.get(f"/v1/replays/{opened['id']}/items", params={"limit": 1}).json()
    rest = http.get(f"/v1/replays/{opened['id']}/items", params={"cursor": items["next_cursor"]}).json()
    pairs = {each["job_id"]: each for each in items["items"] + rest["items"]}
    assert sorted(pairs) == sorted([first, second])
    new = pairs[first]["new_job_id"]
    kin = http.get(f"/v1/jobs/{first}/explain").json()["kin"]
    assert [(each["id"], each["relation"]) for each in kin] == [(new, "replayed_as")]

    again = http.post("/v1/replays", json=ALL | BECAUSE).json()
    fleet.run()
    assert again["total"] == 1
    assert again["again_of"] == [opened["id"]]
    assert http.get(f"/v1/replays/{opened['id']}").json()["again_in"] == [again["id"]]
    listed = http.get("/v1/replays").json()["items"]
    assert [line["id"] for line in listed] == [again["id"], opened["id"]]


def test_what_waits_is_taken_back_by_an_abort(fleet: SmallFleet, http: httpx2.Client) -> None:
    for _ in range(3):
        failed(fleet)
    replay_id = http.post("/v1/replays", json=ALL | BECAUSE | {"most_open": 1}).json()["id"]
    fleet.turn()
    assert http.post("/v1/replays", json=ALL).json()["jobs"] == 2  # one is taken up already
    (against,) = http.post("/v1/replays", json=ALL).json()["obstacles"]
    assert replay_id in against
    assert replay_id in problem_of(http.post("/v1/replays", json=ALL | BECAUSE), 409)

    aborted = http.post(f"/v1/replays/{replay_id[:12]}/abort", json={"by": "carol", "why": "not yet"}).json()

    assert (aborted["state"], aborted["items"]) == ("aborted", {"aborted": 2, "released": 1})
    fleet.run()
    shown = http.get(f"/v1/replays/{replay_id}").json()
    assert shown["items"] == {"aborted": 2, "done": 1}
    assert "carol" in problem_of(
        http.post(f"/v1/replays/{replay_id}/abort", json={"by": "carol", "why": "not yet"}), 409
    )


def test_the_time_that_is_left_is_no_less_than_its_own_pace_allows(
    fleet: SmallFleet, http: httpx2.Client
) -> None:
    for _ in range(5):
        failed(fleet)
    replay_id = http.post("/v1/replays", json=ALL | BECAUSE | {"per_minute": 2}).json()["id"]
    fleet.run()

    shown = http.get(f"/v1/replays/{replay_id}").json()

    assert shown["items"] == {"waiting": 3, "done": 2}
    assert shown["minutes_left"] >= 1.5


def test_an_unsafe_step_is_told_of_and_needs_another_person(fleet: SmallFleet, http: httpx2.Client) -> None:
    failed(fleet)
    summary = fleet.catalog.workflows["summary"]
    publish = summary.steps["publish"]
    assert publish.effect is not None
    unsafe = publish.effect.model_copy(update={"replay_class": ReplayClass.UNSAFE})
    steps = summary.steps | {"publish": publish.model_copy(update={"effect": unsafe})}
    with today(fleet, summary.model_copy(update={"steps": steps})):
        shown = http.post("/v1/replays", json=ALL).json()
        assert {step["step"]: step["replay_class"] for step in shown["steps"]}["publish"] == "unsafe"
        (against,) = shown["obstacles"]
        assert "does publish, which is unsafe to do twice" in against
        assert against == problem_of(http.post("/v1/replays", json=ALL | BECAUSE), 403)
        approved = ALL | {"approved_by": "dave"}
        assert http.post("/v1/replays", json=approved).json()["obstacles"] == []
        assert http.post("/v1/replays", json=approved | BECAUSE).json()["approved_by"] == "dave"


def test_a_person_is_told_of_the_approval_wherever_it_is_needed(
    fleet: SmallFleet, face: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unsafe step asks for one although its result would be kept."""
    monkeypatch.setenv("FLEET_API_URL", face)
    job_id, summary = failed(fleet), fleet.catalog.workflows["summary"]
    effect = summary.steps["publish"].effect
    assert effect is not None
    unsafe = effect.model_copy(update={"replay_class": ReplayClass.UNSAFE})
    research = summary.steps["research"].model_copy(update={"effect": unsafe})
    with today(fleet, summary.model_copy(update={"steps": summary.steps | {"research": research}})):
        assert run(app, ("replay", job_id)) == 0
    told = capsys.readouterr().out
    assert "in the way: workflow summary does research" in told
    assert told.rstrip().endswith('--yes --reason "…" --approve-as NAME')


def test_what_todays_catalog_does_not_fit_is_told_before_it_is_refused(
    fleet: SmallFleet, http: httpx2.Client
) -> None:
    """The contract of a result that would be kept has changed; made anew it fits."""
    job_id = failed(fleet, documents=2)
    lane = fleet.catalog.lanes["compute"]
    other = lane.operations["check-quotes"].model_copy(update={"output": "brief.CheckedClaims@2"})
    fleet.catalog.lanes["compute"] = lane.model_copy(
        update={"operations": lane.operations | {"check-quotes": other}}
    )
    try:
        (unfit,) = http.post("/v1/replays", json=ALL).json()["unfit"]
        anew = http.post("/v1/replays", json=ALL | {"from_step": "check-quotes"}).json()
    finally:
        fleet.catalog.lanes["compute"] = lane
    told = "check-quotes delivered a brief.CheckedClaims@1, and makes a brief.CheckedClaims@2 now"
    assert unfit == {"jobs": 1, "why": f"{told}; replay from step check-quotes", "example_id": job_id}
    assert (anew["unfit"], anew["jobs"]) == ([], 1)


def test_an_edit_is_tried_on_each_job_before_anything_is_opened(
    fleet: SmallFleet, http: httpx2.Client
) -> None:
    """And what the preview says of it is what the replay then does."""
    one, three = failed(fleet), failed(fleet, documents=3)

    def shown(*edit: dict[str, Any]) -> tuple[list[Any], dict[str, int], int]:
        read = http.post("/v1/replays", json=ALL | {"edit": edit}).json()
        return read["unfit"], {step["step"]: step["anew"] for step in read["steps"]}, read["jobs"]

    nowhere, short = {"op": "remove", "path": "/documents/1"}, {"op": "replace", "path": "/question"}
    (unfit,), anew, jobs = shown(nowhere)
    assert (unfit["jobs"], unfit["example_id"], jobs) == (1, one, 2)
    assert unfit["why"].startswith("the edit does not fit its inputs: can't remove a non-existent object")
    assert anew == {"research": 1, "check-quotes": 1, "draft": 1, "publish": 1}, "of the other job only"
    (unfit,), anew, jobs = shown(short | {"value": "Why?"})
    assert (unfit["jobs"], unfit["example_id"], anew, jobs) == (2, one, {}, 2)
    assert unfit["why"].startswith("its inputs are no brief.Inputs@1: inputs.question: ")
    missing = {"digest": digest_of(b"nobody ever uploaded this"), "size_bytes": 1, "media_type": "text/plain"}
    (unfit,), anew, _ = shown({"op": "replace", "path": "/documents/0/artifact", "value": missing})
    assert (unfit["jobs"], anew) == (2, {}) and "was uploaded" in unfit["why"]

    opened = http.post("/v1/replays", json=ALL | BECAUSE | {"edit": [nowhere]}).json()
    fleet.run()
    followed = http.get(f"/v1/replays/{opened['id']}").json()
    assert followed["items"] == {"done": 1, "refused": 1}
    assert [each["example_id"] for each in followed["refused"]] == [one]
    (again,) = fleet.rows(tables.job, replay_id=opened["id"])
    assert again.replay_of == three
    kept = {row.name for row in fleet.rows(tables.subtask, job_id=again.id) if row.kept_from}
    assert kept == {"research[1]", "check-quotes[1]"}, "the other document took the place of the one removed"


def test_inputs_that_todays_contract_refuses_are_named(fleet: SmallFleet, http: httpx2.Client) -> None:
    job_id = failed(fleet, documents=2)
    failed(fleet)
    with fleet.ledger.write() as connection:  # as a contract of before took it
        inputs = fleet.job(job_id).inputs | {"question": "Why?"}
        connection.execute(update(tables.job).where(tables.job.c.id == job_id).values(inputs=inputs))

    shown = http.post("/v1/replays", json=ALL).json()

    (unfit,) = shown["unfit"]
    assert (unfit["jobs"], unfit["example_id"], shown["inputs_read"]) == (1, job_id, 2)
    told = "its inputs are not compatible with today's brief.Inputs@1: inputs.question: "
    assert unfit["why"].startswith(told)
    assert {step["step"]: step["kept"] for step in shown["steps"]}["research"] == 1, "of the other job"
    opened = http.post("/v1/replays", json=ALL | BECAUSE).json()
    fleet.run()
    (refused,) = http.get(f"/v1/replays/{opened['id']}").json()["refused"]
    assert (refused["example_id"], refused["why"]) == (job_id, unfit["why"])


def test_a_second_replay_by_id_is_told_of_the_first_and_goes_on_only_when_told(
    fleet: SmallFleet, http: httpx2.Client
) -> None:
    job_id = failed(fleet)
    named = ALL | {"selection": {"ids": [job_id]}}
    fleet.hands.will("draft", fails(Code.REFUSED, "the vendor refused it still"))
    made = []
    for earlier in range(2):  # the first ends unwell, so the second needs no word
        shown = http.post("/v1/replays", json=named).json()
        assert (len(shown["earlier"]), shown["obstacles"]) == (earlier, [])
        made.append(http.post("/v1/replays", json=named | BECAUSE).json()["id"])
        fleet.run()
    jobs = [fleet.row(tables.job, replay_id=each).id for each in made]

    shown = http.post("/v1/replays", json=named).json()

    told = [
        (each["job_id"], each["replay_id"], each["new_job_id"], each["state"]) for each in shown["earlier"]
    ]
    assert told == [(job_id, made[1], jobs[1], "done"), (job_id, made[0], jobs[0], "failed")]
    assert shown["earlier"][0]["at"] > shown["earlier"][1]["at"]
    (against,) = shown["obstacles"]
    assert f"replay {made[1]} made job {jobs[1]} of it, which is done" in against
    before = counts(fleet.ledger)
    assert problem_of(http.post("/v1/replays", json=named | BECAUSE), 409) == against
    # Nor may the failed one in between be done again unasked: it is the same work.
    between = ALL | {"selection": {"ids": [jobs[0]]}}
    assert jobs[1] in problem_of(http.post("/v1/replays", json=between | BECAUSE), 409)
    assert counts(fleet.ledger) == before
    again = http.post("/v1/replays", json=named | BECAUSE | {"again": True})
    assert again.status_code == 201


def test_while_a_replay_runs_no_other_job_of_its_chain_is_replayed_unasked(
    fleet: SmallFleet, http: httpx2.Client
) -> None:
    job_id = failed(fleet)
    fleet.hands.will("draft", fails(Code.REFUSED))
    for each in (job_id, None):
        selection = {"ids": [each or fleet.row(tables.job, replay_of=job_id).id]}
        assert http.post("/v1/replays", json=ALL | BECAUSE | {"selection": selection}).status_code == 201
        fleet.run() if each else fleet.turn()
    named = ALL | {"selection": {"ids": [job_id]}}
    assert "by another job of their chain" in problem_of(http.post("/v1/replays", json=named | BECAUSE), 409)
    assert [each["state"] for each in http.post("/v1/replays", json=named).json()["earlier"]] == [
        "running",
        "failed",
    ]


def test_a_person_settles_an_effect_of_which_nobody_knows(
    fleet: SmallFleet, face: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id, claim = begun(fleet)
    request_cancel(fleet.ledger, job_id, "bob")
    falls_silent(fleet, claim)
    key = fleet.row(tables.effect).key
    monkeypatch.setenv("FLEET_API_URL", face)
    looked = ("effect", "settle", key, "--not-applied", "--reason", "there is no such page", "--as", "olga")
    assert run(app, looked) == 0
    told = f"the effect on scratch:{job_id} counts as not applied, and a replay applies it"
    assert told in capsys.readouterr().out
    assert fleet.row(tables.event, kind="effect_settled").actor == "olga"
    assert run(app, looked) != 0
    assert "was begun; give the whole key" in capsys.readouterr().err


def test_of_a_job_and_its_own_replay_only_the_latest_is_taken(
    fleet: SmallFleet, http: httpx2.Client, face: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    first = failed(fleet)
    fleet.hands.will("draft", fails(Code.REFUSED))
    http.post("/v1/replays", json=ALL | BECAUSE)
    fleet.run()
    second = fleet.row(tables.job, replay_of=first).id
    both = ALL | {"selection": {"ids": [first, second]}}
    (unfit,) = http.post("/v1/replays", json=both).json()["unfit"]
    assert unfit == {"jobs": 1, "example_id": first, "why": f"job {second} of the same chain of replays is "
        "selected, too, and only the latest of a chain is taken"}  # fmt: skip
    monkeypatch.setenv("FLEET_API_URL", face)
    assert run(app, ("replay", first, second)) == 0
    assert f"refused one by one: 1 job(s) such as {first}, since job {second}" in capsys.readouterr().out

    replay_id = http.post("/v1/replays", json=both | BECAUSE).json()["id"]
    fleet.run()

    read = http.get(f"/v1/replays/{replay_id}").json()
    assert (read["items"], read["refused"]) == ({"done": 1, "refused": 1}, [unfit])
    assert [job.replay_of for job in fleet.rows(tables.job, replay_id=replay_id)] == [second]
    assert run(app, ("replay", first)) == 0
    told = capsys.readouterr().out
    assert f"replayed before: {first} in replay {replay_id}" in told and "in the way:" in told
    assert run(app, ("replay", first, "--again", "--yes", "--reason", "it was lost")) == 0


@contextmanager
def today(fleet: SmallFleet, workflow: Workflow) -> Iterator[None]:
    """Another version of this workflow stands in the catalog meanwhile."""
    before = fleet.catalog.workflows[workflow.workflow]
    fleet.catalog.workflows[workflow.workflow] = workflow
    try:
        yield
    finally:
        fleet.catalog.workflows[workflow.workflow] = before


def test_every_refusal_is_a_sentence_and_changes_nothing(fleet: SmallFleet, http: httpx2.Client) -> None:
    job_id = failed(fleet)
    before = counts(fleet.ledger)
    refused: list[tuple[dict[str, Any], int, str]] = [
        ({"selection": {}, "requested_by": "carol"}, 422, "empty selection"),
        ({"selection": {"ids": [job_id], "lane": "draft"}, "requested_by": "carol"}, 422, "one of the three"),
        ({**ALL, "dry_run": False}, 422, "reason"),
        ({**ALL, **BECAUSE, "from_step": "nowhere"}, 422, "no step “nowhere”"),
        ({**ALL, "edit": [{"op": "hop", "path": "/question"}]}, 422, "no JSON Patch"),
        ({**ALL, "edit": [{"op": "add", "path": "/question"}]}, 422, "has no “value”"),
        ({**ALL, "edit": [{"op": "move", "from": "x", "path": "/question"}]}, 422, "no JSON Patch"),
        ({**ALL, "approved_by": "Carol"}, 403, "cannot approve"),
        ({**ALL, "requested_by": " "}, 422, "name who asks"),
        ({**ALL, "selection": {"ids": [new_id()]}}, 404, "no job or subtask"),
        ({**ALL, "selection": {"ids": ["01ARZ3"]}}, 404, "no job and no subtask"),
        ({**ALL, "selection": {"signature": "0123456789"}}, 404, "no dead letter"),
        ({**ALL, **BECAUSE, "selection": {"tenant": "nobody"}}, 422, "finds no ended job"),
        ({**ALL, "hurry": True}, 422, "hurry"),
    ]
    for body, status, sentence in refused:
        assert sentence in problem_of(http.post("/v1/replays", json=body), status), body
    problem_of(http.get(f"/v1/replays/{new_id()}"), 404)
    problem_of(http.post(f"/v1/replays/{new_id()}/abort", json={"by": "carol", "why": "not yet"}), 404)
    assert "why" in problem_of(http.post(f"/v1/replays/{new_id()}/abort", json={"by": "carol"}), 422)
    assert counts(fleet.ledger) == before
    empty = http.post("/v1/replays", json={**ALL, "selection": {"tenant": "nobody"}}).json()
    assert (empty["jobs"], empty["steps"], empty["expected"]["minutes"]) == (0, [], 0.0)


def test_the_client_speaks_it_all(fleet: SmallFleet, face: str) -> None:
    job_id = failed(fleet)
    with FleetClient(face) as client:
        assert client.preview_replay({"selection": {"ids": [job_id]}, "requested_by": "carol"}).jobs == 1
        opened = client.open_replay({**ALL, **BECAUSE})
        assert client.replays().items[0].id == client.replay(opened.id).id == opened.id
        assert client.replay_items(opened.id, state="waiting").items[0].job_id == job_id
        assert client.abort_replay(opened.id, "carol", "not yet").state == "aborted"
        with pytest.raises(FleetError, match="is aborted already"):
            client.abort_replay(opened.id, "carol", "not yet")


MANY = 2_000


@pytest.fixture(params=["sqlite", "postgresql"])
def own_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A ledger that is thrown away as a whole: to delete so much row by row takes a minute on PostgreSQL."""
    if request.param == "postgresql":
        with postgresql_ledger() as opened:
            yield opened
        return
    path = tmp_path / "many.sqlite3"
    shutil.copy(request.getfixturevalue("migrated_file"), path)
    opened = Ledger(f"sqlite:///{path}")
    yield opened
    opened.close()


def test_thousands_of_letters_are_previewed_and_it_tells_how_long_that_took(
    own_ledger: Ledger, catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger, rows = own_ledger, Rows(own_ledger, catalog)
    with ledger.write() as connection:
        purses.seed(connection, rows.catalog, rows.at)
    signed = _many_failed(rows)
    asked = {"selection": {"signature": signed}, "requested_by": "carol"}
    with (
        serving(services_over(ledger, rows.catalog, tmp_path)) as address,
        httpx2.Client(base_url=address, timeout=60) as http,
    ):
        began = time.monotonic()
        shown = http.post("/v1/replays", json=asked).json()
        first = time.monotonic() - began
        opened = http.post("/v1/replays", json=asked | BECAUSE).json()
        began = time.monotonic()
        (against,) = http.post("/v1/replays", json=asked).json()["obstacles"]
        second = time.monotonic() - began
    with capsys.disabled():
        kind = "SQLite" if ledger.is_sqlite else "PostgreSQL"
        told = f"previewed in {first:.2f} s, and in {second:.2f} s while a replay held them"
        print(f"\n{MANY} dead letters on {kind} were {told}")  # noqa: T201

    assert (shown["jobs"], shown["letters"], opened["total"]) == (MANY, MANY, MANY)
    assert {step["step"]: (step["anew"], step["kept"]) for step in shown["steps"]} == {
        "research": (0, 3 * MANY),
        "check-quotes": (0, 3 * MANY),
        "draft": (MANY, 0),
        "publish": (MANY, 0),
    }
    assert shown["expected"]["calls"] == MANY
    assert shown["expected"]["minutes"] > 1
    assert opened["id"] in against


MAKES = {"research": "brief.Claims@1", "check-quotes": "brief.CheckedClaims@1"}


def _many_failed(rows: Rows) -> str:
    """So many jobs that failed at their draft; the signature of their letters."""
    signed = signature("deterministic", "refused", "draft", "openai", "many")
    kept = {"digest": digest_of(b"something"), "size_bytes": 9, "media_type": "text/plain"}
    documents = [{"name": f"document-{number}", "artifact": kept} for number in range(3)]
    given = {"question": "What stands in the documents?", "documents": documents}
    inputs = contract("brief.Inputs@1").model_validate(given).model_dump(mode="json")
    template = rows.job("summary", state="failed", ended_at=rows.at, inputs=inputs)
    (job,) = (row._asdict() for row in rows_of(rows.ledger, tables.job) if row.id == template)
    parts = [("research", item, "done") for item in range(3)]
    parts += [("check-quotes", item, "done") for item in range(3)]
    parts += [("draft", 0, "dead"), ("publish", 0, "cancelled")]
    made: dict[str, list[dict[str, Any]]] = {"job": [], "subtask": [], "letter": []}
    for _ in range(MANY):
        job_id = new_id()
        of = {"job_id": job_id, "tenant": "acme"}
        made["job"].append(job | {"id": job_id})
        for step, item, state in parts:
            own = {"id": new_id(), "step": step, "item": item, "name": step, "lane": step, "state": state}
            same = {"round": 1, "purpose": "feature", "priority": 1, "reserve_input_tokens": 100}
            same |= {
                "summary": {"contract": MAKES[step], "text": "", "output": kept} if state == "done" else None
            }
            made["subtask"].append(of | own | same | {"created_at": rows.at, "ended_at": rows.at})
            if state == "dead":
                kind = {"lane": "draft", "category": "deterministic", "code": "refused", "vendor": "openai"}
                said = {"sentence": "many", "normalised": "many", "signature": signed, "at": rows.at}
                made["letter"].append(of | kind | said | {"subtask_id": own["id"]})
    insert_rows(rows.ledger, tables.job, *made["job"])
    insert_rows(rows.ledger, tables.subtask, *made["subtask"])
    insert_rows(rows.ledger, tables.dead_letter, *made["letter"])
    return signed


def test_what_a_person_types(
    fleet: SmallFleet,
    face: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FLEET_API_URL", face)
    job_id = failed(fleet)

    def said(*arguments: str) -> str:
        assert run(app, ("replay", *arguments)) == 0
        return capsys.readouterr().out

    def refused(*arguments: str) -> str:
        assert run(app, ("replay", *arguments)) != 0
        told = capsys.readouterr()
        assert (told.out, told.err.count("\n")) == ("", 1)
        return told.err

    assert "no replays" in said()
    assert "1 job(s) would be run again" in said("--code", "refused", "--since", "2h")
    nothing = said("--code", "refused", "--until", "2h")
    assert "no ended job" in nothing and "`fleet dead list` shows what waits for one" in nothing
    assert json.loads(said(job_id[:20], "--json"))["jobs"] == 1
    assert said(job_id).rstrip().endswith('nothing was done; to do it, add: --yes --reason "…"')
    assert "at least one of the filters" in refused("--yes", "--reason", "because")
    assert "always has a reason" in refused(job_id, "--yes")
    assert "neither so long ago" in refused("--lane", "draft", "--since", "yesterday")
    assert "neither so long ago" in refused("--lane", "draft", "--since", "9999999999999d")
    assert "“nan” is no number" in refused(job_id, "--rate", "nan")
    assert "is not JSON" in refused(job_id, "--edit", "[")
    assert "cannot be read" in refused(job_id, "--edit", str(tmp_path / "nothing.json"))
    assert "is no JSON Patch" in refused(job_id, "--edit", '[{"op": "hop"}]')
    patch = tmp_path / "patch.json"
    patch.write_text('[{"op": "replace", "path": "/question", "value": "And why?"}]')
    asked = (job_id, "--edit", str(patch), "--yes", "--reason", "asked better", "--rate", "30", "--json")
    opened = json.loads(said(*asked))
    assert (opened["edit"][0]["value"], opened["per_minute"]) == ("And why?", 30.0)
    assert opened["id"] in said()
    fleet.run()
    shown = said("--show", opened["id"][:20], "--watch")
    assert "asked better" in shown
    assert "1: 1 done" in shown
    unfit = json.dumps([{"op": "remove", "path": "/question"}])
    (again,) = fleet.rows(tables.job, replay_id=opened["id"])
    slip = ("--edit", unfit, "--yes", "--reason", "a slip", "--json")
    assert f"what it applied to scratch:{job_id} stands" in said(again.id)
    opened_in_vain = json.loads(said(again.id, "--again", *slip))
    fleet.run()
    assert run(app, ("replay", "--show", opened_in_vain["id"], "--watch")) == 1  # not all of it is done
    told = capsys.readouterr().out
    assert f"refused: 1 job(s) such as {again.id}, since its inputs are no brief.Inputs@1" in told
    latest = said("--limit", "1")
    assert opened_in_vain["id"] in latest and opened["id"] not in latest
    assert opened["id"] in said(*latest.split("more: fleet replay ")[1].split())
    assert run(app, ("jobs", "--state", "failed", "--json")) == 0
    (line,) = json.loads(capsys.readouterr().out)["items"]
    assert (line["id"], line["replayed_as"]) == (job_id, {"job_id": again.id, "state": "done"})
    assert run(app, ("jobs",)) == 0
    assert "replayed as" in capsys.readouterr().out
    assert "say why it is aborted" in refused("--abort", opened["id"])
    assert "is done already" in refused("--abort", opened["id"], "--reason", "too late")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("--from", "draft", "--edit", "p.json"), "goes without --edit and --from"),
        (("--rate", "3", "--cancel"), "goes without --rate and --cancel"),
        (("SOME", "--yes", "--cancel"), "a replay by ids or filters goes without --cancel"),
        (("--lane", "draft", "--watch"), "a replay by ids or filters goes without --watch"),
        (("--lane", "draft", "--cursor", "x"), "a replay by ids or filters goes without --cursor"),
        (("SOME", "--limit", "3"), "a replay by ids or filters goes without --limit"),
        (("--show", "SOME", "--yes"), "--show REPLAY goes without --yes"),
        (("SOME", "--show", "SOME"), "--show REPLAY goes without ID"),
        (("--abort", "SOME", "--reason", "why", "--show", "SOME"), "--abort REPLAY goes without --show"),
        (("--abort", "SOME", "--reason", "why", "--lane", "draft"), "--abort REPLAY goes without --lane"),
    ],
)
def test_options_that_mean_nothing_together_are_refused(
    typed: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(app, ("replay", *typed)) == MISUSED
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert told in said.err
