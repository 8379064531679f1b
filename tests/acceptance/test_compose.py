"""`deploy/compose.yaml` without a container engine: what it says, and its commands as processes of this machine.

The roles run with the commands, environments and volumes of the file, on the PostgreSQL and the Redis
that FLEET_TEST_DATABASE_URL and FLEET_TEST_REDIS_URL name: a database made for this test, and a numbered Redis
database that was empty. `local_names` is the whole difference to what a container would see.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from contracts.artifacts import digest_of
from contracts.lanes import Regime
from contracts.states import JobState
from orchestrator.catalog_files import load_catalog
from orchestrator.client import FleetClient
from orchestrator.demo.proof import prove
from orchestrator.reads.outcomes import JobRead
from orchestrator.settings import Settings
from orchestrator.up.access import SIMULATE, VENDOR_VARIABLES
from orchestrator.up.child import Spec
from orchestrator.up.ports import free_port
from orchestrator.up.standing import missing
from orchestrator.up.statedir import StateDir
from orchestrator.up.supervisor import Supervisor
from tests.acceptance.stacks import PATIENCE_SECONDS, eventually, job_of, postgresql_and_redis, seen_through
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
STATE = "/var/lib/fleet"
GIVEN = {"POSTGRES_PASSWORD": "only-for-this-test"}
"""What a person would put into deploy/.env."""
ROLES = {"api", "orchestrator", "worker", "upkeep", "beat", "flower", "simulator", "migrate"}
Service = Mapping[str, Any]

# What the file says


def test_every_process_of_the_design_is_a_service_and_so_is_what_it_stands_on() -> None:
    assert {service["command"][0] for service in roles().values()} == ROLES
    assert {"postgres", "redis", "prometheus"} <= services().keys()


def test_one_orchestrator_leads_and_another_stands_by_under_a_name_of_its_own() -> None:
    nodes = [service["environment"]["FLEET_NODE"] for service in of_role("orchestrator")]

    assert len(set(nodes)) == 2


def test_every_lane_of_the_catalog_has_its_worker() -> None:
    served = [lane for service in of_role("worker") for lane in option(service, "--lanes").split(",")]

    lanes = load_catalog().lanes
    assert sorted(served) == sorted(name for name in lanes if lanes[name].regime is not Regime.UPKEEP)


def test_only_workers_carry_what_opens_a_vendor() -> None:
    holders = {
        name for name, service in services().items() if {*VENDOR_VARIABLES, SIMULATE} & variables(service)
    }

    assert holders == {"worker-models"}
    assert set(VENDOR_VARIABLES) <= variables(services()["worker-models"])


def test_no_key_and_no_password_stands_in_the_file() -> None:
    keys = services()["worker-models"]["environment"]

    assert [keys[name] for name in VENDOR_VARIABLES] == [None] * len(VENDOR_VARIABLES)
    with pytest.raises(ValueError, match=r"put POSTGRES_PASSWORD into deploy/\.env"):
        services({})


def test_every_variable_of_ours_is_one_that_the_settings_know() -> None:
    used = {name for service in services().values() for name in variables(service)}
    asked = set(re.findall(r"\$\{(FLEET_\w+)", (DEPLOY / "compose.yaml").read_text()))

    assert {name for name in used | asked if name.startswith("FLEET_")} <= known_variables()


def test_nothing_is_published_beyond_the_loopback_of_the_host() -> None:
    published = [port for service in services().values() for port in service.get("ports", [])]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_whoever_listens_on_loopback_shares_it_with_prometheus() -> None:
    listening = [*of_role("api"), *of_role("orchestrator"), *of_role("flower"), services()["prometheus"]]

    assert {service["network_mode"] for service in listening} == {"service:loopback"}


def test_every_role_waits_for_the_migration_and_has_its_time_to_end() -> None:
    for name, service in roles().items():
        if service["command"][0] not in {"migrate", "simulator"}:
            assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}, name
            assert grace_seconds(service) > 0


def test_prometheus_asks_each_orchestrator_and_the_api() -> None:
    listening = [
        *(option(service, "--metrics-port") for service in of_role("orchestrator")),
        *(option(service, "--port") for service in of_role("api")),
    ]

    assert sorted(targets()) == sorted(f"127.0.0.1:{port}" for port in listening)


def test_promtool_finds_no_fault_with_the_scraping() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    checked = subprocess.run(
        [promtool, "check", "config", str(DEPLOY / "prometheus.yml")],
        capture_output=True,
        text=True,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_image_is_made_of_what_is_let_in_and_of_nothing_else() -> None:
    dockerfile, ignored = (ROOT / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().split("\n")
    copied = [line.split()[1:-1] for line in dockerfile.split("\n") if re.match(r"COPY (?!--from)", line)]

    assert {name for names in copied for name in names} == {line[1:] for line in ignored if line[:1] == "!"}
    assert "*" in ignored
    assert all((ROOT / name).exists() for names in copied for name in names)


# What it does


def test_a_brief_sent_through_it_is_approved_by_another_and_its_page_stands(fleet: "Local") -> None:
    with FleetClient(fleet.api_url) as client:
        job = seen_through(client, client.submit(job_of("brief", documents=2)).id)

    assert job.state is JobState.DONE, job.why
    assert job.simulated, "no key is given, and the file names where the simulator is"
    assert prove(job, fleet.state_of("worker-effects")).fault == ""
    assert page_of(job, fleet).is_relative_to(fleet.volume("sites"))


def test_a_summary_sent_through_it_is_done_and_read_back_over_the_api(fleet: "Local") -> None:
    with FleetClient(fleet.api_url) as client:
        job = client.wait(client.submit(job_of("summary", documents=2)).id)
        assert job.state is JobState.DONE, job.why
        assert job.result is not None
        kept = client.artifact(job.result.output.digest)

    assert digest_of(kept) == job.result.output.digest
    assert page_of(job, fleet).is_relative_to(fleet.volume("scratch"))
    assert page_of(job, fleet).is_file()


def test_the_leader_alone_tells_the_ledgers_figures(fleet: "Local") -> None:
    told = {target: scraped(fleet.local(target)) for target in targets()}

    assert sum("fleet_orchestrator_leader 1.0" in page for page in told.values()) == 1
    assert sum("\nfleet_ready{" in page for page in told.values()) == 1
    leader = next(page for page in told.values() if "\nfleet_ready{" in page)
    assert "fleet_orchestrator_leader 1.0" in leader


def test_each_health_check_of_the_file_passes(fleet: "Local") -> None:
    checks = {
        name: service["healthcheck"]["test"] for name, service in roles().items() if "healthcheck" in service
    }
    assert checks.keys() == {"api", "orchestrator-1", "orchestrator-2", "flower", "simulator"}

    for name, (kind, program, *arguments) in checks.items():
        assert (kind, program) == ("CMD", "python")
        checked = subprocess.run(
            [sys.executable, *map(fleet.local, arguments)], capture_output=True, text=True
        )
        assert checked.returncode == 0, f"{name}: {checked.stderr}"


# Reading the file


def services(given: Mapping[str, str] = GIVEN) -> dict[str, Service]:
    """The services, with the variables filled in as Compose does; raises ValueError for one that is required."""

    def fill(found: re.Match[str]) -> str:
        name, operator, word = found.groups()
        if given.get(name):
            return given[name]
        if operator == ":?":
            raise ValueError(word)
        return word or ""

    filled = re.sub(r"\$\{(\w+)(:[-?])?([^}]*)\}", fill, (DEPLOY / "compose.yaml").read_text())
    read: dict[str, Service] = yaml.safe_load(filled)["services"]
    return read


def roles() -> dict[str, Service]:
    """The services whose command is a role of ours."""
    ours = services()
    return {
        name: service
        for name, service in ours.items()
        if service["image"].startswith("tuesday-fleet:") and "entrypoint" not in service
    }


def of_role(role: str) -> list[Service]:
    return [service for service in roles().values() if service["command"][0] == role]


def option(service: Service, name: str) -> str:
    """What follows an option in the service's command."""
    command: list[str] = service["command"]
    return command[command.index(name) + 1]


