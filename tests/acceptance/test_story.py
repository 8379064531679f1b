"""The acceptance story, the same on every stack: a brief is asked for, objected to, approved and published.

One fleet per stack tells it once; the tests then hold what was seen against what was promised.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from contracts.artifacts import digest_of
from contracts.states import SUBTASK_ENDS, JobState, SubtaskState
from contracts.verdicts import Decision
from orchestrator.client import FleetError
from orchestrator.demo.documents import QUESTION
from orchestrator.ledger.events import EventKind
from orchestrator.reads.approvals import ApprovalRead
from orchestrator.reads.events import EventRead
from orchestrator.reads.explain import Explanation
from orchestrator.reads.outcomes import JobRead
from tests.acceptance.stacks import (
    OVERSEER,
    PATIENCE_SECONDS,
    REQUESTER,
    RunningFleet,
    approve,
    eventually,
    job_of,
    seen_through,
)
from tests.acceptance.stacks import fleet as fleet

KEY = "brief-of-this-week"


@dataclass
class Told:
    """One brief, from the submission to its end, as somebody saw it who speaks HTTP only."""

    answers: list[httpx2.Response]
    """To the submissions with one key: the job, the same job again, and another one."""
    events: list[EventRead] = field(default_factory=list)
    asked: ApprovalRead | None = None
    refused: FleetError | None = None
    """What the requester's own approval was answered with."""
    waiting: Explanation | None = None
    """The explanation while a person was asked."""
    job: JobRead | None = None

    def payload(self, fleet: RunningFleet, subtask: str) -> dict[str, Any]:
        """What a subtask delivered."""
        assert self.job is not None
        digest = next(output.artifact.digest for output in self.job.artifacts if output.subtask == subtask)
        delivered: dict[str, Any] = json.loads(fleet.client.artifact(digest))
        return delivered


@pytest.fixture(scope="module")
def http(fleet: RunningFleet) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=fleet.api_url, timeout=PATIENCE_SECONDS) as client:
        yield client


@pytest.fixture(scope="module")
def told(fleet: RunningFleet, http: httpx2.Client) -> Told:
    bodies = [job_of("brief"), job_of("brief"), job_of("brief", reason="another one")]
    story = Told([http.post("/v1/jobs", json=body, headers={"Idempotency-Key": KEY}) for body in bodies])
    job_id = story.answers[0].json()["id"]
    for event in fleet.client.watch(job_id):
        story.events.append(event)
        if event.kind == EventKind.APPROVAL_ASKED:
            _answer(fleet, story, job_id)
    story.job = fleet.client.job(job_id)
    return story


def _answer(fleet: RunningFleet, story: Told, job_id: str) -> None:
    (line,) = [each for each in fleet.client.approvals().items if each.job_id == job_id]
    story.asked = fleet.client.approval(line.id)
    story.waiting = fleet.client.explain(job_id)
    with pytest.raises(FleetError) as refused:
        fleet.client.answer(line.id, "approve", REQUESTER, "mine is good", line.digest)
    story.refused = refused.value
    approve(fleet.client, job_id)


def test_two_submissions_with_one_key_make_one_job(fleet: RunningFleet, told: Told) -> None:
    first, again, other = told.answers
    assert (first.status_code, first.json()["created"]) == (202, True)
    assert (again.status_code, again.json()["created"]) == (200, False)
    assert again.json()["id"] == first.json()["id"] == first.headers["location"].rpartition("/")[2]
    assert other.status_code == 409
    assert fleet.rows(
        "SELECT count(*) FROM job WHERE workflow = 'brief' AND idempotency_key = :k", k=KEY
    ) == [(1,)]


