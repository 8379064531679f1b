"""Leadership: one decides, the others stand by, and a leader that was paused cannot commit afterwards."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, make_url, text

from contracts.catalog import Catalog
from contracts.states import JobState
from orchestrator.advance import Advancer
from orchestrator.answers import Answerer
from orchestrator.blocking import Suppliers
from orchestrator.dispatch import Dispatcher
from orchestrator.ledger import schema, tables
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.leadership import Deposed, Leadership
from orchestrator.ledger.moves import JobMove, move_jobs
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.looking import Looker
from orchestrator.loop import Loop, Verb, Verbs
from orchestrator.plan import Planner
from orchestrator.recall import Recaller
from orchestrator.reconcile import Reconciler
from orchestrator.wake import wake_for
from tests.integration.ledgers import DATABASE_VARIABLE, rows_of
from tests.integration.small_fleet import SmallFleet, age, assert_story_holds


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.02)


def test_one_leads_and_the_other_stands_by_until_the_lease_ran_out(ledger: Ledger) -> None:
    first, second = Leadership(ledger, "first", 30.0), Leadership(ledger, "second", 30.0)
    assert (first.seek(), second.seek(), first.seek()) == (True, False, True)
    assert (first.epoch, second.epoch) == (1, None)

    age(ledger, tables.leader, "loop", lease_until=60.0)
    assert (second.seek(), first.seek()) == (True, False)
    assert second.epoch == 2
    told = [(row.actor, row.sentence) for row in rows_of(ledger, tables.event)]
    assert told == [("first", "leads epoch 1"), ("second", "leads epoch 2")]


def test_a_leader_whom_nobody_replaced_goes_on_after_its_lease(ledger: Ledger) -> None:
    leader = Leadership(ledger, "first", 30.0)
    leader.seek()
    age(ledger, tables.leader, "loop", lease_until=60.0)
    assert leader.seek()
    assert leader.epoch == 1
    with leader.decide():
        pass


def test_who_resigns_hands_over_at_once(ledger: Ledger) -> None:
    first, second = Leadership(ledger, "first", 30.0), Leadership(ledger, "second", 30.0)
    first.seek()
    first.resign()
    assert second.seek()
    first.resign()
    assert not first.seek()
    with pytest.raises(Deposed), first.decide():
        pass


def test_of_many_that_seek_an_empty_seat_one_gets_it(ledger: Ledger) -> None:
    start = threading.Barrier(5)
    seekers = [Leadership(ledger, f"seeker-{n}", 30.0) for n in range(5)]

    def seek(leadership: Leadership) -> bool:
        start.wait()
        return leadership.seek()

    with ThreadPoolExecutor(5) as pool:
        assert sorted(pool.map(seek, seekers)) == [False] * 4 + [True]
    assert len(rows_of(ledger, tables.leader)) == 1


def test_two_processes_of_one_name_are_still_two(ledger: Ledger) -> None:
    first, second = Leadership(ledger, "fleet/1", 30.0), Leadership(ledger, "fleet/1", 30.0)
    assert (first.seek(), second.seek()) == (True, False)


def test_nothing_that_a_deposed_leader_decided_is_ever_seen(fleet: SmallFleet) -> None:
    job_id = fleet.submit("fan")
    age(fleet.ledger, tables.leader, "loop", lease_until=120.0)
    assert Leadership(fleet.ledger, "another", 30.0).seek()

    for verb in (fleet.plan, fleet.advance, fleet.answer, fleet.dispatch, fleet.reconcile):
        with pytest.raises(Deposed, match="epoch 2 has begun, this was 1"):
            verb.run()
    assert (fleet.job(job_id).state, fleet.states(job_id)) == ("accepted", {})


def test_a_leader_deposed_while_it_decides_waits_its_turn_and_is_deposed_then(fleet: SmallFleet) -> None:
    """The decision holds the leader's row, so a rival waits for it and neither is half done."""
    job_id = fleet.submit("fan")
    rival = Leadership(fleet.ledger, "rival", 30.0)
    with ThreadPoolExecutor(1) as pool:
        with fleet.leadership.decide() as (connection, at):
            connection.execute(tables.leader.update().values(lease_until=0.0))
            waits = pool.submit(rival.seek)
            time.sleep(0.2)
            assert not waits.done()
            move_jobs(
                connection, [JobMove(job_id, JobState.ACCEPTED, JobState.FAILED, "so be it")], "test", at
            )
        assert waits.result(timeout=10)
    assert fleet.job(job_id).state == "failed"
    with pytest.raises(Deposed), fleet.leadership.decide():
        pass


