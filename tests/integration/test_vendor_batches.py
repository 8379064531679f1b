"""Work that can wait goes by a vendor's batch: gathered, handed in and collected by the real worker over real
sockets against the simulator, and back on the ledger as ordinary reports."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import TimeoutError as PoolTimeout

from contracts.catalog import Catalog
from contracts.failures import Code
from contracts.reports import Report
from orchestrator.cancelling import request_cancel
from orchestrator.capping import set_cap
from orchestrator.deciders.spending import Period, Scope
from orchestrator.door import CarriedBatch, Claim, Door
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger, LedgerUnreachable
from orchestrator.reads.explain import explain_subtask
from orchestrator.reads.queues import queues
from tests.integration.simulator_process import SimulatorAddress, running_simulator
from tests.integration.small_fleet import SmallFleet, assert_story_holds
from workers.attempts import AttemptFailed, Attempts
from workers.heartbeat import Heartbeat
from workers.leaving import Leaving
from workers.settings import WorkerSettings


@dataclass(frozen=True)
class Route:
    """Whom the lane asks, and what a token costs live."""

    vendor: str
    group: str
    model: str
    input_nano_usd: int
    output_nano_usd: int


ROUTES = (
    Route("anthropic", "haiku", "claude-haiku-5-5", 100, 500),
    Route("openai", "sol", "gpt-6.1-sol", 2000, 10_000),
    Route("google", "flash", "gemini-3.8-flash", 750, 3750),
)


def carrying(catalog: Catalog, route: Route, **rule: Any) -> Catalog:
    """The catalog with a lane of research that may go by batch, and batches that are looked at without a pause."""
    research = catalog.lanes["research"]
    assert research.model is not None
    asked = {"vendor": route.vendor, "group": route.group, "name": route.model, "batch": True}
    by_batch = research.model.model_copy(update=asked)
    batches = catalog.lanes["batches"]
    at_once = batches.attempts.model_copy(update={"backoff_seconds": 1e-6})
    lanes = {
        "research": research.model_copy(update={"model": by_batch, "repeatable": False}),
        "batches": batches.model_copy(update={"attempts": at_once}),
    }
    vendor = catalog.vendors[route.vendor]
    assert vendor.batch is not None
    ruled = vendor.model_copy(update={"batch": vendor.batch.model_copy(update=rule)})
    vendors = {vendor.vendor: ruled}
    return catalog.model_copy(
        update={"lanes": {**catalog.lanes, **lanes}, "vendors": {**catalog.vendors, **vendors}}
    )


class Dead(Exception):
    """The worker is no more."""


class MuteDoor:
    """The real door, which takes so many reports; whoever would hand in another one dies."""

    def __init__(self, door: Door, reports: int) -> None:
        self._door = door
        self._left = reports

    def __getattr__(self, name: str) -> Any:
        return getattr(self._door, name)

    def report(self, claim: Claim, report: Report, worker_id: str) -> bool:
        if self._left == 0:
            raise Dead
        self._left -= 1
        return self._door.report(claim, report, worker_id)


class LateDoor:
    """The real door, whose answers about the batch are lost the first time, each when it was done."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.lost: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._door, name)
        if not name.endswith(("_batch", "batch_submitted")) or name in self.lost:
            return asked

        def lose(*given: Any) -> None:
            asked(*given)
            self.lost.add(name)
            raise LedgerUnreachable(PoolTimeout())

        return lose


