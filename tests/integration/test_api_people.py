"""What people do through the API: answer, discard, take note and cancel, each under its rules."""

import httpx2
import pytest

from contracts.artifacts import digest_of
from orchestrator.cli.app import app
from orchestrator.cli.ending import run
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.ids import new_id
from tests.integration.ledgers import Rows, counts, problem_of, report, rows_of, summary


@pytest.fixture
def asked(rows: Rows) -> str:
    """An approval that waits."""
    job_id = rows.job(state="awaiting_approval")
    return rows.approval(job_id, rows.subtask(job_id, "approval", "parked", lane=None))


def test_the_inbox_shows_what_waits_with_its_packet(http: httpx2.Client, rows: Rows, asked: str) -> None:
    other = rows.job()
    rows.approval(other, rows.subtask(other, "approval", "done", lane=None), state="lapsed")

    assert [line["id"] for line in http.get("/v1/approvals").json()["items"]] == [asked]
    assert len(http.get("/v1/approvals", params={"state": "all"}).json()["items"]) == 2
    shown = http.get(f"/v1/approvals/{asked}").json()
    assert (shown["requested_by"], shown["packet"]["recommendation"]) == ("alice", "approve")


@pytest.mark.parametrize(
    ("decision", "state"), [("approve", "approved"), ("reject", "rejected"), ("revise", "revise")]
)
def test_another_person_answers_and_nothing_moves_yet(
    http: httpx2.Client, ledger: Ledger, asked: str, decision: str, state: str
) -> None:
    body = {"decision": decision, "by": "bob", "comment": "as seen", "digest": digest_of(b"the page")}

    answer = http.post(f"/v1/approvals/{asked}/answer", json=body)

    assert (answer.status_code, answer.json()["state"], answer.json()["answered_by"]) == (200, state, "bob")
    (told,) = rows_of(ledger, tables.event)
    assert (told.kind, told.actor, told.new) == ("approval_answered", "bob", state)
    (gate,) = rows_of(ledger, tables.gate_event)
    assert (gate.gate, gate.actor, gate.result) == ("approval", "bob", "allowed")
    assert [row.state for row in rows_of(ledger, tables.subtask)] == ["parked"]
    problem_of(http.post(f"/v1/approvals/{asked}/answer", json=body), 409)


@pytest.mark.parametrize("by", ["alice", " Alice "])
def test_who_asked_cannot_answer_and_the_try_is_recorded(
    http: httpx2.Client, ledger: Ledger, asked: str, by: str
) -> None:
    answer = http.post(f"/v1/approvals/{asked}/answer", json={"decision": "approve", "by": by})

    assert "cannot answer" in problem_of(answer, 403)
    (gate,) = rows_of(ledger, tables.gate_event)
    assert (gate.actor, gate.result) == (by.strip(), "refused")
    assert [row.state for row in rows_of(ledger, tables.approval)] == ["waiting"]
    assert counts(ledger)["event"] == 0


def test_bad_answers_change_nothing(http: httpx2.Client, ledger: Ledger, rows: Rows, asked: str) -> None:
    job_id = rows.job()
    late = rows.approval(job_id, rows.subtask(job_id, "approval", "parked"), expires_at=rows.at - 1)
    before = counts(ledger), rows_of(ledger, tables.approval)
    approve = {"decision": "approve", "by": "bob"}

    for approval_id, body, status, named in (
        (asked, approve | {"digest": digest_of(b"another page")}, 409, "digest"),
        (asked, approve | {"decision": "revise"}, 422, "comment"),
        (asked, approve | {"decision": "revise", "comment": "  "}, 422, "comment"),
        (asked, approve | {"decision": "maybe"}, 422, "decision"),
        (asked, approve | {"by": "  "}, 422, "by"),
        (asked, {"decision": "approve"}, 422, "by"),
        (asked, approve | {"force": True}, 422, "force"),
        (late, approve, 409, "lapsed"),
        (new_id(), approve, 404, "no approval"),
    ):
        answer = http.post(f"/v1/approvals/{approval_id}/answer", json=body)
        assert named in problem_of(answer, status)

    assert (counts(ledger), rows_of(ledger, tables.approval)) == before


