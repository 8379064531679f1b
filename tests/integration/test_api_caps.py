"""Spending caps as operators set them: over HTTP and by `fleet budgets cap`."""

import json
from typing import Any

import httpx2
import pytest

from contracts.reports import NANO
from orchestrator.cli.app import app
from orchestrator.cli.ending import run as run_here
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from tests.integration.ledgers import Rows, problem_of, rows_of
from tests.integration.test_api_intake import JOB

CAP: dict[str, Any] = {
    "scope": "tenant",
    "name": "acme",
    "period": "day",
    "limit_usd": 5,
    "by": "ada",
    "reason": "trial month",
}


def test_a_cap_is_set_listed_changed_and_removed_and_every_change_is_kept(
    http: httpx2.Client, ledger: Ledger, rows: Rows
) -> None:
    job_id = rows.job()
    held = {"capped_by": "tenant/acme/day", "worst_nano_usd": 5, "ready_at": rows.at}
    open_attempt = {"state": "running", "reserved_nano_usd": NANO // 100, "ended_at": None}
    rows.attempt(job_id, rows.subtask(job_id, "draft", "running"), **open_attempt)
    rows.subtask(job_id, "review", "parked", **held)

    (cap,) = http.put("/v1/budgets/caps", json=CAP).json()["items"]
    assert cap == {
        "scope": "tenant",
        "name": "acme",
        "period": "day",
        "limit_usd": 5.0,
        "spent_usd": 0.0,
        "reserved_usd": 0.01,
        "parked": 1,
    }
    http.put("/v1/budgets/caps", json=CAP | {"scope": "fleet", "name": "", "period": "total", "limit_usd": 0})
    http.put("/v1/budgets/caps", json=CAP | {"limit_usd": 7.25, "reason": "it went well"})
    listed = http.get("/v1/budgets/caps").json()["items"]
    assert [(each["scope"], each["limit_usd"]) for each in listed] == [("fleet", 0.0), ("tenant", 7.25)]
    left = http.put("/v1/budgets/caps", json=CAP | {"limit_usd": None}).json()["items"]
    assert [each["scope"] for each in left] == ["fleet"]

    changes = rows_of(ledger, tables.setting_change)
    assert [(each.what, each.old, each.new, each.reason) for each in changes] == [
        ("spending cap of tenant acme, day", "none", "5 USD", "trial month"),
        ("spending cap of fleet, total", "none", "0 USD", "trial month"),
        ("spending cap of tenant acme, day", "5 USD", "7.25 USD", "it went well"),
        ("spending cap of tenant acme, day", "7.25 USD", "none", "trial month"),
    ]
    assert {each.actor for each in changes} == {"ada"}


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "unknown lane": ({"scope": "lane", "name": "drafts"}, 422, "no lane “drafts”; known are: audit, "),
    "unknown purpose": ({"scope": "purpose", "name": "fun"}, 422, "known are: coordination, feature"),
    "unknown scope": ({"scope": "team"}, 422, "'tenant'"),
    "unknown period": ({"period": "week"}, 422, "'day' or 'total'"),
    "fleet with a name": ({"scope": "fleet"}, 422, "there is one fleet"),
    "tenant without a name": ({"name": ""}, 422, "say which tenant is capped"),
    "below zero": ({"limit_usd": -1}, 422, "limit_usd: input should be greater than or equal to 0"),
    "nobody": ({"by": " "}, 422, "by"),
    "no reason": ({"reason": ""}, 422, "reason"),
    "job by the day": ({"scope": "job", "name": "01ARZ3NDEKTSV4RRFFQ69G5FA1"}, 422, "total"),
    "no such job": (
        {"scope": "job", "name": "01ARZ3NDEKTSV4RRFFQ69G5FA1", "period": "total"},
        404,
        "no job 01ARZ3NDEKTSV4RRFFQ69G5FA1 is in the ledger",
    ),
    "nothing to remove": ({"limit_usd": None}, 404, "tenant acme has no spending cap (day) to remove"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_cap_that_cannot_be_is_one_sentence_and_changes_nothing(
    http: httpx2.Client, ledger: Ledger, name: str
) -> None:
    change, status, sentence = REFUSED[name]
    assert sentence in problem_of(http.put("/v1/budgets/caps", json=CAP | change), status)
    assert rows_of(ledger, tables.setting_change) == rows_of(ledger, tables.spending_cap) == []


def test_a_job_brings_its_own_cap_and_shows_it(http: httpx2.Client) -> None:
    job_id = http.post("/v1/jobs", json=JOB | {"max_cost_usd": 2.5}).json()["id"]
    assert http.get(f"/v1/jobs/{job_id}").json()["max_cost_usd"] == 2.5
    assert http.get("/v1/jobs").json()["items"][0]["max_cost_usd"] == 2.5

    raised = CAP | {"scope": "job", "name": job_id, "period": "total", "limit_usd": 4}
    assert http.put("/v1/budgets/caps", json=raised).json()["items"] == []
    assert http.get(f"/v1/jobs/{job_id}").json()["max_cost_usd"] == 4.0


def test_a_job_that_has_ended_is_not_capped_any_more(http: httpx2.Client, rows: Rows) -> None:
    job_id = rows.job(state="done", ended_at=rows.at)
    wanted = CAP | {"scope": "job", "name": job_id, "period": "total"}
    assert "has ended (done)" in problem_of(http.put("/v1/budgets/caps", json=wanted), 409)


def test_the_command_sets_lists_and_removes(
    api: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLEET_API_URL", api)

    def fleet(*arguments: str, code: int = 0) -> str:
        assert run_here(app, ("budgets", *arguments)) == code
        said = capfd.readouterr()
        return said.err if code else said.out

    because = ("--reason", "trial month", "--by", "ada")
    assert "tenant acme" in fleet("cap", "tenant", "acme", "--per", "day", "--usd", "5", *because)
    assert "fleet" in fleet("cap", "fleet", "--usd", "100", *because)
    listed = fleet()
    assert "spending caps" in listed and "$5.00" in listed and "$100.00" in listed
    assert [each["scope"] for each in json.loads(fleet("--json"))["caps"]] == ["fleet", "tenant"]
    assert "tenant" not in fleet("cap", "tenant", "acme", "--per", "day", "--remove", *because)
    assert "known are: audit" in fleet("cap", "lane", "drafts", "--usd", "1", *because, code=1)
    assert "say either --usd or --remove" in fleet("cap", "lane", "draft", *because, code=2)


def test_the_command_submits_with_a_cap_and_raises_it(
    api: str,
    http: httpx2.Client,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Any,
) -> None:
    monkeypatch.setenv("FLEET_API_URL", api)
    (tmp_path / "notes.md").write_text("something stands here")
    submit = ("submit", "summary", "--input", str(tmp_path / "notes.md"), "--question", "What stands?")
    why = ("--purpose", "feature", "--reason", "weekly page")
    assert run_here(app, (*submit, *why, "--max-cost-usd", "0")) == 1
    assert (
        "a job's cap lies between 0.000001 and 1,000,000,000 dollars, and this is 0" in capfd.readouterr().err
    )
    assert run_here(app, (*submit, *why, "--max-cost-usd", "0.25")) == 0
    job_id = capfd.readouterr().out.strip()
    assert run_here(app, ("show", job_id)) == 0
    assert "$0.2500 at most" in capfd.readouterr().out

    assert run_here(app, ("budgets", "cap", "job", job_id[:16], "--usd", "3", "--reason", "go on")) == 0
    assert f"job {job_id} may spend $3.00" in capfd.readouterr().out
    assert http.get(f"/v1/jobs/{job_id}").json()["max_cost_usd"] == 3.0
