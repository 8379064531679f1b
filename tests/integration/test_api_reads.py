"""What the API shows: jobs with their outcomes, explanations, lanes, budgets, the tax and the figures."""

import time

import httpx2
import pytest
from sqlalchemy import update

from contracts.reports import NANO
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.ids import new_id
from tests.integration.ledgers import Rows, problem_of, report, summary


def test_lists_are_paged_to_their_end_without_gap_or_double(http: httpx2.Client, rows: Rows) -> None:
    made = [rows.job(state="done" if number % 2 else "running") for number in range(7)]

    seen: list[str] = []
    cursor: str | None = None
    while True:
        given = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = http.get("/v1/jobs", params=given).json()
        seen += [line["id"] for line in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == sorted(made, reverse=True)
    done = http.get("/v1/jobs", params={"state": "done", "workflow": "brief", "tenant": "acme"}).json()
    assert [line["id"] for line in done["items"]] == sorted(made[1::2], reverse=True)
    assert http.get("/v1/jobs", params={"tenant": "other"}).json()["items"] == []


BAD_PARAMETERS = {
    "/v1/jobs?cursor=nonsense": "cursor",
    "/v1/jobs?cursor=WyJhXHUwMDAwIl0": "cursor",
    "/v1/dead-letters?cursor=WzFd": "cursor",
    "/v1/dead-letters?cursor=W05hTiwgImEiXQ": "cursor",
    "/v1/jobs?limit=0": "limit",
    "/v1/jobs?limit=1000": "limit",
    "/v1/jobs?state=asleep": "state",
    "/v1/jobs?tenant=%00": "tenant",
    "/v1/jobs/%00": "job_id",
    "/v1/approvals?state=odd": "state",
    "/v1/tax?window_seconds=-1": "window_seconds",
    "/v1/tax?window_seconds=nan": "window_seconds",
    "/v1/lanes/%00": "lane",
}


def test_bad_parameters_are_named(http: httpx2.Client) -> None:
    for path, named in BAD_PARAMETERS.items():
        answer = http.get(path)
        assert named in problem_of(answer, 404 if "lanes" in path else 422), path


def test_what_is_unknown_is_not_found(http: httpx2.Client) -> None:
    for path in ("jobs/x", "jobs/x/explain", "jobs/x/events", "subtasks/x/explain", "dead-letters/x"):
        for given in ("01A", "01ARZ3", new_id()):
            problem_of(http.get(f"/v1/{path.replace('x', given)}"), 404)
    for path in (f"approvals/{new_id()}", "lanes/nothing"):
        problem_of(http.get(f"/v1/{path}"), 404)


def test_a_job_carries_its_outcome(http: httpx2.Client, rows: Rows) -> None:
    job_id = rows.job(state="done", why="verified", result=summary("the page stands"), ended_at=rows.at)
    subtask_id = rows.subtask(
        job_id, "draft", "done", summary=summary("a draft"), ended_at=rows.at, dependency_seconds=3.0
    )
    for number in (1, 2):
        rows.attempt(
            job_id,
            subtask_id,
            number=number,
            ended_at=rows.at,
            simulated=True,
            vendor="anthropic",
            input_tokens=2**33,
            output_tokens=5,
            cost_nano_usd=NANO // 4 + 1,
            worker_seconds=1.5,
            budget_seconds=2.0,
        )

    shown = http.get(f"/v1/jobs/{job_id}").json()

    assert (shown["state"], shown["why"], shown["result"]["text"]) == ("done", "verified", "the page stands")
    assert shown["cost"]["usd"] == pytest.approx(0.500000002, abs=1e-12)
    assert (shown["cost"]["input_tokens"], shown["cost"]["attempts"]) == (2**34, 2)
    assert shown["simulated"] is True
    assert (shown["waits"]["dependency_seconds"], shown["waits"]["budget_seconds"]) == (3.0, 4.0)
    assert shown["artifacts"][0] | {"artifact": None} == {
        "subtask": "draft",
        "contract": "review.Verdict@1",
        "artifact": None,
    }
    assert shown["subtasks"][0]["cost"]["worker_seconds"] == 3.0


def test_a_sealed_verdict_is_shown_nowhere(http: httpx2.Client, rows: Rows) -> None:
    secret = "objects with 1 finding(s): the secret verdict"
    job_id = rows.job()
    draft = rows.subtask(job_id, "draft", "dead", ended_at=rows.at)
    rows.dead_letter(job_id, draft)
    review = rows.subtask(job_id, "review", "reported", summary=summary(secret))
    rows.subtask(job_id, "security", "running")
    attempt = rows.attempt(
        job_id,
        review,
        state="settled",
        report=report(secret),
        category="output",
        code="cut",
        ended_at=rows.at,
    )
    rows.event(job_id, kind="attempt_settled", subtask_id=review, attempt_id=attempt, sentence=secret)
    rows.event(job_id, kind="job_moved", new="done", sentence="the job moved on")
    paths = [
        f"jobs/{job_id}",
        f"jobs/{job_id}/explain",
        f"subtasks/{review}/explain",
        f"dead-letters/{draft}",
    ]

    for path in paths:
        text = http.get(f"/v1/{path}").text
        assert "secret verdict" not in text, path
        assert summary(secret)["output"]["digest"] not in text, path
        assert report(secret)["call"]["answer"]["digest"] not in text, path
    assert "security, with which its verdict is sealed" in http.get(f"/v1/subtasks/{review}/explain").text

    with rows.ledger.write() as connection:
        connection.execute(update(tables.subtask).where(tables.subtask.c.id == review).values(state="done"))
    for path in paths:
        assert "secret verdict" in http.get(f"/v1/{path}").text, path


def test_explain_says_why_what_and_until_when(http: httpx2.Client, rows: Rows) -> None:
    origin = rows.job(state="done", ended_at=rows.at)
    job_id = rows.job(kpi="answered questions", origin=origin)
    held = "anthropic/default/sonnet: output tokens"
    ready = rows.subtask(job_id, "draft", held_by=held)
    backing = rows.subtask(job_id, "research", not_before=rows.at + 500)
    rows.subtask(job_id, "review", "waiting")
    parked = rows.subtask(job_id, "approval", "parked", lane=None)
    approval_id = rows.approval(job_id, parked)
    running = rows.subtask(job_id, "security", "running")
    rows.attempt(
        job_id, running, state="running", worker="w1", lease_until=rows.at + 30, deadline_at=rows.at + 300
    )
    rows.event(job_id, old=None, new="accepted", sentence="readers ask for it")
    rows.event(job_id, kind="subtask_moved", subtask_id=ready, old="waiting", new="ready", sentence="met")

    told = http.get(f"/v1/jobs/{job_id[:22]}/explain").json()

    assert told["exists"]["kpi"] == "answered questions"
    assert told["exists"]["origin"] == origin
    assert [line["sentence"] for line in told["happened"]] == [
        "the job went to accepted: readers ask for it",
        "draft went from waiting to ready: met",
    ]
    waits = {line["subtask"]: line for line in told["waits"]}
    assert waits["draft"]["waits_for"] == held
    assert waits["research"]["until"] is not None
    assert "draft (ready)" in waits["review"]["waits_for"]
    assert approval_id in waits["approval"]["waits_for"]
    assert waits["approval"]["until"] is not None
    assert "w1" in waits["security"]["waits_for"]
    assert told["sentence"].count("\n") == 0
    assert "alice asked for it" in told["sentence"]
    one = http.get(f"/v1/subtasks/{backing}/explain").json()
    assert [line["subtask"] for line in one["waits"]] == ["research"]


def test_a_prefix_that_several_share_is_refused(http: httpx2.Client, rows: Rows) -> None:
    ids = ["01ARZ3NDEKTSV4RRFFQ69G5FA1", "01ARZ3NDEKTSV4RRFFQ69G5FA2"]
    for job_id in ids:
        rows.job(id=job_id)

    assert "several" in problem_of(http.get("/v1/jobs/01ARZ3NDEK"), 409)
    assert http.get(f"/v1/jobs/{ids[0].lower()}").json()["id"] == ids[0]


def test_lanes_show_card_rules_workers_and_queue(http: httpx2.Client, rows: Rows) -> None:
    job_id = rows.job()
    for state in ("ready", "dispatched", "running", "running"):
        rows.subtask(job_id, "draft", state, item=len(state) + len(new_id()) + hash(new_id()) % 10**6)
    rows.subtask(job_id, "draft", item=1, not_before=rows.at + 100)
    worker = {"lanes": ["draft", "review"], "handlers": [], "version": "1", "started_at": rows.at}
    rows.insert(tables.worker, worker | {"id": "live", "slots": 4, "beat_at": rows.at})
    rows.insert(tables.worker, worker | {"id": "silent", "slots": 9, "beat_at": rows.at - 600})
    rows.insert(tables.worker, worker | {"id": "left", "slots": 9, "beat_at": rows.at, "stopped_at": rows.at})

    lane = http.get("/v1/lanes/draft").json()

    assert (lane["workers"], lane["slots"]) == (1, 4)
    assert [lane[name] for name in ("ready", "backing_off", "dispatched", "running")] == [1, 1, 1, 2]
    assert lane["oldest_ready_seconds"] == pytest.approx(40, abs=10)
    assert any("output tokens" in rule for rule in lane["enforced"])
    assert lane["card"]["owner"]


def budget_row(rows: Rows, **values: object) -> None:
    given = {
        "key": "anthropic/default/sonnet",
        "vendor": "anthropic",
        "account": "default",
        "group": "sonnet",
        "charging": {},
        "concurrency": 4,
        "refilled_at": rows.at - 10,
    }
    rows.insert(tables.budget, given | values, key="key")
    for dimension, limit, level in (
        ("requests", 60, 0.0),
        ("input_tokens", 6000, -100.0),
        ("output_tokens", 600, 0.0),
    ):
        learned = {"declared_limit": limit, "limit": limit}
        bursts = {"declared_burst_seconds": 60, "burst_seconds": 60}
        of = {"key": (given | values)["key"], "dimension": dimension, "level": level}
        rows.insert(tables.budget_level, of | learned | bursts, key="key")


def test_budgets_are_refilled_to_now_and_say_what_is_taken(http: httpx2.Client, rows: Rows) -> None:
    budget_row(rows, closed_until=rows.at + 120, closed_why="the vendor asked for a pause")
    job_id = rows.job()
    subtask_id = rows.subtask(job_id, "draft", "running")
    taken = {"budget": "anthropic/default/sonnet", "reserved_input_tokens": 700, "reserved_output_tokens": 50}
    rows.attempt(job_id, subtask_id, state="running", **taken)
    rows.attempt(job_id, subtask_id, state="settled", ended_at=rows.at, **taken)

    (budget,) = http.get("/v1/budgets").json()["items"]

    parts = {part["dimension"]: part for part in budget["dimensions"]}
    assert 10 <= parts["requests"]["level"] < 20
    assert 900 <= parts["input_tokens"]["level"] < 1900
    assert (parts["input_tokens"]["reserved"], parts["output_tokens"]["reserved"]) == (700, 50)
    assert (parts["concurrency"]["level"], budget["in_flight"]) == (3, 1)
    assert budget["closed_why"] == "the vendor asked for a pause"


def test_the_tax_is_everything_but_feature_over_everything(http: httpx2.Client, rows: Rows) -> None:
    old = rows.at - 3 * 86_400
    for purpose, created in (("feature", rows.at), ("maintenance", rows.at), ("maintenance", old)):
        rows.job(purpose=purpose, created_at=created)
    job_id = rows.job()
    subtask_id = rows.subtask(job_id, "draft", "done", ended_at=rows.at)
    for purpose, seconds, granted in (
        ("feature", 3.0, rows.at),
        ("review", 1.0, rows.at),
        ("rework", 9.0, old),
    ):
        rows.attempt(
            job_id,
            subtask_id,
            purpose=purpose,
            granted_at=granted,
            ended_at=granted,
            worker_seconds=seconds,
            input_tokens=int(seconds) * 100,
            cost_nano_usd=int(seconds) * 10,
        )

    told = http.get("/v1/tax").json()

    assert told["tax"] == pytest.approx({"jobs": 1 / 3, "seconds": 0.25, "tokens": 0.25, "usd": 0.25})
    assert told["purposes"]["review"]["tokens"] == 100
    week = http.get("/v1/tax", params={"window_seconds": 7 * 86_400}).json()
    assert week["tax"]["seconds"] == pytest.approx(10 / 13)


def test_an_empty_ledger_has_no_tax(http: httpx2.Client) -> None:
    assert set(http.get("/v1/tax").json()["tax"].values()) == {None}


def test_readiness_needs_a_leader(http: httpx2.Client, rows: Rows) -> None:
    waiting = http.get("/readyz")
    assert (waiting.status_code, waiting.json()["migrated"], waiting.json()["led"]) == (503, True, False)
    rows.lead()
    assert http.get("/readyz").json()["ready"] is True


FIGURES = [
    'fleet_jobs_total{outcome="done",purpose="feature",workflow="brief"} 1.0',
    'fleet_subtasks_total{lane="draft",outcome="dead",purpose="feature"} 1.0',
    'fleet_attempts_total{category="transient",lane="draft"} 1.0',
    'fleet_attempts_total{category="completed",lane="draft"} 1.0',
    'fleet_doorbells_total{lane="draft"} 2.0',
    "fleet_workers_silent 0.0",
    'fleet_tokens_total{kind="input",lane="draft",model="m",purpose="feature",vendor="anthropic"} 140.0',
    'fleet_tokens_total{kind="cached_input",lane="draft",model="m",purpose="feature",vendor="anthropic"} 60.0',
    'fleet_tokens_total{kind="output",lane="draft",model="m",purpose="feature",vendor="anthropic"} 14.0',
    'fleet_cost_usd_total{lane="draft",model="m",purpose="feature",vendor="anthropic"} 1.0',
    'fleet_worker_seconds_total{lane="draft",purpose="feature"} 3.0',
    'fleet_wait_seconds_bucket{cause="budget",lane="draft",le="0.25"} 0.0',
    'fleet_wait_seconds_bucket{cause="budget",lane="draft",le="0.5"} 2.0',
    'fleet_wait_seconds_count{cause="budget",lane="draft"} 2.0',
    'fleet_wait_seconds_sum{cause="budget",lane="draft"} 1.0',
    'fleet_wait_seconds_count{cause="human",lane="none"} 1.0',
    'fleet_autonomy_tax_ratio{unit="jobs"} 0.0',
    'fleet_ready{lane="research"} 1.0',
    'fleet_running{lane="research"} 0.0',
    'fleet_ready{lane="publish"} 0.0',
    'fleet_budget_limit{dimension="concurrency",group="sonnet",vendor="anthropic"} 8.0',
    'fleet_budget_limit{dimension="output_tokens",group="sonnet",vendor="anthropic"} 1200.0',
    'fleet_budget_level{dimension="concurrency",group="sonnet",vendor="anthropic"} 8.0',
    'fleet_budget_closed_until_seconds{dimension="all",group="sonnet",vendor="anthropic"} 0.0',
    'fleet_vendor_responses_total{group="sonnet",kind="ok",vendor="anthropic"} 1.0',
    'fleet_vendor_responses_total{group="sonnet",kind="rate_limited",vendor="anthropic"} 1.0',
    'fleet_vendor_responses_total{group="sonnet",kind="silent",vendor="anthropic"} 1.0',
    'fleet_dead_letters{lane="draft"} 1.0',
    'fleet_dead_letters{lane=""} 1.0',
    "fleet_approvals_waiting 1.0",
    'fleet_gate_events_total{gate="approval",result="refused"} 1.0',
    "fleet_orchestrator_leader 1.0",
    'fleet_cost_per_success_usd{workflow="brief"} 1.0',
]


def test_the_figures_say_what_the_ledger_says(http: httpx2.Client, rows: Rows) -> None:
    fill_for_figures(rows)

    text = http.get("/metrics").text

    missing = [line for line in FIGURES if f"\n{line}\n" not in text]
    assert missing == [], text
    ages = (
        "oldest_ready_seconds",
        "oldest_dead_letter_seconds",
        "oldest_approval_seconds",
        "escalation_drill_age",
    )
    for name in ages:
        assert f"fleet_{name}" in text
    assert "acme" not in text


def fill_for_figures(rows: Rows) -> None:
    """One of everything that is counted."""
    budget_row(rows)
    budget_row(rows, key="anthropic/second/sonnet", account="second", closed_until=rows.at + 600)
    rows.lead()
    job_id = rows.job(state="done", ended_at=rows.at)
    dead = rows.subtask(job_id, "draft", "dead", ended_at=rows.at)
    rows.dead_letter(job_id, dead)
    rows.subtask(job_id, "research")
    for number, (kind, failure) in enumerate(
        (("ok", {}), ("rate_limited", {"category": "transient", "code": "rate_limited"}))
    ):
        rows.attempt(
            job_id,
            dead,
            number=number,
            ended_at=rows.at,
            vendor="anthropic",
            model="m",
            budget="anthropic/default/sonnet",
            input_tokens=100,
            cached_input_tokens=30,
            output_tokens=7,
            cost_nano_usd=NANO // 2,
            worker_seconds=1.5,
            budget_seconds=0.5,
            report=heard(kind),
            **failure,
        )
    checked = {"lane": "check", "ended_at": rows.at, "budget": "anthropic/default/sonnet"}
    # A broken connection and a broken answer have the same code, and only one of them was an answer.
    for number, kind in enumerate(("silent", "error", None), start=2):
        rows.attempt(
            job_id,
            dead,
            number=number,
            vendor="anthropic",
            model="m",
            category="transient",
            code="vendor_error",
            report=heard(kind),
            **checked,
        )
    answered = rows.subtask(job_id, "approval", "done", lane=None, ended_at=rows.at, human_seconds=70.0)
    rows.approval(job_id, answered)
    rejected = rows.subtask(job_id, "approval", "dead", lane=None, item=1, ended_at=rows.at)
    rows.dead_letter(job_id, rejected, lane=None, category="governance", code="rejected")
    gate = {
        "at": rows.at,
        "gate": "approval",
        "actor": "a",
        "attempted": "x",
        "result": "refused",
        "reason": "y",
    }
    rows.insert(tables.gate_event, gate, key="gate")
    drill = {"id": new_id(), "route": "log", "drill": True, "sentence": "a drill", "opened_at": rows.at}
    rows.insert(tables.escalation, drill)


def heard(kind: str | None) -> dict[str, object]:
    """A report as it is kept, with what its vendor said of the account; None where there was no call."""
    return {"call": kind and {"vendor": "anthropic", "group": "sonnet", "signal": {"kind": kind}}}


def test_a_group_is_closed_until_the_first_of_its_accounts_opens(http: httpx2.Client, rows: Rows) -> None:
    closed = {"closed_why": "the vendor asked for a pause"}
    budget_row(rows, closed_until=rows.at + 900, **closed)
    budget_row(rows, key="anthropic/second/sonnet", account="second", closed_until=rows.at + 600, **closed)

    (line,) = [
        line
        for line in http.get("/metrics").text.splitlines()
        if line.startswith("fleet_budget_closed_until_seconds{")
    ]

    assert line.startswith(
        'fleet_budget_closed_until_seconds{dimension="all",group="sonnet",vendor="anthropic"}'
    )
    assert float(line.split()[-1]) == pytest.approx(rows.at + 600)


def test_reading_takes_the_same_number_of_statements_for_many_rows(ledger: Ledger, rows: Rows) -> None:
    """No query per row: what one job costs, fifty cost."""
    from sqlalchemy import event

    from orchestrator.reads.jobs import JobFilter, jobs
    from orchestrator.reads.outcomes import job_read

    job_id = rows.job()
    for item in range(30):
        subtask_id = rows.subtask(job_id, "research", "done", item=item, ended_at=rows.at)
        rows.attempt(job_id, subtask_id, ended_at=rows.at)
        rows.job()
    statements: list[str] = []
    with ledger.read() as connection:
        event.listen(connection, "before_cursor_execute", lambda *given: statements.append(given[2]))
        assert len(jobs(connection, JobFilter()).items) == 31
        assert len(job_read(connection, job_id).subtasks) == 30

    assert len(statements) <= 12, statements


def test_small_answers_do_not_wait_for_acknowledgements(http: httpx2.Client) -> None:
    """With Nagle's algorithm on, each of them takes 40 ms."""
    http.get("/healthz")
    took = []
    for _ in range(20):
        began = time.monotonic()
        http.get("/healthz")
        took.append(time.monotonic() - began)

    assert sorted(took)[10] < 0.02