def test_cancelling_is_a_wish_that_is_written_once(http: httpx2.Client, ledger: Ledger, rows: Rows) -> None:
    job_id, ended = rows.job(), rows.job(state="done", ended_at=rows.at)

    for _ in range(2):
        answer = http.post(f"/v1/jobs/{job_id}/cancel", json={"by": "bob"})
        assert (answer.status_code, answer.json()["cancel_requested_by"]) == (202, "bob")

    assert [told.kind for told in rows_of(ledger, tables.event)] == ["cancel_requested"]
    before = counts(ledger)
    assert "ended" in problem_of(http.post(f"/v1/jobs/{ended}/cancel", json={"by": "bob"}), 409)
    problem_of(http.post(f"/v1/jobs/{new_id()}/cancel", json={"by": "bob"}), 404)
    problem_of(http.post(f"/v1/jobs/{job_id}/cancel", json={}), 422)
    assert counts(ledger) == before


def test_a_dead_letter_is_shown_whole(http: httpx2.Client, rows: Rows) -> None:
    origin = rows.job(state="failed", ended_at=rows.at)
    job_id = rows.job(state="failed", origin=origin, ended_at=rows.at)
    handoff = {"subproblem": "write the page"}
    done = {"ended_at": rows.at}
    first = rows.subtask(job_id, "draft", "done", summary=summary("first draft"), **done)
    rows.subtask(job_id, "review", "done", summary=summary("objects"), **done)
    dead = rows.subtask(job_id, "draft", "dead", round=2, handoff=handoff, **done)
    failure = {"kind": "failed", "failure": {"code": "refused", "sentence": "it refused"}}
    rows.attempt(job_id, dead, number=1, report=report("x") | {"outcome": failure}, category="deterministic")
    rows.attempt(job_id, dead, number=2, state="lost", category="crash", code="crashed")
    rows.dead_letter(job_id, dead)

    shown = http.get(f"/v1/dead-letters/{dead}").json()

    assert (shown["handoff"], shown["sentence"]) == (handoff, "the vendor refused the request")
    assert [attempt["sentence"] for attempt in shown["attempts"]] == ["it refused", ""]
    assert shown["attempts"][0]["request"]["digest"] == report("x")["call"]["request"]["digest"]
    assert shown["attempts"][1]["category"] == "crash"
    assert [(line["round"], line["subtask"]) for line in shown["exchange"]] == [
        (1, "draft"),
        (1, "review"),
        (2, "draft#2"),
    ]
    assert shown["kin"][0] | {"reason": ""} == {
        "id": origin,
        "workflow": "brief",
        "state": "failed",
        "reason": "",
        "relation": "origin",
    }
    assert "no dead letter" in problem_of(http.get(f"/v1/dead-letters/{first}"), 404)


def test_dead_letters_are_grouped_paged_and_discarded(
    http: httpx2.Client, ledger: Ledger, rows: Rows
) -> None:
    job_id = rows.job(state="failed", ended_at=rows.at)
    dead = [rows.subtask(job_id, "draft", "dead", item=item, ended_at=rows.at) for item in range(3)]
    for age, subtask_id in enumerate(dead):
        rows.dead_letter(job_id, subtask_id, at=rows.at - age)
    cut = rows.subtask(job_id, "review", "dead", ended_at=rows.at)
    rows.dead_letter(job_id, cut, lane="review", category="output", code="cut", at=rows.at - 90)

    groups = http.get("/v1/dead-letters/groups").json()["items"]
    assert [(group["lane"], group["code"], group["count"]) for group in groups] == [
        ("draft", "refused", 3),
        ("review", "cut", 1),
    ]
    first = http.get("/v1/dead-letters", params={"limit": 3}).json()
    assert [line["subtask_id"] for line in first["items"]] == dead
    rest = http.get("/v1/dead-letters", params={"cursor": first["next_cursor"]}).json()
    assert [line["subtask_id"] for line in rest["items"]] == [cut]

    assert "why" in problem_of(
        http.post(f"/v1/dead-letters/{cut}/discard", json={"by": "bob", "why": " "}), 422
    )
    body = {"by": "bob", "why": "the page is gone"}
    assert http.post(f"/v1/dead-letters/{cut}/discard", json=body).json()["discarded_by"] == "bob"
    problem_of(http.post(f"/v1/dead-letters/{cut}/discard", json=body), 409)
    problem_of(http.post(f"/v1/dead-letters/{new_id()}/discard", json=body), 404)
    assert len(http.get("/v1/dead-letters", params={"lane": "review"}).json()["items"]) == 0
    assert len(http.get("/v1/dead-letters", params={"discarded": "all"}).json()["items"]) == 4
    assert len(rows_of(ledger, tables.dead_letter)) == 4