def test_the_events_tell_each_move_in_order(told: Told) -> None:
    numbers = [event.seq for event in told.events]
    assert numbers == sorted(set(numbers))
    states = [event.new for event in told.events if event.kind == EventKind.JOB_MOVED]
    assert states == ["accepted", "running", "awaiting_approval", "running", "done"]
    starts = {event.subtask for event in told.events if event.new == SubtaskState.RUNNING}
    assert {"research[1]", "research[2]", "research[3]", "draft", "review", "security", "publish"} <= starts


def test_the_second_pass_catches_what_the_first_missed(fleet: RunningFleet, told: Told) -> None:
    assert told.job is not None
    lines = {line.name: line for line in told.job.subtasks}
    first, second = told.payload(fleet, "draft"), told.payload(fleet, "draft#2")
    assert len(first["description"]) < 50 <= len(second["description"]) <= 300
    verdicts = {name: lines[name].summary for name in ("review", "review#2", "security", "security#2")}
    objecting = {name for name, given in verdicts.items() if given and given.decision is Decision.OBJECT}
    assert objecting == {"review"}
    findings = told.payload(fleet, "review")["findings"]
    assert any("description" in finding["problem"] for finding in findings)


def test_no_vendor_judges_its_own_draft(fleet: RunningFleet, told: Told) -> None:
    assert told.job is not None
    rows = fleet.rows("SELECT name, vendor FROM subtask WHERE job_id = :job", job=told.job.id)
    vendors = {row.name: row.vendor for row in rows}
    for suffix in ("", "#2"):
        judges = {vendors[f"{step}{suffix}"] for step in ("draft", "review", "security")}
        assert len(judges) == 3


def test_explain_names_the_reason_and_what_the_job_waits_for(told: Told) -> None:
    assert told.waiting is not None
    assert told.asked is not None
    assert told.waiting.exists.reason == "readers ask what the fleet stands on"
    assert told.waiting.exists.requested_by == REQUESTER
    (approval,) = [each for each in told.waiting.waits if each.state is SubtaskState.PARKED]
    assert approval.waits_for == f"a person's answer to approval {told.asked.id}, other than {REQUESTER}"
    assert approval.until == told.asked.expires_at
    assert any("what it needs: approval" in each.waits_for for each in told.waiting.waits)


def test_who_asked_may_not_approve_and_another_person_may(fleet: RunningFleet, told: Told) -> None:
    assert told.asked is not None
    assert told.refused is not None
    assert told.refused.status in (403, 409)
    assert REQUESTER in told.refused.sentence
    answered = fleet.client.approval(told.asked.id)
    assert (answered.state, answered.answered_by) == ("approved", OVERSEER)
    assert answered.answered_digest == answered.digest


def test_the_page_stands_as_it_was_verified(fleet: RunningFleet, told: Told) -> None:
    assert told.job is not None
    assert told.job.state is JobState.DONE, told.job.why
    assert told.job.result is not None
    facts = told.job.result.facts
    page, slug = str(facts["path"]), str(facts["slug"])
    assert facts["verified"] is True
    assert digest_of((fleet.root / page).read_bytes()) == facts["page_digest"]
    assert fleet.posts(page) == [(slug, told.job.id, facts["page_digest"])]
    assert f"{slug}.html" in (fleet.root / page).with_name("index.html").read_text()


def test_every_claim_on_the_page_quotes_its_source(fleet: RunningFleet, told: Told) -> None:
    assert told.job is not None
    texts = {each["name"]: each["text"] for each in job_of("brief")["inputs"]["documents"]}
    checked = [told.payload(fleet, f"check-quotes[{number}]") for number in (1, 2, 3)]
    standing = {
        claim["id"]: texts[each["document"]][claim["offset"] : claim["offset"] + claim["length"]].split()
        for each in checked
        for claim in each["claims"]
    }
    quotes = {claim["id"]: claim["quote"].split() for each in checked for claim in each["claims"]}
    cited = told.payload(fleet, "draft#2")["citations"]
    assert cited
    assert [standing[each] for each in cited] == [quotes[each] for each in cited]


