"""The fleet under load: orchestrator and workers as processes, the load put in, its own ledger asked."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from contracts.jobs import JobRequest
from contracts.purposes import Purpose
from orchestrator import wiring
from orchestrator.settings import Settings
from orchestrator.wiring import Parts
from tests.bench.pacing import catalog_files
from tests.bench.pacing.scenario import Scenario
from tests.bench.processes import running
from tests.bench.services import NotNamed, Services

TENANTS = ("north", "east", "south", "west")
"""Equal ones."""
FRAME_TOKENS = 160
"""About what the load lane's prompt and schema take without their item."""
ITEMS_PER_JOB = 50
WORKERS_UP = "SELECT count(*) FROM worker"
REAL = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY")


@dataclass
class Fleet:
    """A running fleet, as a measurement handles it."""

    parts: Parts
    env: Mapping[str, str]
    folder: Path
    stack: ExitStack
    orchestrator: int = 0
    """Process id."""
    submitted: int = 0
    """Items so far; they name the next ones, so that no two prompts are the same."""
    orchestrators: int = 0
    """Started so far."""

    def start_orchestrator(self) -> None:
        logs = self.folder / f"orchestrator-{self.orchestrators}"
        logs.mkdir()
        self.orchestrators += 1
        command = ["orchestrator", "orchestrator"]
        (self.orchestrator,) = self.stack.enter_context(running([command], self.env, logs))

    def kill_orchestrator(self) -> None:
        """Without a chance to say goodbye."""
        os.kill(self.orchestrator, signal.SIGKILL)

    def submit(
        self,
        items: int,
        tenant: str = TENANTS[0],
        purpose: Purpose = Purpose.FEATURE,
        priority: int = 1,
        workflow: str = "load",
        max_cost_usd: float | None = None,
        words: int = 0,
        deadline: datetime | None = None,
    ) -> str:
        """One job of so many subtasks, whose prompts are longer by so many words; answers its id."""
        names = [f"{self.submitted + number}{' word' * words}" for number in range(items)]
        self.submitted += items
        request = JobRequest(
            tenant=tenant,
            portfolio="bench",
            workflow=workflow,
            inputs={"items": names},
            purpose=purpose,
            reason="a measurement",
            requested_by="bench",
            priority=priority,
            max_cost_usd=max_cost_usd,
            deadline=deadline,
        )
        return self.parts.intake.submit(request).job_id

    def submit_for(self, scenario: Scenario, seconds: float, share: float = 1.0, **facts: Any) -> None:
        """As much as the limit allows in so many seconds, shared by all tenants alike, or that share of it."""
        items = scenario.calls_per_second * seconds * share
        each = max(1, round(items / ITEMS_PER_JOB / len(TENANTS)))
        words = max(scenario.prompt_tokens - FRAME_TOKENS, 0)
        for _ in range(each):
            for tenant in TENANTS:
                self.submit(ITEMS_PER_JOB, tenant, words=words, **facts)

    def rows(self, query: str, **values: Any) -> list[Any]:
        with self.parts.ledger.read() as connection:
            return list(connection.execute(text(query), values))

    def one(self, query: str, **values: Any) -> Any:
        return self.rows(query, **values)[0][0]

    def wait(self, query: str, least: float, patience_seconds: float = 60) -> None:
        """Until a figure of the ledger is so great. Raises TimeoutError."""
        give_up = time.monotonic() + patience_seconds
        while self.one(query) < least:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{query} did not come to {least} in {patience_seconds:g} s")
            time.sleep(0.1)


@contextmanager
def fleet(
    services: Services, scenario: Scenario, simulator_url: str, workers: int, lane: str = "load"
) -> Iterator[Fleet]:
    """One orchestrator and so many worker processes of one lane, ready for jobs."""
    refuse_real_keys()
    with tempfile.TemporaryDirectory(prefix="fleet-pacing-") as name, ExitStack() as stack:
        folder = Path(name)
        catalog_files.write(scenario, folder / "catalog")
        env = {
            "FLEET_STATE_DIR": name,
            "FLEET_DATABASE_URL": services.database_url,
            "FLEET_BROKER_URL": services.fleet_redis_url,
            "FLEET_CATALOG": str(folder / "catalog"),
            "FLEET_SIMULATOR_URL": simulator_url,
        }
        settings = Settings(
            state_dir=folder,
            database_url=services.database_url,
            broker_url=services.fleet_redis_url,
            catalog=folder / "catalog",
        )
        wiring.migrate(settings)
        parts = wiring.assemble(settings)
        command = [
            "workers",
            "--no-events",
            "--lanes",
            lane,
            "--slots",
            str(max(1, scenario.slots // workers)),
        ]
        stack.enter_context(
            running([[*command, "--name", f"{lane}{n}"] for n in range(workers)], env, folder)
        )
        made = Fleet(parts, env, folder, stack)
        made.start_orchestrator()
        made.wait(WORKERS_UP, workers, 120)
        yield made


def refuse_real_keys() -> None:
    """Raises NotNamed where a key is set that could cost money."""
    found = [name for name in REAL if os.environ.get(name)]
    if found:
        raise NotNamed(f"this measurement floods a vendor with calls; unset {', '.join(found)} first")
