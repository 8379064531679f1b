"""What a fleet survives: killed processes and a broker that forgets, each while work is under way.

The vendors are slow here, so that a fault strikes in flight, and each test proves from the ledger or the broker
that it did. Only processes and brokers that the test itself started are harmed.
"""

import base64
import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import pytest
import redis

from contracts.doorbell import queue_of
from contracts.states import JobState, SubtaskState
from orchestrator.checking import check
from orchestrator.client import FleetClient, FleetError
from orchestrator.demo.documents import QUESTION
from orchestrator.ledger.events import EventKind
from orchestrator.ledger.ids import new_id
from orchestrator.reads.outcomes import JobRead
from orchestrator.settings import Settings
from orchestrator.up.statedir import broker_of
from tests.acceptance.stacks import (
    RunningFleet,
    approve,
    eventually,
    job_of,
    postgresql_and_embedded,
    running_fleet,
    seen_through,
    sqlite_and_embedded,
)
from tests.integration.simulator_process import SimulatorAddress, running_simulator

SLOW = {"latency": {"first_token_seconds": 0.7, "tokens_per_second": 0, "jitter": 0}}
PACES = {
    "FLEET_LEASE_SECONDS": "4",
    "FLEET_HEARTBEAT_SECONDS": "1",
    "FLEET_START_BY_SECONDS": "3",
    "FLEET_LEADER_LEASE_SECONDS": "3",
}
"""Short ones: what a dead process held is taken back after them, and no test should wait half a minute."""
WAITING, COMPUTING = "worker-waiting", "worker-computing"


@dataclass(frozen=True)
class Harmed:
    """A fleet to which harm is done, and the vendors it asks."""

    fleet: RunningFleet
    vendors: SimulatorAddress

    def submit(self, documents: int = 2) -> str:
        """A brief: it cannot end before a person answers, so that a fault in between strikes an open job. Its
        question was not asked before, so that no earlier answer spares it a request."""
        question = f"{QUESTION} ({new_id()})"
        return self.fleet.client.submit(job_of("brief", documents, question)).id

    def pid_of(self, role: str) -> int:
        return eventually(f"a running {role}", lambda: self.fleet.pid_of(role))

    def kill(self, *roles: str) -> None:
        """Kills the processes of some roles, all before any of them comes back."""
        for pid in [self.pid_of(role) for role in roles]:
            os.kill(pid, signal.SIGKILL)

    def stop_at_work(self, job_id: str) -> list[str]:
        """Stops the worker that asks vendors while it holds attempts of the job, and answers those. Standing
        still, it can report none of them."""

        def caught() -> list[str]:
            pid = self.pid_of(WAITING)
            os.kill(pid, signal.SIGSTOP)
            query = "SELECT id FROM attempt WHERE job_id = :job AND state = 'running' AND worker LIKE :worker"
            held = [row.id for row in self.fleet.rows(query, job=job_id, worker=f"%/{pid}")]
            if not held:
                os.kill(pid, signal.SIGCONT)
            return held

        return eventually("an attempt in a worker's hands", caught)

    @contextmanager
    def stopped(self, role: str) -> Iterator[None]:
        """A role that stands still, and goes on after the block."""
        pid = self.pid_of(role)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def broker(self) -> Iterator[redis.Redis]:
        """The broker that this very fleet has embedded."""
        url = broker_of(self.fleet.root)
        assert url is not None
        with closing(redis.Redis.from_url(url)) as broker:
            yield broker

    def states_of(self, attempts: list[str]) -> set[str]:
        every = self.fleet.rows("SELECT id, state FROM attempt")
        return {row.state for row in every if row.id in attempts}


@pytest.fixture(scope="module")
def harmed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harmed]:
    with ExitStack() as stack:
        env = stack.enter_context(contextmanager(request.param)())
        vendors = stack.enter_context(running_simulator(errors="none", config=SLOW))
        addresses = {
            "ANTHROPIC_BASE_URL": f"{vendors.url}/anthropic",
            "OPENAI_BASE_URL": f"{vendors.url}/openai/v1",
            "GOOGLE_GEMINI_BASE_URL": f"{vendors.url}/gemini",
        }
        root = tmp_path_factory.mktemp("harmed")
        yield Harmed(stack.enter_context(running_fleet(root, **PACES, **addresses, **env)), vendors)


on_sqlite = pytest.mark.parametrize("harmed", [sqlite_and_embedded], indirect=True, ids=["sqlite"])
on_both = pytest.mark.parametrize(
    "harmed", [sqlite_and_embedded, postgresql_and_embedded], indirect=True, ids=["sqlite", "postgresql"]
)


