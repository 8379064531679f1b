"""The vendor simulator as a real process, for tests that speak to it over real sockets."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

_ROOT = Path(__file__).parents[2]
_LINE = "simulator listening on "


@dataclass(frozen=True)
class SimulatorAddress:
    """A running simulator."""

    url: str
    process: subprocess.Popen[str]

    def ledger(self, after: int = 0) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.ask("GET", f"ledger?after={after}")["rows"]
        return rows

    def totals(self) -> dict[str, Any]:
        totals: dict[str, Any] = self.ask("GET", "totals")
        return totals

    def script(self, *faults: Mapping[str, Any]) -> None:
        """Faults for the next calls; see ``workers.simulator.faults.ScriptedFault``."""
        self.ask("POST", "faults", [dict(fault) for fault in faults])

    def scripted(self) -> list[dict[str, Any]]:
        """Those of them that are still to come."""
        faults: list[dict[str, Any]] = self.ask("GET", "faults")["faults"]
        return faults

    def reset(self) -> None:
        self.ask("POST", "reset")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        response = httpx2.request(method, f"{self.url}/__admin/{path}", json=body, timeout=60)
        response.raise_for_status()
        return response.json()


@contextmanager
def running_simulator(
    *,
    seed: int = 7,
    errors: str = "none",
    config: Mapping[str, Any] | None = None,
    ledger: Path | None = None,
    port: int = 0,
) -> Iterator[SimulatorAddress]:
    """A simulator on a free port, ended with the block. ``config`` is what its JSON file may hold; without
    one it answers at once. Raises ``RuntimeError`` if it does not come up."""
    settings = (
        {"latency": {"first_token_seconds": 0, "tokens_per_second": 0}} if config is None else dict(config)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simulator.json"
        path.write_text(json.dumps(settings), encoding="utf-8")
        arguments = ["--port", str(port), "--seed", str(seed), "--config", str(path), "--errors", errors]
        if ledger is not None:
            arguments += ["--ledger", str(ledger)]
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.simulator", *arguments],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield SimulatorAddress(_announced(process), process)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _announced(process: subprocess.Popen[str]) -> str:
    """The address the process says it listens on."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line.startswith(_LINE):
        raise RuntimeError(f"the simulator did not come up: {line or 'it ended'}")
    return line.removeprefix(_LINE)