class Carried(SmallFleet):
    """A small fleet whose lane of batches is served by the real worker."""

    simulator: SimulatorAddress
    impatient = False

    def maintenance(self, documents: int = 3, **fields: Any) -> str:
        names = [f"document-{number}" for number in range(1, documents + 1)]
        inputs = {
            "question": "How does Celery acknowledge messages?",
            "documents": [
                {"name": name, "text": f"Celery acknowledges a message of {name} before its task runs."}
                for name in names
            ],
        }
        return self.submit("summary", inputs=inputs, **{"purpose": "maintenance", **fields})

    def worker(self, door: Any) -> Attempts:
        environment: dict[str, Any] = {"FLEET_SIMULATOR_URL": self.simulator.url}
        settings = WorkerSettings(**environment)
        return Attempts(door, Heartbeat(door, 60.0), settings, "carrier", lambda _: None)

    def carry(self, attempt_id: str) -> str:
        try:
            return self.worker(self.door).run(attempt_id)
        except AttemptFailed as failed:
            return f"failed: {failed}"

    def step(self) -> list[str]:
        """One turn, and what the carrier says of its doorbells; the hands answer all others."""
        self.turn()
        if self.impatient:
            self.forget_backoff()
        said = []
        for bell in self.hands.doorbells():
            if bell.lane == "batches":
                said.append(self.carry(bell.attempt_id))
            else:
                self.hands.do(bell.attempt_id)
        return said

    def finish(self, job_id: str) -> None:
        for _ in range(60):
            self.step()
            if self.job(job_id).ended_at is not None:
                return
        raise AssertionError([(row.name, row.state, row.why) for row in self.subtasks(job_id)])

    def job(self, job_id: str) -> Any:
        return self.rows(tables.job, id=job_id)[0]

    def subtasks(self, job_id: str, step: str | None = None) -> list[Any]:
        rows = self.rows(tables.subtask, job_id=job_id)
        return [row for row in rows if step in (None, row.step)]

    def members(self) -> list[Any]:
        return [row for row in self.rows(tables.attempt) if row.vendor_batch_id is not None]

    def batch_state(self) -> str | None:
        return next((row.state for row in self.rows(tables.vendor_batch)), None)

    def first_handed(self) -> dict[str, Any]:
        """The handoff of the first member, as it is written down."""
        (row,) = self.rows(tables.subtask, id=self.members()[0].subtask_id)
        return dict(row.handoff)

    def hand_first(self, handed: dict[str, Any]) -> None:
        """Writes the first member's handoff otherwise."""
        this = tables.subtask.c.id == self.members()[0].subtask_id
        with self.ledger.write() as connection:
            connection.execute(update(tables.subtask).where(this).values(handoff=handed))

    def looks(self) -> int:
        return len([row for row in self.rows(tables.attempt) if row.code == Code.UNFINISHED])

    def bell_of(self, lane: str) -> str:
        """The attempt of the doorbell that rings for this lane."""
        for _ in range(5):
            self.turn()
            for bell in self.hands.doorbells():
                if bell.lane == lane:
                    return str(bell.attempt_id)
        raise AssertionError(f"nothing rang for {lane}")

    def carry_and_die(self, attempt_id: str, after_reports: int = 0) -> None:
        """As a worker does that dies when it would hand in one more report."""
        silent = MuteDoor(self.door, after_reports)
        worker = self.worker(silent)
        with pytest.raises(Dead):
            worker.run(attempt_id)

    def let_leases_run_out(self, attempt_id: str) -> None:
        with self.ledger.write() as connection:
            connection.execute(
                update(tables.attempt).where(tables.attempt.c.id == attempt_id).values(lease_until=0.0)
            )

    def forget_backoff(self) -> None:
        with self.ledger.write() as connection:
            connection.execute(update(tables.subtask).values(not_before=None))

    def without_backoff(self) -> None:
        """What failed is tried again at once, whenever it fails."""
        self.impatient = True

    def batch(self) -> Any:
        (found,) = self.rows(tables.vendor_batch)
        return found


@contextmanager
def carried_fleet(
    ledger: Ledger,
    folder: Path,
    catalog: Catalog,
    rule: dict[str, Any] | None = None,
    route: Route = ROUTES[0],
    **batches: Any,
) -> Iterator[Carried]:
    settings = {"seconds": 0} | batches
    with running_simulator(errors="none", config={"batches": settings}) as simulator:
        fleet = Carried(ledger, folder, carrying(catalog, route, **(rule or {})))
        fleet.simulator = simulator
        yield fleet
        assert_story_holds(ledger)


