"""Blockers as people see them: over HTTP, by `fleet blockers` and in `fleet explain`."""

import json

import httpx2
import pytest

from contracts.artifacts import digest_of
from contracts.failures import Code
from contracts.handoffs import Assignment, Handoff, Tried
from contracts.purposes import Purpose
from orchestrator.cli.app import app
from orchestrator.cli.ending import run as run_here
from orchestrator.ledger import tables
from orchestrator.ledger.ids import new_id
from tests.integration.ledgers import Rows


@pytest.fixture
def missing(rows: Rows) -> str:
    """A blocker for which two jobs wait, with three subtasks, and one that stands no more; the first job."""
    first, second, supplier = rows.job(), rows.job(), rows.job("summary", state="running")
    given = {"tenant": "acme", "prerequisite": "address", "job_id": first, "supply_job_id": supplier}
    stands = {"id": new_id(), "subject": "prospects", "opened_at": rows.at - 90}
    rows.insert(tables.blocker, given | stands)
    over = {"resolved_at": rows.at - 100, "resolution": f"job {supplier} supplied it"}
    rows.insert(tables.blocker, given | over | {"id": new_id(), "subject": "old", "opened_at": rows.at - 500})
    for job_id, step, item in ((first, "draft", 0), (first, "draft", 1), (second, "draft", 0)):
        rows.subtask(job_id, step, "parked", item=item, blocked_by=stands["id"], why="it lacks something")
    rows.subtask(second, "review", "done", blocked_by=stands["id"], ended_at=rows.at)
    return first


def test_what_is_missing_is_listed_with_who_waits(http: httpx2.Client, missing: str) -> None:
    (stands,) = http.get("/v1/blockers").json()["items"]
    supplier = stands["supply_job_id"]
    assert (stands["waiting"], stands["jobs"], stands["job_id"]) == (3, 2, missing)
    assert stands["sentence"] == (
        "3 subtask(s) of 2 job(s) wait for the address of prospects, "
        f"which job {supplier} (summary, running) supplies"
    )
    everything = http.get("/v1/blockers", params={"all": True}).json()["items"]
    assert [each["resolution"] for each in everything if each["resolved_at"]] == [
        f"job {supplier} supplied it"
    ]
    told = http.get(f"/v1/jobs/{missing}/explain").json()
    assert {wait["waits_for"] for wait in told["waits"]} == {
        f"the address of prospects, which job {supplier} (summary, running) supplies"
    }


def test_the_command_lists_them(
    api: str, missing: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLEET_API_URL", api)
    assert run_here(app, ("blockers",)) == 0
    said = capfd.readouterr().out
    assert "address" in said and "prospects" in said and "running" in said and "old" not in said
    assert "more:" not in said
    assert run_here(app, ("blockers", "--all", "--limit", "1")) == 0
    first = capfd.readouterr().out
    assert "old" not in first and "more: fleet blockers --all --cursor " in first
    assert run_here(app, first.split("more: fleet ")[1].split()) == 0
    rest = capfd.readouterr().out
    assert "old" in rest and "more:" not in rest
    assert run_here(app, ("blockers", "--all", "--json")) == 0
    assert {each["subject"] for each in json.loads(capfd.readouterr().out)["items"]} == {"prospects", "old"}


def test_explain_tells_of_a_subtask_what_was_tried_and_how(
    api: str, rows: Rows, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    job_id = rows.job()
    tried = Tried(
        attempt=new_id(),
        code=Code.NOT_JSON,
        sentence="no JSON at all",
        parameters={"lane": "draft", "model": "anthropic/claude-opus-5-5", "rung": "2"},
        kept="the index was written",
    )
    handoff = Handoff(assignment=_assignment(job_id), subproblem="Write.", tried=(tried,),
                      desired_output="brief.Draft@1", success=("done",))  # fmt: skip
    given = handoff.model_dump(mode="json", exclude_defaults=True)
    subtask_id = rows.subtask(job_id, "draft", "ready", handoff=given)
    monkeypatch.setenv("FLEET_API_URL", api)

    assert run_here(app, ("explain", subtask_id)) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "no JSON at all (lane draft, model anthropic/claude-opus-5-5, rung 2)" in said
    assert "this stands: the index was written" in said


def _assignment(job_id: str) -> Assignment:
    return Assignment(
        job=job_id,
        subtask=digest_of(b"any")[:20],
        name="draft",
        step="draft",
        lane="draft",
        operation="write",
        handler="model",
        purpose=Purpose.FEATURE,
        tenant="acme",
        portfolio="docs",
    )