def variables(service: Service) -> set[str]:
    return set(service.get("environment", {}))


def known_variables() -> set[str]:
    """Every variable of ours that any process reads."""
    workers = {str(field.validation_alias) for field in WorkerSettings.model_fields.values()}
    return {f"FLEET_{name.upper()}" for name in Settings.model_fields} | workers


def grace_seconds(service: Service) -> float:
    return float(service.get("stop_grace_period", "10s").removesuffix("s"))


def targets() -> list[str]:
    """The addresses that Prometheus asks."""
    read = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    return [target for job in read for group in job["static_configs"] for target in group["targets"]]


# Running it here


def local_names(database_url: str, broker_url: str) -> dict[str, str]:
    """Every address in the file, and what stands in its place on this machine."""
    api, leader, standby, flower, simulator = (str(free_port()) for _ in range(5))
    return {
        "postgresql+psycopg://fleet:only-for-this-test@postgres:5432/fleet": database_url,
        "redis://redis:6379/0": broker_url,
        "simulator:8401": f"127.0.0.1:{simulator}",
        "0.0.0.0": "127.0.0.1",
        "8400": api,
        "8401": simulator,
        "9101": leader,
        "9102": standby,
        "5555": flower,
    }


@dataclass(frozen=True)
class Local:
    """Where the services of the file run on this machine."""

    folder: Path
    names: Mapping[str, str]

    @property
    def api_url(self) -> str:
        return self.local("http://127.0.0.1:8400")

    def local(self, said: str) -> str:
        """What the file says, in the words of this machine."""
        known = "|".join(re.escape(name) for name in self.names)
        return re.sub(rf"(?<!\w)({known})(?!\w)", lambda found: self.names[found.group()], said)

    def volume(self, name: str) -> Path:
        return self.folder / "volumes" / name

    def state_of(self, name: str) -> Path:
        """The service's own state directory, into which its volumes are linked and no others."""
        return self.folder / "state" / name

    def mount(self, name: str, service: Service) -> None:
        volumes = [mounted.split(":")[:2] for mounted in service.get("volumes", [])]
        own = {target: volume for volume, target in volumes}.get(STATE)
        if own is None:
            self.state_of(name).mkdir(parents=True)
        else:
            self._link(self.state_of(name), own)
        for volume, target in volumes:
            if target != STATE:
                self._link(self.state_of(name) / target.removeprefix(f"{STATE}/"), volume)

    def _link(self, place: Path, volume: str) -> None:
        self.volume(volume).mkdir(parents=True, exist_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(self.volume(volume))

    def spec(self, name: str, service: Service) -> Spec:
        """The service as a process, with the file's environment and hardly anything of this machine's. To end it
        has longer than in the file, since here a dozen processes share few processors with other tests."""
        said = {key: str(value) for key, value in service["environment"].items() if value is not None}
        env = {key: self.local(value) for key, value in said.items()}
        own = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "FLEET_STATE_DIR": str(self.state_of(name)),
        }
        command = (str(BIN / "fleet"), *map(self.local, service["command"]))
        return Spec(name, command, env | own, stage=1, grace_seconds=PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """Everything in the file, ready for jobs. At the end each role is asked to end, and none may have
    needed a restart or a kill."""
    with contextmanager(postgresql_and_redis)() as services_here:
        names = local_names(services_here["FLEET_DATABASE_URL"], services_here["FLEET_BROKER_URL"])
        local = Local(tmp_path_factory.mktemp("compose"), names)
        said: list[str] = []
        supervisor = Supervisor(StateDir.opened(local.folder / "host"), said.append)
        try:
            start(local, supervisor)
            eventually("being ready", lambda: not missing(local.api_url, load_catalog()))
            yield local
        finally:
            supervisor.stop()
        assert said == [], "; ".join(said)


def start(local: Local, supervisor: Supervisor) -> None:
    """The migration first and alone, as the others' `depends_on` says."""
    specs = {}
    for name, service in roles().items():
        local.mount(name, service)
        specs[name] = local.spec(name, service)
    migration = specs.pop("migrate")
    migrated = subprocess.run(migration.command, env=dict(migration.env), capture_output=True, text=True)
    assert migrated.returncode == 0, migrated.stderr
    supervisor.start(specs.values())


def page_of(job: JobRead, fleet: Local) -> Path:
    """The published page, without the links of the mounts."""
    assert job.result is not None
    return (fleet.state_of("worker-effects") / str(job.result.facts["path"])).resolve()


def scraped(target: str) -> str:
    return httpx2.get(f"http://{target}/metrics", timeout=5).raise_for_status().text