def test_escalations_are_listed_in_pages(
    api: str, rows: Rows, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLEET_API_URL", api)
    for number in range(3):
        call = {"id": new_id(), "route": "log", "drill": False, "sentence": f"call {number}"}
        rows.insert(tables.escalation, call | {"opened_at": rows.at})
    assert run(app, ("drill", "list", "--open", "--limit", "2")) == 0
    first = capsys.readouterr().out
    assert "call 1" in first and "call 0" not in first
    assert "more: fleet drill list --open --cursor " in first
    assert run(app, first.split("more: fleet ")[1].split()) == 0
    rest = capsys.readouterr().out
    assert "call 0" in rest and "call 1" not in rest and "more:" not in rest


def test_the_next_page_is_one_of_the_list_that_was_asked_for(
    api: str, rows: Rows, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever it was narrowed by."""

    def said(*typed: str) -> str:
        assert run(app, typed) == 0
        return capsys.readouterr().out

    monkeypatch.setenv("FLEET_API_URL", api)
    jobs = {}
    for name, tenant, state in (
        ("first", "zenith", "lapsed"),
        ("other", "acme", "waiting"),
        ("second", "zenith", "lapsed"),
    ):
        jobs[name] = rows.job(tenant=tenant, workflow="summary", state="failed")
        asks = rows.subtask(jobs[name], "approval", "dead", lane=None)
        rows.approval(jobs[name], asks, tenant=tenant, state=state)
    for typed in (
        ("approvals", "list", "--state", "lapsed"),
        ("jobs", "--state", "failed", "--tenant", "zenith"),
    ):
        page = said(*typed, "--limit", "1")
        rest = said(*page.split("more: fleet ")[1].split())
        assert {name for name, job_id in jobs.items() if job_id in page + rest} == {"first", "second"}
        assert jobs["first"] not in page or jobs["first"] not in rest
        assert "more:" not in rest


def test_a_drill_is_begun_by_its_name(
    api: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the job that the clock makes of it."""
    monkeypatch.setenv("FLEET_API_URL", api)
    assert run(app, ("drill", "escalation", "--as", "grace")) == 0
    (job,) = rows_of(ledger, tables.job)
    assert f"drill escalation is under way as job {job.id}" in capsys.readouterr().out
    told = (job.workflow, job.purpose, job.tenant, job.requested_by, job.state)
    assert told == ("escalation-drill", "maintenance", "fleet", "grace", "accepted")
    assert run(app, ("drill", "fire")) == 1
    assert capsys.readouterr().err == "fleet: there is no drill “fire”; known are: escalation\n"
    assert run(app, ("drill", "list")) == 0
    assert capsys.readouterr().out == "no escalation yet\n"


def test_an_escalation_is_acknowledged_once(http: httpx2.Client, ledger: Ledger, rows: Rows) -> None:
    call = {"id": new_id(), "route": "log", "drill": True, "sentence": "a drill", "opened_at": rows.at}
    rows.insert(tables.escalation, call)
    path = f"/v1/escalations/{call['id']}/acknowledge"

    assert len(http.get("/v1/escalations", params={"open": True}).json()["items"]) == 1
    assert http.post(path, json={"by": "bob"}).json()["acknowledged_by"] == "bob"
    assert "already" in problem_of(http.post(path, json={"by": "bob"}), 409)
    problem_of(http.post(f"/v1/escalations/{new_id()}/acknowledge", json={"by": "bob"}), 404)
    assert http.get("/v1/escalations", params={"open": True}).json()["items"] == []
    assert [told.kind for told in rows_of(ledger, tables.event)] == ["acknowledged"]
