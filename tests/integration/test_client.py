"""The Python client against a real API."""

import threading
import time
from pathlib import Path

import pytest

from contracts.catalog import Catalog
from orchestrator.client import FleetClient, FleetError
from orchestrator.ledger.engine import Ledger
from tests.integration.ledgers import Rows, services_over, serving
from tests.integration.test_api_events import end
from tests.integration.test_api_intake import JOB


def test_a_job_is_submitted_watched_and_read(api: str, rows: Rows) -> None:
    with FleetClient(api) as client:
        first, again = client.submit(JOB, key="k1"), client.submit(JOB, key="k1")
        assert (first.id, first.created, again.created) == (again.id, True, False)
        rows.event(first.id, sentence="planned")
        threading.Timer(0.3, lambda: end(rows, first.id)).start()

        told = [event.sentence for event in client.watch(first.id)]

        assert told == [JOB["reason"], "planned", ""]
        assert client.job(first.id).state == "done"
        assert client.wait(first.id).id == first.id
        assert [line.id for line in client.jobs(state="done").items] == [first.id]
        assert client.explain(first.id).kind == "job"


def test_every_read_fits_its_type(api: str, rows: Rows) -> None:
    job_id = rows.job()
    subtask_id = rows.subtask(job_id, "draft", "dead", ended_at=rows.at)
    rows.dead_letter(job_id, subtask_id)
    approval_id = rows.approval(job_id, rows.subtask(job_id, "approval", "parked", lane=None))
    with FleetClient(api) as client:
        ref = client.upload(b"notes", "text/plain")
        assert client.artifact(ref.digest) == b"notes"
        assert client.explain(subtask_id).kind == "subtask"
        assert client.dead_letters(lane="draft").items[0].subtask_id == subtask_id
        assert client.dead_letter_groups().items[0].count == 1
        assert client.dead_letter(subtask_id).name == "draft"
        assert client.discard(subtask_id, "bob", "not needed").discarded_by == "bob"
        assert client.approvals().items[0].id == approval_id
        seen = client.approval(approval_id)
        assert client.answer(approval_id, "approve", "bob", digest=seen.digest).state == "approved"
        assert client.cancel(job_id, "bob").cancel_requested_by == "bob"
        assert client.lane("draft").lane == "draft"
        assert len(client.lanes().items) == len(rows.catalog.lanes)
        assert client.budgets().items == ()
        assert client.tax(3600).window_seconds == 3600
        assert client.escalations().items == ()
        assert {line.workflow for line in client.workflows().items} >= {"brief"}


def test_refusals_are_errors_with_their_sentence_and_status(api: str) -> None:
    with FleetClient(api) as client:
        with pytest.raises(FleetError, match="purpose") as refused:
            client.submit(dict(JOB) | {"purpose": "fun"})
        assert refused.value.status == 422
        for ask in (client.job, client.explain, lambda given: list(client.watch(given))):
            with pytest.raises(FleetError) as unknown:
                ask("01ARZ3NDEKTSV4RRFFQ69G5FA1")
            assert unknown.value.status == 404


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "127.0.0.1:1", "http://[broken"])
def test_where_no_fleet_answers_the_error_says_what_to_do(address: str) -> None:
    with pytest.raises(FleetError) as nothing:
        FleetClient(address).jobs()
    assert nothing.value.status is None
    assert address in nothing.value.sentence


def test_what_is_no_fleet_is_told_so(tmp_path: Path) -> None:
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    server = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(FleetError) as other:
            FleetClient(f"http://127.0.0.1:{server.server_port}").tax()
        assert other.value.status == 404
    finally:
        server.shutdown()


def test_a_watch_survives_a_restart_of_the_api(
    ledger: Ledger, rows: Rows, catalog: Catalog, tmp_path: Path
) -> None:
    services = services_over(ledger, catalog, tmp_path)
    job_id = rows.job()
    seqs = [rows.event(job_id)]
    told: list[int] = []
    with serving(services) as address:
        client = FleetClient(address, sleep=lambda seconds: time.sleep(0.1))

        def watch() -> None:
            told.extend(event.seq for event in client.watch(job_id))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        time.sleep(0.5)
    seqs += [rows.event(job_id), end(rows, job_id)]
    with serving(services, port=int(address.rpartition(":")[2])):
        watcher.join(timeout=20)

    assert not watcher.is_alive()
    assert told == seqs


def test_the_key_is_sent(ledger: Ledger, catalog: Catalog, tmp_path: Path) -> None:
    with serving(services_over(ledger, catalog, tmp_path, api_key="s3cret")) as address:
        assert FleetClient(address, "s3cret").jobs().items == ()
        with pytest.raises(FleetError) as refused:
            FleetClient(address).jobs()
        assert refused.value.status == 401
