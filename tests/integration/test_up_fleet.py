"""The whole fleet under its supervisor, as a process: ready, used from another terminal, drained, taken over."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.up.identity import identity_of
from orchestrator.up.ports import free_port

FLEET = (sys.executable, "-P", "-m", "orchestrator")
READY = re.compile(r"ready in ([0-9.]+) s")


@dataclass
class Up:
    """One `fleet up`, and a second terminal beside it."""

    root: Path
    env: dict[str, str]
    process: subprocess.Popen[str]
    first_screen: str = ""
    ready_seconds: float = 0.0

    def await_ready(self) -> float:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.first_screen += line
            if found := READY.search(line):
                return float(found.group(1))
        raise AssertionError(f"it ended before it was ready:\n{self.first_screen}")

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*FLEET, *arguments], env=self.env, capture_output=True, text=True, timeout=60)

    def pids(self) -> dict[str, int]:
        files = (self.root / "run").glob("*.pid")
        return {file.stem: json.loads(file.read_text())["pid"] for file in files}


def started(root: Path) -> Up:
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("FLEET_")}
    env |= {
        "FLEET_STATE_DIR": str(root),
        "FLEET_API_URL": f"http://127.0.0.1:{port}",
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [*FLEET, "up", "--port", str(port)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Up(root, env, process)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One fleet for all tests of this file, which run in their order; the last one ends it."""
    fleet = started(tmp_path_factory.mktemp("fleet"))
    try:
        fleet.ready_seconds = fleet.await_ready()
        yield fleet
    finally:
        fleet.process.kill()
        fleet.process.wait()


def gone(pids: dict[str, int], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while any(identity_of(pid) for pid in pids.values()):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_the_first_screen_says_where_everything_is(up: Up) -> None:
    for said in (up.env["FLEET_API_URL"], "/docs", "Flower", "logs", "simulated", str(up.root)):
        assert said in up.first_screen
    assert up.ready_seconds < 60, "the promise is 15 s, on a machine that is not shared with a test run"


def test_a_second_fleet_in_the_same_directory_is_told_who_holds_it(up: Up) -> None:
    second = up.ask("up", "--port", str(free_port()))
    assert second.returncode == 1
    assert f"is held by process {up.process.pid} (a fleet with its API at" in second.stderr


def test_every_lane_is_served_and_shows_its_card(up: Up) -> None:
    lanes = json.loads(up.ask("lanes", "list", "--json").stdout)["items"]
    assert all(lane["workers"] for lane in lanes)
    shown = up.ask("lanes", "show", lanes[0]["lane"]).stdout
    assert "enforced without any prompt" in shown
    assert lanes[0]["card"]["owner"] in shown


def test_an_unknown_workflow_lists_the_known(up: Up) -> None:
    job = ("--input", __file__, "--purpose", "feature", "--reason", "a test")
    refused = up.ask("submit", "no-such-workflow", *job)
    assert refused.returncode == 1
    assert "known are" in refused.stderr


@pytest.mark.parametrize("command", ["jobs", "dead", "approvals", "drill", "budgets", "tax"])
def test_what_reads_can_be_read(up: Up, command: str) -> None:
    read = up.ask(command)
    assert (read.returncode, read.stderr) == (0, "")
    assert read.stdout


def test_check_finds_the_embedded_broker_from_another_terminal(up: Up) -> None:
    checked = up.ask("check", "--invariants")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "NO" not in checked.stdout


def test_a_killed_role_is_started_again(up: Up) -> None:
    before = up.pids()["upkeep"]
    os.kill(before, signal.SIGKILL)
    until = time.monotonic() + 10
    while up.pids().get("upkeep", before) == before:
        assert time.monotonic() < until, "it was not started again"
        time.sleep(0.1)


def test_an_interrupt_drains_everything(up: Up) -> None:
    children = up.pids()
    up.process.send_signal(signal.SIGINT)
    said, _ = up.process.communicate(timeout=45)
    assert up.process.returncode == 0
    assert "upkeep was ended by SIGKILL; it is started again" in said
    assert "drained" in said
    assert gone(children, 1)
    assert not up.pids()