@pytest.mark.parametrize("route", ROUTES, ids=[route.vendor for route in ROUTES])
def test_members_come_back_as_ordinary_reports_at_half_the_price(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog, route: Route
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog, route=route) as fleet:
        job_id = fleet.maintenance(3)
        fleet.finish(job_id)
        rows = fleet.simulator.ledger()
        members, batch = fleet.members(), fleet.batch()
    assert [row.state for row in fleet.subtasks(job_id, "research")] == ["done"] * 3
    assert {row["attempt"] for row in rows} == {row.id for row in members}
    assert all(row["batch"] == batch.name for row in rows)
    for member in members:
        call = member.report["call"]
        assert (member.state, member.vendor, member.model) == ("settled", route.vendor, route.model)
        assert member.simulated
        assert member.budget is None
        assert member.input_tokens > 0
        live = member.input_tokens * route.input_nano_usd + member.output_tokens * route.output_nano_usd
        assert member.cost_nano_usd * 2 == pytest.approx(live, abs=1)
        assert call["request"]
        assert call["answer"]
    assert (batch.state, batch.requests, batch.ended_at is not None) == ("ended", 3, True)
    (carrier,) = [row for row in fleet.rows(tables.job) if row.workflow == "vendor-batch"]
    assert (carrier.state, carrier.purpose) == ("done", "maintenance")
    assert "3 completed" in carrier.why


def test_feature_work_and_a_single_subtask_go_live(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog) as fleet:
        fleet.finish(fleet.maintenance(3, purpose="feature"))
        fleet.finish(fleet.maintenance(1))
        assert fleet.rows(tables.vendor_batch) == []


def test_one_that_waited_for_long_goes_by_batch_alone(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog, rule={"patience_seconds": 1e-9}) as fleet:
        fleet.finish(fleet.maintenance(1))
        assert fleet.batch().requests == 1


def test_without_a_worker_that_carries_batches_everything_goes_live(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog) as fleet:
        fleet.hands.announce(tuple(name for name in fleet.catalog.lanes if name != "batches"))
        fleet.finish(fleet.maintenance(3))
        assert fleet.rows(tables.vendor_batch) == []


def test_what_waits_for_a_batch_says_so_and_holds_no_slot(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog, seconds=1e6) as fleet:
        fleet.hands.announce(tuple(fleet.catalog.lanes), slots=2)
        job_id = fleet.maintenance(3)
        while fleet.batch_state() != "submitted":
            fleet.step()
        before = fleet.looks()
        while fleet.looks() < before + 2:
            said = fleet.step()
            assert not any("failed" in sentence for sentence in said)
        waiting = fleet.subtasks(job_id, "research")
        assert [row.state for row in waiting] == ["submitted"] * 3
        with ledger.read() as connection:
            told = explain_subtask(connection, waiting[0].id).waits[0]
            standing = queues(connection)["research"]
        assert (standing.submitted, standing.running) == (3, 0)
        assert told.waits_for.startswith(f"batch {fleet.batch().name} of anthropic, looked at ")
        assert told.until is not None
        other = fleet.maintenance(1, purpose="feature")
        fleet.finish(other)
        assert fleet.job(other).state == "done"


@pytest.mark.parametrize(
    ("fate", "code"), [({"expired": 1}, Code.TIMEOUT), ({"errored": 1}, Code.VENDOR_ERROR)]
)
def test_what_expired_or_failed_is_asked_live(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog, fate: dict[str, Any], code: Code
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog, **fate) as fleet:
        job_id = fleet.maintenance(2)
        fleet.without_backoff()
        fleet.finish(job_id)
        assert [row.code for row in fleet.members()] == [code, code]
        assert [row.cost_nano_usd for row in fleet.members()] == [0, 0]
        live = [row for row in fleet.rows(tables.attempt) if row.budget and row.lane == "research"]
        assert len(live) == 2
        assert {row.number for row in live} == {2}
        assert [row.state for row in fleet.subtasks(job_id, "research")] == ["done", "done"]


def test_a_refused_batch_goes_live_and_the_vendor_is_left_alone_for_a_while(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog) as fleet:
        fleet.simulator.script({"kind": "unauthorised"})
        job_id = fleet.maintenance(2)
        fleet.without_backoff()
        fleet.finish(job_id)
        fleet.finish(fleet.maintenance(2))
        assert {row.code for row in fleet.members()} == {Code.NOT_SENT}
        assert {row.sent for row in fleet.members()} == {False}
        assert fleet.batch().state == "refused"
        assert fleet.simulator.ledger() == []


