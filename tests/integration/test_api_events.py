"""The stream of a job's events: in order, each once, resumable, and over when the job is."""

import json
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest
from sqlalchemy import insert, update

from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from orchestrator.reads.events import tail
from tests.integration.ledgers import Rows, problem_of


def stream(
    http: httpx2.Client, job_id: str, headers: dict[str, str] | None = None
) -> Iterator[httpx2.ServerSentEvent]:
    with http.sse(f"/v1/jobs/{job_id}/events", headers=headers) as source:
        assert source.response.headers["content-type"].startswith("text/event-stream")
        yield from source


def end(rows: Rows, job_id: str, state: str = "done") -> int:
    """Ends the job as the loop does: the move and its event in one transaction."""
    with rows.ledger.write() as connection:
        connection.execute(
            update(tables.job)
            .where(tables.job.c.id == job_id)
            .values(state=state, why="so", ended_at=rows.at)
        )
        told = {"at": rows.at, "kind": "job_moved", "job_id": job_id, "actor": "loop", "new": state}
        statement = insert(tables.event).values(**told).returning(tables.event.c.seq)
        return int(connection.execute(statement).scalar_one())


def test_an_ended_job_is_told_whole_and_the_stream_ends(http: httpx2.Client, rows: Rows) -> None:
    job_id, other = rows.job(), rows.job()
    subtask_id = rows.subtask(job_id, "draft")
    seqs = [rows.event(job_id, subtask_id=subtask_id, kind="subtask_moved", new="ready") for _ in range(450)]
    rows.event(other)
    seqs.append(end(rows, job_id))

    *told, last = list(stream(http, job_id))

    assert [int(event.id) for event in told] == seqs
    assert json.loads(told[0].data)["subtask"] == "draft"
    assert (told[0].event, last.event) == ("subtask_moved", "end")
    assert json.loads(last.data) == {"state": "done", "why": "so"}


def test_a_stream_is_resumed_behind_the_last_event(http: httpx2.Client, rows: Rows) -> None:
    job_id = rows.job()
    seqs = [rows.event(job_id) for _ in range(4)]
    seqs.append(end(rows, job_id))

    resumed = list(stream(http, job_id, {"Last-Event-ID": str(seqs[2])}))
    assert [event.id for event in resumed[:-1]] == [str(seq) for seq in seqs[3:]]
    (only,) = list(stream(http, job_id, {"Last-Event-ID": str(seqs[-1])}))
    assert only.event == "end"
    for bad in ("last", "-1", "1.5", "9" * 30):
        answer = http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": bad})
        assert "last-event-id" in problem_of(answer, 422).lower()


def test_events_come_as_they_happen(http: httpx2.Client, rows: Rows) -> None:
    job_id = rows.job()
    first = rows.event(job_id)
    told = stream(http, job_id)

    assert next(told).id == str(first)
    began = time.monotonic()
    second = rows.event(job_id)
    assert next(told).id == str(second)
    assert time.monotonic() - began < 3
    end(rows, job_id)
    assert [event.event for event in told] == ["job_moved", "end"]


def test_watchers_do_not_hold_the_api_up(http: httpx2.Client, rows: Rows) -> None:
    """More streams than the server has threads, while other requests are answered."""
    job_id = rows.job()
    rows.event(job_id)
    began = threading.Semaphore(0)

    def watch() -> None:
        for _ in stream(http, job_id):
            began.release()

    watchers = [threading.Thread(target=watch, daemon=True) for _ in range(50)]
    for watcher in watchers:
        watcher.start()
    for _ in watchers:
        assert began.acquire(timeout=20)
    asked = time.monotonic()
    assert http.get("/v1/jobs").status_code == 200
    assert time.monotonic() - asked < 3
    end(rows, job_id)
    for watcher in watchers:
        watcher.join(timeout=20)
    assert not any(watcher.is_alive() for watcher in watchers)


def test_a_lower_number_that_commits_later_is_not_missed(ledger: Ledger, rows: Rows) -> None:
    """PostgreSQL draws numbers before it commits: an event may appear below one that was already visible."""
    if ledger.is_sqlite:
        pytest.skip("SQLite has one writer, so numbers appear in order")
    job_id = rows.job()
    told = {"at": rows.at, "kind": "job_moved", "job_id": job_id, "actor": "worker"}
    with ledger.write() as slow:
        slow.execute(insert(tables.event).values(**told))
        later = rows.event(job_id)
        with ledger.read() as connection:
            assert tail(connection, job_id, 0).events == ()
    with ledger.read() as connection:
        assert [event.seq for event in tail(connection, job_id, 0).events] == [later - 1, later]
