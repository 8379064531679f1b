"""The ledger is away: the API says so within two seconds and accepts nothing, and a slow one is waited for."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import make_url, text

from contracts.catalog import Catalog
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from tests.integration.brokers import Wire, wire
from tests.integration.ledgers import problem_of, rows_of, services_over, serving

JOB = {
    "tenant": "acme",
    "portfolio": "docs",
    "workflow": "summary",
    "inputs": {"question": "What stands there?", "documents": [{"name": "a", "text": "something"}]},
    "purpose": "feature",
    "reason": "readers ask for it",
    "requested_by": "alice",
}


@pytest.fixture
def database(migrated_schema: Ledger) -> Iterator[Ledger]:
    yield migrated_schema
    with migrated_schema.write() as connection:
        for table in reversed(tables.metadata.sorted_tables):
            connection.execute(table.delete())


@pytest.fixture
def line(database: Ledger) -> Iterator[Wire]:
    with wire(database.url.port or 5432) as made:
        yield made


@pytest.fixture
def http(database: Ledger, line: Wire, catalog: Catalog, tmp_path: Path) -> Iterator[httpx2.Client]:
    """The API, which reaches its ledger by the line."""
    by_line = make_url(database.url).set(host="127.0.0.1", port=line.port)
    ledger = Ledger(by_line.render_as_string(hide_password=False))
    with (
        serving(services_over(ledger, catalog, tmp_path)) as url,
        httpx2.Client(base_url=url, timeout=20) as client,
    ):
        yield client
        line.live()
    ledger.close()


def submitted(http: httpx2.Client, key: str) -> tuple[httpx2.Response, float]:
    began = time.monotonic()
    response = http.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": key})
    return response, time.monotonic() - began


def test_a_ledger_that_hangs_is_told_within_two_seconds_and_what_is_sent_again_is_accepted_once(
    http: httpx2.Client, line: Wire, database: Ledger
) -> None:
    assert submitted(http, "before")[0].status_code == 202
    line.die()
    for asked in range(3):
        response, seconds = submitted(http, "during")
        assert "the ledger is unreachable" in problem_of(response, 503)
        assert int(response.headers["Retry-After"]) > 0
        assert seconds < 2.0, f"request {asked} took {seconds:.2f} s"
    assert http.get("/healthz").status_code == 200, "the process itself answers"
    began = time.monotonic()
    assert http.get("/readyz").status_code == 503
    assert time.monotonic() - began < 2.0

    line.live()
    assert submitted(http, "during")[0].status_code in (200, 202), (
        "one of those that hung may have got through"
    )
    assert len(rows_of(database, tables.job)) == 2


def test_a_ledger_that_refuses_is_told_at_once(http: httpx2.Client, line: Wire) -> None:
    line.close()
    line.cut()
    response, seconds = submitted(http, "during")
    assert "the ledger is unreachable" in problem_of(response, 503)
    assert "Retry-After" in response.headers
    assert seconds < 2.0


def test_a_ledger_that_is_only_slow_is_waited_for(http: httpx2.Client, database: Ledger) -> None:
    assert submitted(http, "before")[0].status_code == 202
    locked = threading.Event()

    def hold() -> None:
        with database.write() as connection:
            connection.execute(text("LOCK TABLE job IN ACCESS EXCLUSIVE MODE"))
            locked.set()
            time.sleep(3)

    holding = threading.Thread(target=hold)
    holding.start()
    assert locked.wait(timeout=5)
    response, seconds = submitted(http, "slow")
    holding.join()
    assert response.status_code == 202
    assert seconds > 2.0, "it was never held up"
