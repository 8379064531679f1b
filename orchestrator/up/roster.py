"""Who runs when everything runs on one machine: one child per role, one worker per regime."""

import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts.catalog import Catalog
from contracts.lanes import Regime
from orchestrator.up.access import of_vendors, without_credentials, without_vendors
from orchestrator.up.child import Spec
from orchestrator.up.ports import LOOPBACK
from orchestrator.up.statedir import StateDir

SERVING, DECIDING, WORKING, WATCHING = 1, 2, 3, 4
"""Stages: workers are drained while the ones they report to still stand."""
LEAVING_SECONDS = 8.0
"""What a worker takes, when its own grace is over, to give back what it holds and to end its processes."""
BROKER_ONLY = ("beat", "flower")
"""Roles that never ask the ledger or the API."""


@dataclass(frozen=True)
class Addresses:
    """Where the parts listen."""

    api_port: int
    flower_port: int
    broker_url: str
    simulator_port: int | None
    """None where every vendor is real."""

    @property
    def api_url(self) -> str:
        return f"http://{LOOPBACK}:{self.api_port}"

    @property
    def flower_url(self) -> str:
        return f"http://{LOOPBACK}:{self.flower_port}"

    @property
    def simulator_url(self) -> str | None:
        return f"http://{LOOPBACK}:{self.simulator_port}" if self.simulator_port else None


@dataclass(frozen=True)
class Roster:
    """The children of one fleet. `-P` keeps a folder that happens to be called like a package of ours out."""

    state: StateDir
    addresses: Addresses
    env: Mapping[str, str]
    """The supervisor's own environment."""

    def migration(self) -> Spec:
        return self._role("migrate", SERVING)

    def simulator(self, seed: int | None = None, config: Path | None = None) -> Spec:
        options = ["--port", str(self.addresses.simulator_port), "--host", LOOPBACK]
        options += ["--ledger", str(self.state.root / "simulator.jsonl")]
        options += ["--seed", str(seed)] if seed is not None else []
        options += ["--config", str(config)] if config is not None else []
        command = (sys.executable, "-P", "-m", "workers.simulator", *options)
        return Spec("simulator", command, self._simulators_env(), SERVING, grace_seconds=3)

    def roles(self, catalog: Catalog) -> list[Spec]:
        """Everything that stands on a migrated ledger."""
        return [
            self._role("api", SERVING),
            self._role("orchestrator", DECIDING),
            *self._workers(catalog),
            self._role("upkeep", WORKING),
            self._role("beat", WATCHING, grace_seconds=3),
            self._role("flower", WATCHING, "--port", str(self.addresses.flower_port), grace_seconds=3),
        ]

    def _workers(self, catalog: Catalog) -> list[Spec]:
        from orchestrator.settings import Settings

        grace_seconds = Settings().drain_seconds + LEAVING_SECONDS
        return [
            Spec(
                worker_name(regime),
                (sys.executable, "-P", "-m", "workers", "--lanes", ",".join(lanes)),
                self._base() | self._vendors(),
                WORKING,
                grace_seconds,
            )
            for regime, lanes in lanes_by_regime(catalog).items()
            if regime is not Regime.UPKEEP
        ]

    def _role(self, role: str, stage: int, *options: str, grace_seconds: float = 10.0) -> Spec:
        command = (sys.executable, "-P", "-m", "orchestrator", role, *options)
        env = without_credentials(self._base()) if role in BROKER_ONLY else self._base()
        return Spec(role, command, env, stage, grace_seconds)

    def _simulators_env(self) -> dict[str, str]:
        env = without_credentials(self._base())
        return {name: value for name, value in env.items() if name != "FLEET_BROKER_URL"}

    def _base(self) -> dict[str, str]:
        return without_vendors(self.env) | {
            "FLEET_STATE_DIR": str(self.state.root),
            "FLEET_BROKER_URL": self.addresses.broker_url,
            "FLEET_API_PORT": str(self.addresses.api_port),
            "FLEET_API_URL": self.addresses.api_url,
            "PYTHONUNBUFFERED": "1",
        }

    def _vendors(self) -> dict[str, str]:
        url = self.addresses.simulator_url
        return of_vendors(self.env) | ({"FLEET_SIMULATOR_URL": url} if url else {})


def worker_name(regime: Regime) -> str:
    return f"worker-{regime}"


def lanes_by_regime(catalog: Catalog) -> dict[Regime, list[str]]:
    """The names of all lanes, sorted, by how they spend their time."""
    lanes: defaultdict[Regime, list[str]] = defaultdict(list)
    for name in sorted(catalog.lanes):
        lanes[catalog.lanes[name].regime].append(name)
    return dict(lanes)
