"""Secrets that were planted stand nowhere: not in a fleet's files, on its screen, on the pages of its API and of
Flower, in what passes through its broker, or in its processes' arguments.

Each key is one that nobody else could have made, the vendors see the right ones, and one of them refuses. The key of
the second account is held and not used.
"""

import base64
import json
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import redis

from contracts.states import JobState
from orchestrator.client import FleetClient, FleetError
from orchestrator.up.statedir import broker_of
from tests.acceptance.stacks import RunningFleet, eventually, job_of, running_fleet, seen_through
from tests.integration.simulator_process import SimulatorAddress, running_simulator

KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY__SECOND", "FLEET_API_KEY")
AT_ONCE = {"latency": {"first_token_seconds": 0, "tokens_per_second": 0}}
PLANTED = "planted"
"""What the vendors call the account of these keys."""
LISTS = ("jobs", "lanes", "budgets", "dead-letters", "escalations", "approvals", "tax", "diagnosis")
TOLD_BY_A_WORKER = (b"broker_url", b"prefetch")
"""A setting and a figure."""
BODY = re.compile(rb'"body": "([A-Za-z0-9+/=]+)"')
GUESSED = "guessed"
"""The name of a key that somebody tried at the API's door."""
FAULTS = ("not_json", "reset", "html_502", "unauthorised")
"""The last one closes the account, so that its job would wait."""


@dataclass
class Planted:
    """A fleet that has done jobs well and badly with keys that can be told from everything else."""

    fleet: RunningFleet
    vendors: SimulatorAddress
    keys: Mapping[str, bytes]
    jobs: list[str] = field(default_factory=list)
    overheard: list[bytes] = field(default_factory=list)
    """Every command that the broker was given."""

    def get(self, url: str) -> bytes:
        """What an address answers to somebody who has the fleet's key."""
        known = {"Authorization": f"Bearer {self.keys['FLEET_API_KEY'].decode()}"}
        return httpx2.get(url, headers=known, timeout=30).raise_for_status().content

    def nodes(self) -> list[str]:
        """The workers of which Flower has heard that they live."""
        known = json.loads(self.get(f"{self.fleet.flower_url}/workers?json=1"))["data"]
        return [node["hostname"] for node in known if node["status"]]

    def worker_page(self, node: str) -> bytes:
        """Flower's page of a worker, once the worker has told of itself; sooner there is none, or a part of it."""

        def whole() -> bytes | None:
            answered = httpx2.get(f"{self.fleet.flower_url}/worker/{node}", timeout=30)
            told = answered.is_success and all(word in answered.content for word in TOLD_BY_A_WORKER)
            return answered.content if told else None

        return eventually(f"the page of {node}", whole)

    def overhear(self) -> None:
        """Listens to the broker until it ends."""
        url = broker_of(self.fleet.root)
        assert url is not None
        broker = redis.Redis.from_url(url, socket_timeout=None)  # which may be silent for long
        with suppress(redis.ConnectionError), broker.monitor() as monitor:
            for each in monitor.listen():
                self.overheard.append(each["command"].encode())

    def injected(self) -> set[str]:
        """What the vendors did to their callers."""
        return {row["injected"] for row in self.vendors.ledger() if row["injected"]}

    def named_in(self, content: bytes) -> set[str]:
        """The variables whose values stand there."""
        return {name for name, key in self.keys.items() if key in content}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    keys = {name: f"canary-{secrets.token_hex(12)}" for name in KEYS}
    with ExitStack() as ending:
        accounts = dict.fromkeys(keys.values(), PLANTED)
        vendors = ending.enter_context(running_simulator(config=AT_ONCE | {"accounts": accounts}))
        addresses = {
            "ANTHROPIC_BASE_URL": f"{vendors.url}/anthropic",
            "OPENAI_BASE_URL": f"{vendors.url}/openai/v1",
            "GOOGLE_GEMINI_BASE_URL": f"{vendors.url}/gemini",
        }
        fleet = ending.enter_context(running_fleet(tmp_path_factory.mktemp("planted"), **addresses, **keys))
        guessed = f"canary-{secrets.token_hex(12)}"
        told = {name: key.encode() for name, key in (keys | {GUESSED: guessed}).items()}
        planted = Planted(fleet, vendors, told)
        threading.Thread(target=planted.overhear, daemon=True).start()
        eventually("a word to the broker", lambda: planted.overheard)
        with (
            FleetClient(fleet.api_url, guessed) as nobody,
            pytest.raises(FleetError, match="asks for its key"),
        ):
            nobody.jobs()
        with FleetClient(fleet.api_url, keys["FLEET_API_KEY"]) as client:
            good = seen_through(client, client.submit(job_of("brief")).id)
            assert good.state is JobState.DONE, good.why
            vendors.script(*({"kind": kind} for kind in FAULTS))
            bad = client.submit(job_of("summary"))
            eventually("a key that is refused", lambda: set(FAULTS) <= planted.injected())
            eventually("that it is told", lambda: client.dead_letters().items)
        planted.jobs += [good.id, bad.id]
        yield planted