def test_a_submission_whose_end_is_unknown_is_charged_and_never_repeated(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog) as fleet:
        fleet.simulator.script({"kind": "reset"})
        job_id = fleet.maintenance(2)
        fleet.without_backoff()
        fleet.finish(job_id)
        members = fleet.members()
        assert {(row.ambiguous, row.sent, row.code) for row in members} == {(True, True, Code.VENDOR_ERROR)}
        for row in members:
            half = row.reserved_input_tokens * 50 + row.reserved_output_tokens * 250
            assert row.cost_nano_usd == half
        assert fleet.batch().state == "lost"


def test_a_worker_that_dies_after_the_intent_leaves_it_open_and_nothing_is_handed_in_twice(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog) as fleet:
        job_id = fleet.maintenance(2)
        bell = fleet.bell_of("batches")
        claim = fleet.hands.claim(bell)
        fleet.door.begin_batch(claim, "hands")  # type: ignore[arg-type]
        fleet.let_leases_run_out(bell)
        fleet.without_backoff()
        fleet.finish(job_id)
        assert {(row.ambiguous, row.code) for row in fleet.members()} == {(True, Code.VENDOR_ERROR)}
        assert fleet.batch().state == "lost"
        assert fleet.simulator.ledger() == []
        assert [row.state for row in fleet.subtasks(job_id, "research")] == ["done", "done"]


def test_a_worker_that_dies_after_the_submission_loses_nothing(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog) as fleet:
        job_id = fleet.maintenance(2)
        bell = fleet.bell_of("batches")
        fleet.carry_and_die(bell)
        fleet.let_leases_run_out(bell)
        fleet.finish(job_id)
        assert [row.code for row in fleet.members()] == [None, None]
        assert len(fleet.simulator.ledger()) == 2
        assert fleet.batch().state == "ended"


@pytest.mark.parametrize("reports", [1, 2])
def test_a_worker_that_dies_while_it_collects_is_followed_by_one_that_collects_the_rest(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog, reports: int
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog) as fleet:
        job_id = fleet.maintenance(2)
        fleet.carry(fleet.bell_of("batches"))
        bell = fleet.bell_of("batches")
        fleet.carry_and_die(bell, after_reports=reports)
        fleet.let_leases_run_out(bell)
        fleet.finish(job_id)
        assert [row.code for row in fleet.members()] == [None, None]
        assert len(fleet.simulator.ledger()) == 2
        assert fleet.batch().state == "ended"


def test_a_batch_whose_job_ends_is_given_up_and_its_members_go_live(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog, seconds=1e6) as fleet:
        job_id = fleet.maintenance(2)
        while fleet.batch_state() != "submitted":
            fleet.step()
        request_cancel(ledger, fleet.batch().job_id, "bob")
        fleet.without_backoff()
        fleet.finish(job_id)
        assert fleet.batch().state == "abandoned"
        assert {(row.state, row.code, row.ambiguous) for row in fleet.members()} == {
            ("lost", Code.CRASHED, True)
        }
        assert {row.worker_seconds for row in fleet.members()} == {0.0}
        assert [row.state for row in fleet.subtasks(job_id, "research")] == ["done", "done"]


def test_a_batch_that_nobody_hands_in_returns_unrun_and_goes_live(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog) as fleet:
        job_id = fleet.maintenance(2)
        fleet.turn()
        request_cancel(ledger, fleet.batch().job_id, "bob")
        fleet.finish(job_id)
        assert {row.state for row in fleet.members()} == {"returned"}
        assert {row.tries for row in fleet.subtasks(job_id, "research")} == {1}


def test_the_results_of_a_cancelled_job_are_booked_and_dropped(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog, seconds=0.5, speed_up=1) as fleet:
        job_id = fleet.maintenance(2)
        while fleet.batch_state() != "submitted":
            fleet.step()
        request_cancel(ledger, job_id, "bob")
        for _ in range(600):
            if fleet.job(job_id).ended_at is not None:
                break
            fleet.step()
        assert fleet.job(job_id).state == "cancelled"
        assert all(row.cost_nano_usd > 0 for row in fleet.members())
        assert {row.state for row in fleet.subtasks(job_id, "research")} == {"cancelled"}


def test_a_spending_cap_holds_for_batches_too(ledger: Ledger, tmp_path: Path, bench_catalog: Catalog) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog) as fleet:
        set_cap(ledger, fleet.catalog, Scope.FLEET, "", Period.TOTAL, 1e-9, "bob", "no money")
        fleet.maintenance(3)
        for _ in range(3):
            fleet.step()
        assert fleet.rows(tables.vendor_batch) == []
        assert fleet.simulator.ledger() == []