def test_the_outcome_says_what_it_cost_and_that_vendors_were_simulated(told: Told) -> None:
    assert told.job is not None
    assert told.job.simulated
    assert told.job.cost.usd > 0
    assert told.job.waits.human_seconds > 0


def test_a_summary_runs_over_the_same_lanes_without_ceremony(fleet: RunningFleet) -> None:
    job = seen_through(fleet.client, fleet.client.submit(job_of("summary", 2)).id)
    assert job.state is JobState.DONE, job.why
    assert not fleet.rows("SELECT id FROM approval WHERE job_id = :job", job=job.id)
    assert job.result is not None
    page = str(job.result.facts["path"])
    assert page.startswith(f"scratch/{job.id}/")
    assert len(fleet.posts(page)) == 1


def test_a_running_job_can_be_cancelled(fleet: RunningFleet) -> None:
    question = f"{QUESTION} This time it is cancelled."  # else earlier answers would be given again
    job_id = fleet.client.submit(job_of("brief", 2, question)).id
    for event in fleet.client.watch(job_id):
        if event.new == SubtaskState.RUNNING and event.subtask:
            fleet.client.cancel(job_id, OVERSEER)
            break
    job = fleet.client.wait(job_id)
    assert (job.state, job.cancel_requested_by) == (JobState.CANCELLED, OVERSEER)
    assert {line.state for line in job.subtasks} <= SUBTASK_ENDS
    assert SubtaskState.CANCELLED in {line.state for line in job.subtasks}

    def settled() -> bool:
        query = "SELECT id FROM attempt WHERE job_id = :job AND ended_at IS NULL"
        return not fleet.rows(query, job=job_id)

    eventually("the booking of what was already spent", settled)


def test_tax_budgets_and_lanes_can_be_read(fleet: RunningFleet, told: Told) -> None:
    spent = fleet.client.tax()
    assert spent.purposes["feature"].jobs >= 1  # type: ignore[index]
    assert spent.tax.usd is not None
    assert 0 < spent.tax.usd < 1
    budgets = fleet.client.budgets().items
    assert {budget.vendor for budget in budgets} == {"anthropic", "openai", "google"}
    lanes = {lane.lane: lane for lane in fleet.client.lanes().items}
    assert all(lane.workers for lane in lanes.values())
    assert all(lane.enforced for lane in lanes.values())


def test_flower_shows_a_worker_of_every_lane(fleet: RunningFleet) -> None:
    lanes = {lane.lane for lane in fleet.client.lanes().items}

    def shown() -> bool:
        answered = httpx2.get(f"{fleet.flower_url}/workers?json=1", timeout=PATIENCE_SECONDS)
        nodes = [node["hostname"] for node in answered.json()["data"] if node["status"]]
        return lanes <= {lane for node in nodes for lane in node.partition("@")[0].split("+")}

    eventually("a node of every lane in Flower", shown)


def test_the_api_describes_itself(http: httpx2.Client) -> None:
    paths = http.get("/openapi.json").raise_for_status().json()["paths"]
    assert {"/v1/jobs", "/v1/jobs/{job_id}/events", "/v1/approvals/{approval_id}/answer"} <= set(paths)
    assert "swagger" in http.get("/docs").raise_for_status().text.lower()


def test_no_vendor_was_asked_twice_for_one_attempt(fleet: RunningFleet, told: Told) -> None:
    asked = [row["attempt"] for row in fleet.simulator_ledger()]
    sent = [row.id for row in fleet.rows("SELECT id FROM attempt WHERE sent")]
    assert sorted(asked) == sorted(sent)


def test_the_ledger_keeps_its_promises_to_the_end(fleet: RunningFleet, told: Told) -> None:
    assert not fleet.broken_promises()


def test_ctrl_c_drains_the_whole_fleet(fleet: RunningFleet) -> None:
    assert fleet.drain().rstrip().endswith("drained")
    assert fleet.process.returncode == 0