def assert_ended_well(harmed: Harmed, job: JobRead) -> None:
    """It is done, its page stands once, every request was one attempt's, and the ledger holds its promises."""
    fleet = harmed.fleet
    assert job.state is JobState.DONE, job.why
    assert job.result is not None
    posts = [post for post in fleet.posts(str(job.result.facts["path"])) if post[1] == job.id]
    assert posts == [(job.result.facts["slug"], job.id, job.result.facts["page_digest"])]
    effects = "SELECT applied_at FROM effect JOIN subtask ON subtask.id = subtask_id WHERE job_id = :job"
    assert [row.applied_at is not None for row in fleet.rows(effects, job=job.id)] == [True]
    asked = [row["attempt"] for row in harmed.vendors.ledger()]
    assert len(asked) == len(set(asked))
    settings = Settings(state_dir=fleet.root, database_url=fleet.env.get("FLEET_DATABASE_URL", ""))
    broken = [each for each in check(settings, invariants=True) if not each.ok and each.subject != "broker"]
    assert not broken


@on_sqlite
def test_a_worker_killed_with_attempts_in_its_hands_costs_those_attempts_alone(harmed: Harmed) -> None:
    job_id = harmed.submit()
    held = harmed.stop_at_work(job_id)
    harmed.kill(WAITING)

    job = seen_through(harmed.fleet.client, job_id)

    assert harmed.states_of(held) == {"lost"}
    assert_ended_well(harmed, job)


@on_sqlite
def test_doorbells_that_a_flushed_broker_forgot_are_rung_again(harmed: Harmed) -> None:
    with harmed.broker() as broker, harmed.stopped(WAITING):
        job_id = harmed.submit(documents=4)
        # what was already handed to the stopped worker no longer lies in the queue
        queued = eventually("doorbells in the queue", lambda: queued_at(broker, "research"))
        broker.flushall()
        # further grants ring on meanwhile; what was rung before is gone
        assert not set(queued) & set(queued_at(broker, "research"))

    job = seen_through(harmed.fleet.client, job_id)

    for row in harmed.fleet.rows("SELECT id, state, rings FROM attempt"):
        if row.id in queued:
            assert row.state == "returned" or row.rings > 1, "its doorbell was gone"
    assert_ended_well(harmed, job)


def queued_at(broker: redis.Redis, lane: str) -> list[str]:
    """The attempts whose doorbells lie in a lane's queue."""
    messages = [json.loads(each) for each in broker.lrange(queue_of(lane), 0, -1)]
    return [json.loads(base64.b64decode(message["body"]))[0][0] for message in messages]


@on_sqlite
def test_a_broker_that_was_away_is_rung_again_once_it_is_back(harmed: Harmed) -> None:
    log, jobs = harmed.fleet.root / "logs" / "orchestrator.log", list[str]()

    def missed() -> bool:
        """Whether the relay met nobody; if not, the broker was back before a doorbell was to be rung."""
        killed = harmed.pid_of("broker")
        harmed.kill("broker")
        jobs.append(harmed.submit())
        eventually("another broker", lambda: harmed.fleet.pid_of("broker") not in (None, killed))
        return "the broker does not take doorbells" in log.read_text()

    eventually("a doorbell that nobody took", missed)

    for job_id in jobs:
        assert_ended_well(harmed, seen_through(harmed.fleet.client, job_id))


@on_sqlite
def test_a_killed_orchestrator_goes_on_where_it_was(harmed: Harmed) -> None:
    leader = "SELECT holder, epoch FROM leader WHERE name = 'loop'"
    job_id = harmed.submit()
    for event in harmed.fleet.client.watch(job_id):
        if event.new == SubtaskState.RUNNING:
            break
    (before,) = harmed.fleet.rows(leader)
    harmed.kill("orchestrator")

    job = seen_through(harmed.fleet.client, job_id)

    (after,) = harmed.fleet.rows(leader)
    assert after.epoch > before.epoch
    assert after.holder != before.holder
    assert_ended_well(harmed, job)


@on_sqlite
def test_a_reader_of_events_misses_none_while_api_and_clock_are_killed(harmed: Harmed) -> None:
    fleet = harmed.fleet
    job_id, seen, killed = harmed.submit(), list[int](), list[int]()
    for event in fleet.client.watch(job_id):
        seen.append(event.seq)
        if event.kind == EventKind.APPROVAL_ASKED:
            killed += [harmed.pid_of("api"), harmed.pid_of("beat")]
            harmed.kill("api", "beat")
            eventually("an API that answers", lambda: answers(fleet.client))
            approve(fleet.client, job_id)

    assert killed
    assert {harmed.pid_of("api"), harmed.pid_of("beat")}.isdisjoint(killed)
    written = fleet.rows("SELECT seq FROM event WHERE job_id = :job ORDER BY seq", job=job_id)
    assert seen == [row.seq for row in written]
    assert_ended_well(harmed, fleet.client.job(job_id))


def answers(client: FleetClient) -> bool:
    try:
        return bool(client.approvals().items)
    except FleetError:
        return False


@on_both
def test_everything_at_once_costs_time_only(harmed: Harmed) -> None:
    job_id = harmed.submit()
    held = harmed.stop_at_work(job_id)
    with harmed.broker() as broker:
        harmed.kill(WAITING, COMPUTING, "orchestrator", "upkeep", "beat", "api")
        broker.flushall()

    job = seen_through(harmed.fleet.client, job_id)

    assert harmed.states_of(held) == {"lost"}
    assert_ended_well(harmed, job)
