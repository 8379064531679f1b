"""Webhooks: upstream is told over a real socket, signed, again after a failure, and nowhere else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError
from sqlalchemy import update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from contracts.failures import Code
from orchestrator.ledger import tables
from orchestrator.problems import Malformed
from orchestrator.webhooks import RETRY_SECONDS, Deliverer, secret_of
from tests.integration.small_fleet import SmallFleet, age, fails


@dataclass
class Receiver:
    """Somebody's HTTP server: keeps what it got, and answers with the statuses it was given."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(kept.statuses.pop(0) if kept.statuses else 204)
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    yield kept
    server.shutdown()
    server.server_close()


@contextmanager
def delivering(fleet: SmallFleet, *allowed: str) -> Iterator[Any]:
    """A call that delivers what is due now."""
    deliverer = Deliverer(fleet.ledger, allowed or ("127.0.0.1",), leads=lambda: True)
    with httpx2.Client(timeout=5, trust_env=False) as client:
        yield lambda: deliverer.deliver(client)


def test_the_end_of_a_job_is_told_once_and_signed(fleet: SmallFleet, receiver: Receiver) -> None:
    job_id = fleet.submit("fan", callback_url=receiver.url)
    fleet.run()
    with delivering(fleet) as deliver:
        assert (deliver(), deliver()) == (1, 0)

    ((headers, body),) = receiver.got
    told = Webhook(secret_of(fleet.ledger, "acme")).verify(body, headers)
    assert told["type"] == "job.done"
    assert told["data"] == {"job": job_id, "workflow": "fan", "state": "done", "why": "nothing was done"}
    assert headers["webhook-id"] == fleet.row(tables.webhook).id
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_of(fleet.ledger, "another")).verify(body, headers)
    (event,) = fleet.rows(tables.event, kind="webhook_delivered")
    assert (event.job_id, event.sentence) == (job_id, "taken after 1 tries")


def test_a_receiver_that_fails_is_asked_again_with_the_same_id(fleet: SmallFleet, receiver: Receiver) -> None:
    receiver.statuses = [500, 302, 200]
    fleet.hands.will("open", fails(Code.REFUSED, "it will not"))
    fleet.submit("fan", callback_url=receiver.url)
    fleet.run()
    with delivering(fleet) as deliver:
        assert (deliver(), deliver()) == (1, 0)
        first = fleet.row(tables.webhook)
        assert (first.tries, first.last_error) == (1, "the receiver answered 500")
        age(fleet.ledger, tables.webhook, first.id, next_at=RETRY_SECONDS[0])
        assert deliver() == 1
        second = fleet.row(tables.webhook)
        assert (second.tries, second.last_error) == (2, "the receiver answered 302")
        age(fleet.ledger, tables.webhook, first.id, next_at=RETRY_SECONDS[1])
        assert (deliver(), deliver()) == (1, 0)

    last = fleet.row(tables.webhook)
    assert (last.tries, last.last_error, last.delivered_at is not None) == (3, "", True)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    for headers, body in receiver.got:
        assert Webhook(secret_of(fleet.ledger, "acme")).verify(body, headers)["type"] == "job.failed"


def test_a_receiver_that_is_never_there_is_given_up_and_the_job_is_none_the_worse(fleet: SmallFleet) -> None:
    job_id = fleet.submit("fan", callback_url="http://127.0.0.1:9/hook")
    fleet.run()
    key = fleet.row(tables.webhook).id
    with delivering(fleet) as deliver:
        for pause in (*RETRY_SECONDS, 0.0):
            assert deliver() == 1
            age(fleet.ledger, tables.webhook, key, next_at=pause)
        assert deliver() == 0

    row = fleet.row(tables.webhook)
    assert (row.tries, row.delivered_at, row.gave_up_at is not None) == (len(RETRY_SECONDS) + 1, None, True)
    assert "ConnectError" in row.last_error
    assert len(fleet.rows(tables.event, kind="webhook_gave_up")) == 1
    assert fleet.job(job_id).state == "done"


def test_only_hosts_on_the_allow_list_are_ever_called(fleet: SmallFleet, receiver: Receiver) -> None:
    for url in (
        "http://169.254.169.254/latest",
        "http://localhost:8400/v1/jobs",
        "http://127.0.0.1.evil.test/",
    ):
        with pytest.raises(Malformed, match="is not on the allow-list of webhook hosts"):
            fleet.submit("fan", callback_url=url)
    assert fleet.rows(tables.job) == []

    fleet.submit("fan", callback_url=receiver.url)
    fleet.run()
    with delivering(fleet, "elsewhere.test") as deliver:
        deliver()
    assert fleet.row(tables.webhook).last_error == "127.0.0.1 is not on the allow-list any more"
    assert receiver.got == []


def test_a_host_allowed_at_its_usual_port_is_called_by_an_address_without_one(fleet: SmallFleet) -> None:
    fleet.submit("fan", callback_url="http://127.0.0.1/hook")
    fleet.run()
    with delivering(fleet, "127.0.0.1:80") as deliver:
        deliver()
    assert "ConnectError" in fleet.row(tables.webhook).last_error, "nobody listens there, but it was tried"


def test_one_webhook_that_fails_holds_up_no_other(fleet: SmallFleet, receiver: Receiver) -> None:
    fleet.submit("fan", callback_url="http://127.0.0.1:9/hook")
    fleet.submit("fan", callback_url=receiver.url)
    fleet.run()
    with delivering(fleet) as deliver:
        assert deliver() == 2
    assert len(receiver.got) == 1


def test_an_address_that_is_none_holds_up_no_other(fleet: SmallFleet, receiver: Receiver) -> None:
    for _ in range(3):
        fleet.submit("fan", callback_url=receiver.url)
    fleet.run()
    over_long, invalid, _ = (row.id for row in fleet.rows(tables.webhook))
    for key, url in ((over_long, receiver.url + "/" + "x" * 70_000), (invalid, "http://[::1/hook")):
        with fleet.ledger.write() as connection:
            connection.execute(update(tables.webhook).where(tables.webhook.c.id == key).values(url=url))

    with delivering(fleet) as deliver:
        assert (deliver(), deliver()) == (3, 0)

    assert len(receiver.got) == 1
    for key in (over_long, invalid):
        row = fleet.row(tables.webhook, id=key)
        assert (row.tries, row.delivered_at) == (1, None)
        assert row.last_error.startswith("InvalidURL: ")


def test_a_callback_url_is_not_over_long(fleet: SmallFleet, receiver: Receiver) -> None:
    with pytest.raises(ValidationError, match="a callback_url has at most 2000 characters"):
        fleet.submit("fan", callback_url=receiver.url + "/" + "x" * 2000)


def test_every_tenant_has_one_secret_of_its_own(fleet: SmallFleet) -> None:
    names = ["acme", "other", "acme", "other"] * 3
    with_threads: list[str] = []
    threads = [
        threading.Thread(target=lambda name=name: with_threads.append(secret_of(fleet.ledger, name)))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(with_threads) == 12
    assert len(set(with_threads)) == 2
