"""A worker's process: what it says when it cannot start, while its broker is away, and that it lives on."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.quiet import OncePerAbsence
from orchestrator.door import Claim
from orchestrator.ledger import schema
from orchestrator.ledger.engine import Ledger
from orchestrator.up.ports import free_port, is_free
from workers.heartbeat import Heartbeat

NOBODY = "redis://127.0.0.1:1/0"


@contextmanager
def worker(state_dir: Path, *module: str) -> Iterator["subprocess.Popen[str]"]:
    environment = os.environ | {"FLEET_STATE_DIR": str(state_dir), "FLEET_BROKER_URL": NOBODY}
    environment.pop("FLEET_DATABASE_URL", None)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", *module],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


RESEARCHER = ("workers", "--lanes", "research")


def migrated(state_dir: Path) -> Path:
    ledger = Ledger(f"sqlite:///{state_dir / 'ledger.sqlite3'}")
    schema.migrate(ledger)
    ledger.close()
    return state_dir


def test_a_worker_on_an_unmigrated_ledger_says_one_sentence(tmp_path: Path) -> None:
    with worker(tmp_path, *RESEARCHER) as process:
        _, said = process.communicate(timeout=30)
    needed = schema.newest()
    assert said == f"the ledger is of version none and this code needs {needed}: run `fleet migrate`\n"
    assert process.returncode == 1


def test_a_worker_without_a_ledger_says_one_sentence(tmp_path: Path) -> None:
    with worker(tmp_path / "nowhere", *RESEARCHER) as process:
        _, said = process.communicate(timeout=30)
    assert said == "the ledger is unreachable: unable to open database file\n"
    assert process.returncode == 1


def test_a_worker_with_paces_that_do_not_fit_says_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEET_HEARTBEAT_SECONDS", "20")
    with worker(tmp_path, *RESEARCHER) as process:
        _, said = process.communicate(timeout=30)
    assert said.startswith("FLEET_HEARTBEAT_SECONDS (20) may be at most half of FLEET_LEASE_SECONDS (30)")
    assert (said.count("\n"), process.returncode) == (1, 2)


@pytest.mark.parametrize("module", [RESEARCHER, ("orchestrator", "upkeep")], ids=["worker", "upkeep"])
def test_a_broker_that_is_away_is_told_once_and_does_not_hinder_the_end(
    tmp_path: Path, module: tuple[str, ...]
) -> None:
    with worker(migrated(tmp_path), *module) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "Cannot connect to" in line)
        time.sleep(5)  # it tries every second
        assert process.poll() is None, "it keeps trying"
        process.send_signal(signal.SIGTERM)
        said += process.communicate(timeout=20)[1]
    assert said.count("Cannot connect to") == 1, said
    assert "trying until it answers" in said
    assert "Traceback" not in said
    assert process.returncode == 0


PROCESSES = {
    "threads": RESEARCHER,
    "prefork": ("workers", "--lanes", "compute"),
    "upkeep": ("orchestrator", "upkeep"),
}


@pytest.mark.parametrize("module", PROCESSES.values(), ids=PROCESSES)
def test_each_tells_figures_of_its_own_and_its_port_is_free_as_soon_as_it_is_gone(
    tmp_path: Path, module: tuple[str, ...]
) -> None:
    port = free_port()
    told = (*module, "--metrics-port", str(port))
    with worker(migrated(tmp_path), *told) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "Cannot connect to" in line)  # its pool has started
        figures = httpx2.get(f"http://127.0.0.1:{port}/metrics").raise_for_status().text
        assert "process_resident_memory_bytes" in figures

        with worker(tmp_path, *told) as second:
            _, said = second.communicate(timeout=30)
        sentence = said.splitlines()[-1].removeprefix("fleet: ")
        assert sentence == f"--metrics-port {port}: Address already in use; choose another"
        assert second.returncode == 1
        process.kill()
        process.wait()
        assert is_free(port)


def test_each_absence_of_the_broker_is_told_once_and_so_is_its_end() -> None:
    once = OncePerAbsence()

    def heard(*sentences: str) -> list[str]:
        records = [logging.LogRecord("celery", logging.ERROR, "", 0, said, (), None) for said in sentences]
        return [record.getMessage() for record in records if once.filter(record)]

    away = "consumer: Cannot connect to redis://here: refused.\nTrying again in 2.00 seconds... (1/None)\n"
    assert heard("Connected to redis://here") == []
    told = ["consumer: Cannot connect to redis://here: refused; trying until it answers"]
    assert heard(away, away, away) == told
    assert heard("Connected to redis://here", "something else") == [
        "Connected to redis://here",
        "something else",
    ]
    assert heard(away, away) == told


class StumblingDoor:
    """Raises at the first beats, and then lets them pass."""

    def __init__(self) -> None:
        self.beats = 0
        self.passed = threading.Event()

    def heartbeat(self, held: Iterable[Claim]) -> frozenset[str]:
        self.beats += 1
        if self.beats <= 2:
            raise RuntimeError("whatever")
        self.passed.set()
        return frozenset()


def test_the_heart_beats_on_after_an_error() -> None:
    door: Any = StumblingDoor()
    claim: Any = Claim("attempt", "subtask", "job", 1, "token", None)  # type: ignore[arg-type]
    with Heartbeat(door, seconds=0.02).hold(claim):
        assert door.passed.wait(timeout=5)