def test_the_vendors_were_asked_with_the_planted_keys(planted: Planted) -> None:
    answered = [row for row in planted.vendors.ledger() if row["status"] == 200]
    assert {(row["vendor"], row["account"]) for row in answered} == {
        (vendor, PLANTED) for vendor in ("anthropic", "openai", "gemini")
    }
    assert set(FAULTS) <= planted.injected()


def test_nothing_that_the_fleet_keeps_or_says_has_a_secret(planted: Planted) -> None:
    """Ledger, artifacts, logs, pages, process files, and the screen."""
    files = [path for path in planted.fleet.root.parent.rglob("*") if path.is_file()]
    found = {path.name for path in files}
    assert {"ledger.sqlite3", "screen.txt", "api.log", "worker-waiting.log"} <= found
    assert {str(path): named for path in files if (named := planted.named_in(_read(path)))} == {}


def test_no_page_or_figure_shows_a_secret(planted: Planted) -> None:
    api, flower = planted.fleet.api_url, planted.fleet.flower_url
    lists = ("metrics", "openapi.json", *(f"v1/{name}" for name in LISTS))
    of_jobs = (f"v1/jobs/{job}{part}" for job in planted.jobs for part in ("", "/explain"))
    pages = {url: planted.get(url) for url in (f"{api}/{page}" for page in (*lists, *of_jobs))}
    pages |= {
        url: planted.get(url) for url in (f"{flower}/{page}" for page in ("tasks", "broker", "metrics"))
    }
    pages |= {node: planted.worker_page(node) for node in eventually("a worker in Flower", planted.nodes)}
    assert all(pages.values())
    assert {url: named for url, said in pages.items() if (named := planted.named_in(said))} == {}


def test_nothing_that_passed_through_the_broker_has_a_secret(planted: Planted) -> None:
    """What a message carries is packed, and is looked at as it was before."""
    packed = [body for command in planted.overheard for body in BODY.findall(command)]
    carried = [base64.b64decode(body) for body in packed]
    asked = [row.id.encode() for row in planted.fleet.rows("SELECT id FROM attempt WHERE sent")]
    assert asked and all(any(attempt in body for body in carried) for attempt in asked)
    assert [said for said in (*planted.overheard, *carried) if planted.named_in(said)] == []


def test_no_process_was_started_with_a_secret_in_its_arguments(planted: Planted) -> None:
    commands = [line for path in Path("/proc").glob("[0-9]*/cmdline") if (line := _read(path))]
    if not commands:
        pytest.skip("/proc does not tell what processes were started with")
    assert any(b"orchestrator" in line for line in commands)
    assert [line for line in commands if planted.named_in(line)] == []


def _read(path: Path) -> bytes:
    """Its content; nothing where it, or its process, has gone meanwhile."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