def test_only_so_many_wait_in_batches_and_the_rest_goes_live(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog, rule={"requests": 2}) as fleet:
        fleet.finish(fleet.maintenance(5))
        ways = Counter(
            row.vendor_batch_id is not None for row in fleet.rows(tables.attempt) if row.lane == "research"
        )
        assert ways == {True: 2, False: 3}


def test_a_batch_waits_for_a_ledger_that_is_away_and_is_handed_in_once(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog) as fleet:
        job_id = fleet.maintenance(3)
        door = LateDoor(fleet.door)
        said = fleet.worker(door).run(fleet.bell_of("batches"))
        assert door.lost == {"find_batch", "begin_batch", "batch_submitted"}
        assert said.startswith("3 request(s) wait in batch") and fleet.batch_state() == "submitted"
        fleet.finish(job_id)
        rows = fleet.simulator.ledger()
    assert fleet.batch().state == "ended"
    assert [row.state for row in fleet.subtasks(job_id, "research")] == ["done"] * 3
    assert {row.code for row in fleet.members()} == {None}
    assert rows


def test_a_batch_whose_worker_must_go_before_it_was_handed_in_costs_nothing(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    leaving = Leaving(0.0)

    class LeavingDoor(Door):
        def begin_batch(self, claim: Claim, worker_id: str) -> CarriedBatch:
            begun = super().begin_batch(claim, worker_id)
            leaving.give_back()
            return begun

    with carried_fleet(ledger, tmp_path, bench_catalog) as fleet:
        job_id = fleet.maintenance(3)
        worker = fleet.worker(LeavingDoor(fleet.ledger, fleet.store, fleet.settings.lease_seconds))
        worker.leaving = leaving
        assert "its worker was stopped" in worker.run(fleet.bell_of("batches"))
        fleet.without_backoff()
        fleet.finish(job_id)
    assert [(row.code, row.ambiguous) for row in fleet.members()] == [(Code.NOT_SENT, False)] * 3
    assert [row.state for row in fleet.subtasks(job_id, "research")] == ["done"] * 3


def test_a_member_whose_handoff_did_not_arrive_whole_is_not_asked(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog) as fleet:
        job_id = fleet.maintenance(3)
        attempt_id = fleet.bell_of("batches")
        handed = fleet.first_handed()
        fleet.hand_first(handed | {"manifest": handed["manifest"] | {"artifacts": 9}})
        assert fleet.carry(attempt_id).startswith("2 request(s) wait in batch")
        fleet.finish(job_id)
    assert sorted(row.code or "" for row in fleet.members()) == ["", "", Code.BROKEN_HANDOFF]


@pytest.mark.parametrize("unread", ["before it is handed in", "before it is collected"])
def test_a_member_that_its_carrier_cannot_read_keeps_no_other_from_the_vendor(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog, unread: str
) -> None:
    with carried_fleet(ledger, tmp_path, bench_catalog) as fleet:
        job_id = fleet.maintenance(3)
        attempt_id = fleet.bell_of("batches")
        handed = fleet.first_handed()
        taken = unread == "before it is collected"
        if taken:
            assert fleet.carry(attempt_id).startswith("3 request(s) wait in batch")
        fleet.hand_first(handed | {"mood": "cheerful"})
        if not taken:
            assert fleet.carry(attempt_id).startswith("2 request(s) wait in batch")
        while fleet.batch_state() != "ended":
            fleet.step()
        fleet.hand_first(handed)  # the newer worker, which knows what it was handed
        fleet.without_backoff()
        fleet.finish(job_id)
    assert [row.state for row in fleet.subtasks(job_id, "research")] == ["done"] * 3
    first, *others = fleet.members()
    assert (first.code, [row.code for row in others]) == (Code.UNKNOWN_CONTRACT, [None, None])
    assert "mood" in first.report["outcome"]["failure"]["sentence"]
    assert first.ambiguous is False
    assert bool(first.cost_nano_usd) == taken, "what was answered was paid for, whoever can read it"
    assert taken == bool(first.report["call"] and first.report["call"]["answer"])
