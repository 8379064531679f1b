"""Secrets that were planted stand nowhere: not in what a fleet keeps, says, shows, sends or is started with.

Each key is one that nobody else could have made, the vendors see the right ones, and some of them refuse.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
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

    def get(self, url: str) -> bytes:
        """What an address answers to somebody who has the fleet's key."""
        known = {"Authorization": f"Bearer {self.keys['FLEET_API_KEY'].decode()}"}
        return httpx2.get(url, headers=known, timeout=30).raise_for_status().content

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
        vendors = ending.enter_context(running_simulator(errors="default"))
        addresses = {
            "ANTHROPIC_BASE_URL": f"{vendors.url}/anthropic",
            "OPENAI_BASE_URL": f"{vendors.url}/openai/v1",
            "GOOGLE_GEMINI_BASE_URL": f"{vendors.url}/gemini",
        }
        fleet = ending.enter_context(running_fleet(tmp_path_factory.mktemp("planted"), **addresses, **keys))
        guessed = f"canary-{secrets.token_hex(12)}"
        told = {name: key.encode() for name, key in (keys | {GUESSED: guessed}).items()}
        planted = Planted(fleet, vendors, told)
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
    without = httpx2.post(f"{planted.vendors.url}/openai/v1/responses", json={"model": "m", "input": "hello"})
    assert without.status_code == 401
    seen = {row["vendor"] for row in planted.vendors.ledger() if row["status"] == 200}
    assert seen == {"anthropic", "openai", "gemini"}
    assert set(FAULTS) <= planted.injected()


def test_nothing_that_the_fleet_keeps_or_says_has_a_secret(planted: Planted) -> None:
    """Ledger, artifacts, logs, pages, process files, and the screen."""
    files = [path for path in planted.fleet.root.parent.rglob("*") if path.is_file()]
    found = {path.name for path in files}
    assert {"ledger.sqlite3", "screen.txt", "api.log", "worker-waiting.log"} <= found
    assert {str(path): named for path in files if (named := planted.named_in(path.read_bytes()))} == {}


def test_no_page_or_figure_shows_a_secret(planted: Planted) -> None:
    api, flower = planted.fleet.api_url, planted.fleet.flower_url
    of_jobs = [f"{api}/v1/jobs/{job}{part}" for job in planted.jobs for part in ("", "/explain")]
    pages = [f"{api}/metrics", f"{api}/v1/lanes", f"{api}/v1/dead-letters", f"{api}/v1/escalations", *of_jobs]
    nodes = [node["hostname"] for node in json.loads(planted.get(f"{flower}/workers?json=1"))["data"]]
    shown = [
        f"{flower}/{page}" for page in ("tasks", "broker", "metrics", *(f"worker/{node}" for node in nodes))
    ]
    assert nodes
    answers = {url: planted.get(url) for url in (*pages, *shown)}
    assert all(answers.values())
    assert {url: named for url, said in answers.items() if (named := planted.named_in(said))} == {}


def test_no_message_in_the_broker_has_a_secret(planted: Planted) -> None:
    url = broker_of(planted.fleet.root)
    assert url is not None
    with redis.Redis.from_url(url) as broker:
        broker.config_set("rdbcompression", "no")  # what is packed cannot be searched
        kept = {key: broker.dump(key) or b"" for key in broker.scan_iter()}
    assert kept
    assert {key: named for key, dumped in kept.items() if (named := planted.named_in(key + dumped))} == {}


def test_no_process_was_started_with_a_secret_in_its_arguments(planted: Planted) -> None:
    commands = [line for path in Path("/proc").glob("[0-9]*/cmdline") if (line := _read(path))]
    if not commands:
        pytest.skip("/proc does not tell what processes were started with")
    assert any(b"orchestrator" in line for line in commands)
    assert [line for line in commands if planted.named_in(line)] == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
