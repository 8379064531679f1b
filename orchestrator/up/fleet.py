"""One whole fleet on this machine, from the lock of its directory to the drain."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from contracts.catalog import Catalog, CatalogError
from orchestrator.up.access import needs_simulator
from orchestrator.up.broker import await_broker, broker_spec, broker_url
from orchestrator.up.child import Child
from orchestrator.up.once import run_once
from orchestrator.up.pidfile import end_leftovers
from orchestrator.up.ports import free_port, require_free
from orchestrator.up.readiness import await_ready
from orchestrator.up.responder import responding
from orchestrator.up.roster import Addresses, Roster, worker_name
from orchestrator.up.signals import Signals
from orchestrator.up.statedir import StateDir
from orchestrator.up.supervisor import Supervisor
from orchestrator.up.trouble import CannotStart


@dataclass(frozen=True)
class Wishes:
    """What one run is asked to be. A port that is None is any free one."""

    state_dir: Path
    api_port: int | None = None
    flower_port: int | None = None
    catalog: Path | None = None
    simulator_seed: int | None = None
    simulator_config: Path | None = None
    children_env: Mapping[str, str] = field(default_factory=dict)
    """Variables for the children that the supervisor itself was not given."""


@dataclass
class Fleet:
    """A fleet that runs; `missing` is empty once it is ready."""

    state: StateDir
    addresses: Addresses
    supervisor: Supervisor
    catalog: Catalog
    started_at: float = field(default_factory=time.monotonic)

    def missing(self) -> Collection[str]:
        from orchestrator.up.standing import missing

        return missing(self.addresses.api_url, self.catalog)

    def await_ready(self, signals: Signals) -> float:
        """Seconds it took."""
        await_ready(self.missing, self.supervisor.children, signals.pause)
        return time.monotonic() - self.started_at

    def worker_of(self, lane: str) -> Child:
        """The process that serves this lane."""
        name = worker_name(self.catalog.lanes[lane].regime)
        return next(child for child in self.supervisor.children() if child.spec.name == name)


@contextmanager
def running(wishes: Wishes, say: Callable[[str], None], signals: Signals) -> Iterator[Fleet]:
    """Starts everything and drains it at the end of the block; raises CannotStart, or Interrupted."""
    state = StateDir.opened(wishes.state_dir)
    catalog = _catalog(wishes.catalog)
    _check_simulated(catalog)
    roster = Roster(state, _addresses(wishes), dict(wishes.children_env) | dict(os.environ))
    with state.locked(f"a fleet with its API at {roster.addresses.api_url}", roster.addresses.broker_url):
        end_leftovers(state.run, say)
        if warning := state.low_disk():
            say(f"warning: {warning}")
        supervisor = Supervisor(state, say)
        fleet = Fleet(state, roster.addresses, supervisor, catalog)
        try:
            _start(fleet, roster, wishes, signals)
            with responding(state.root / "escalations.log", fleet.addresses.api_url):
                yield fleet
        finally:
            supervisor.stop(signals.in_a_hurry)


def _start(fleet: Fleet, roster: Roster, wishes: Wishes, signals: Signals) -> None:
    if not os.environ.get("FLEET_BROKER_URL"):
        port = int(fleet.addresses.broker_url.rpartition(":")[2].partition("/")[0])
        fleet.supervisor.start([broker_spec(fleet.state, port)])
        await_broker(port, signals.pause)
    if fleet.addresses.simulator_port is not None:
        fleet.supervisor.start([roster.simulator(wishes.simulator_seed, wishes.simulator_config)])
    run_once(roster.migration(), fleet.state, signals.pause)
    fleet.supervisor.start(roster.roles(fleet.catalog))


def _addresses(wishes: Wishes) -> Addresses:
    api_port = require_free(wishes.api_port, "the API", "--port") if wishes.api_port else free_port()
    flower = wishes.flower_port
    return Addresses(
        api_port=api_port,
        flower_port=require_free(flower, "Flower", "--flower-port") if flower else free_port(),
        broker_url=os.environ.get("FLEET_BROKER_URL") or broker_url(free_port()),
        simulator_port=free_port() if needs_simulator(os.environ) else None,
    )


def _catalog(overlay: Path | None) -> Catalog:
    from orchestrator.catalog_files import load_catalog

    try:
        return load_catalog(overlay)
    except CatalogError as error:
        raise CannotStart(str(error)) from None


def _check_simulated(catalog: Catalog) -> None:
    from orchestrator.settings import Settings

    if sentence := Settings().unknown_simulated(catalog.vendors):
        raise CannotStart(sentence)