class LoopOf:
    """A running loop of its own, as one orchestrator process has it."""

    def __init__(
        self, fleet: SmallFleet, name: str, lease_seconds: float = 1.0, ledger: Ledger | None = None
    ) -> None:
        ledger = ledger or fleet.ledger
        self.leadership = Leadership(ledger, name, lease_seconds)
        snapshots = Snapshots()
        dispatcher = Dispatcher(self.leadership, fleet.settings)
        self.plan: Verb = Planner(self.leadership, snapshots)
        verbs = Verbs(
            plan=self,
            replay=fleet.replay,
            advance=Advancer(
                self.leadership,
                snapshots,
                dispatcher.learn,
                dispatcher.correct,
                Suppliers(fleet.intake, fleet.catalog.prerequisites),
            ),
            answer=Answerer(self.leadership, snapshots),
            recall=Recaller(self.leadership, snapshots, fleet.settings),
            gather=fleet.gather,
            dispatch=dispatcher,
            reconcile=Reconciler(self.leadership, snapshots, {}, dispatcher.correct),
        )
        self.rung = threading.Event()
        self.paused = threading.Event()
        self.resume = threading.Event()
        self._wake = wake_for(ledger)
        self.loop = Loop(self.leadership, verbs, Looker(ledger).look, self._wake, self.rung.set)
        self.thread = threading.Thread(target=self.loop.run, daemon=True)

    def run(self) -> int:
        """The first verb, before which this process may be paused."""
        if self.paused.is_set():
            self.resume.wait(timeout=20)
        return self.plan.run()

    def __enter__(self) -> "LoopOf":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.resume.set()
        self.loop.stop()
        self.thread.join(timeout=10)
        self._wake.close()
        assert not self.thread.is_alive()


def test_the_loop_wakes_by_itself_and_rings_the_relay(fleet: SmallFleet) -> None:
    fleet.leadership.resign()
    with LoopOf(fleet, "one") as loop:
        job_id = fleet.submit("fan", documents=3)

        def done() -> bool:
            fleet.hands.work()
            return bool(fleet.job(job_id).state == "done")

        eventually(done)
        assert loop.rung.is_set()
    assert fleet.row(tables.leader).lease_until == 0, "it resigned when it was stopped"


def test_a_standby_takes_over_when_the_leader_falls_silent_and_no_work_is_lost(fleet: SmallFleet) -> None:
    fleet.leadership.resign()
    with LoopOf(fleet, "one") as one:
        eventually(lambda: one.leadership.epoch is not None)
        with LoopOf(fleet, "two") as two:
            one.paused.set()
            job_id = fleet.submit("fan")

            def done() -> bool:
                fleet.hands.work()
                return bool(fleet.job(job_id).state == "done")

            eventually(done)
            assert two.leadership.epoch is not None
            one.resume.set()
            other = fleet.submit("fan")

            def also_done() -> bool:
                fleet.hands.work()
                return bool(fleet.job(other).state == "done")

            eventually(also_done)
    assert [row.new for row in fleet.rows(tables.event, job_id=job_id, kind="job_moved")] == [
        "accepted",
        "running",
        "done",
    ]


def test_a_stopped_leader_hands_over_without_waiting_for_its_lease(fleet: SmallFleet) -> None:
    fleet.leadership.resign()
    with LoopOf(fleet, "two", lease_seconds=60.0) as two:
        eventually(lambda: two.leadership.epoch is not None)
        with LoopOf(fleet, "one", lease_seconds=60.0) as one:
            two.loop.stop()
            began = time.monotonic()
            eventually(lambda: one.leadership.epoch is not None)
            assert time.monotonic() - began < 5


@contextmanager
def own_database() -> Iterator[Ledger]:
    """A PostgreSQL ledger in a database of its own, whose connections may be cut without harm to others."""
    url = os.environ.get(DATABASE_VARIABLE, "")
    if not url.startswith("postgresql"):
        pytest.skip(f"{DATABASE_VARIABLE} names no PostgreSQL database")
    name = f"fleet_{new_id().lower()}"
    administration = create_engine(url, isolation_level="AUTOCOMMIT")
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    opened = Ledger(make_url(url).set(database=name).render_as_string(hide_password=False))
    try:
        schema.migrate(opened)
        yield opened
    finally:
        opened.close()
        with administration.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        administration.dispose()


def cut_connections(url: URL) -> None:
    """Ends every connection to the database but the one that says so, as a restart of it does."""
    others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(text(others))
    engine.dispose()


def test_a_loop_whose_connections_are_cut_connects_again_and_goes_on(
    tmp_path: Path, bench_catalog: Catalog
) -> None:
    with own_database() as ledger:
        fleet = SmallFleet(ledger, tmp_path, bench_catalog)
        fleet.leadership.resign()
        theirs = Ledger(ledger.url.render_as_string(hide_password=False))
        with LoopOf(fleet, "one", ledger=theirs) as one:
            eventually(lambda: one.leadership.epoch is not None)
            for _ in range(2):
                ledger.close()
                cut_connections(ledger.url)
                time.sleep(0.2)
            job_id = fleet.submit("fan")

            def done() -> bool:
                fleet.hands.work()
                return bool(fleet.job(job_id).state == "done")

            eventually(done)
            assert one.thread.is_alive()
        theirs.close()
        assert_story_holds(ledger)
