"""The story of the demo: submit, look on, answer, prove."""

from dataclasses import dataclass
from typing import Any

from orchestrator.client import FleetClient
from orchestrator.demo.documents import QUESTION, Description
from orchestrator.demo.overseer import REQUESTER, Overseer
from orchestrator.demo.page import Page, page_of
from orchestrator.demo.proof import Proof, prove
from orchestrator.demo.saboteur import Saboteur
from orchestrator.demo.screen import Screen
from orchestrator.demo.teller import Teller
from orchestrator.demo.witness import Testimony, testimonies
from orchestrator.ledger.engine import Ledger
from orchestrator.reads.events import EventRead
from orchestrator.reads.outcomes import JobRead
from orchestrator.reads.tax import TaxRead
from orchestrator.up.fleet import Fleet

WORKFLOW = "brief"
TENANT = PORTFOLIO = "demo"


@dataclass(frozen=True)
class Ending:
    """Everything the closing tables are made of."""

    job: JobRead
    proof: Proof
    page: Page | None
    tax: TaxRead
    testimonies: list[Testimony]


@dataclass
class Story:
    """One run of the main job on a fleet that is ready."""

    fleet: Fleet
    screen: Screen
    ledger_url: str
    api_key: str | None = None
    interactive: bool = False
    kills_a_worker: bool = False

    def run(self, documents: list[Description]) -> Ending:
        client = FleetClient(self.fleet.addresses.api_url, self.api_key)
        job_id = self._submit(client, documents)
        job = self._look_on(client, job_id)
        proof, page = prove(job, self.fleet.state.root), page_of(client, job)
        return Ending(job, proof, page, client.tax(), self._witnessed(job))

    def _submit(self, client: FleetClient, documents: list[Description]) -> str:
        given = [{"name": each.name, "text": each.text} for each in documents]
        body: dict[str, Any] = {
            "tenant": TENANT,
            "portfolio": PORTFOLIO,
            "workflow": WORKFLOW,
            "inputs": {"question": QUESTION, "documents": given},
            "purpose": "feature",
            "reason": "the demo: show the main job end to end on real input",
            "requested_by": REQUESTER,
        }
        job_id = client.submit(body).id
        self.screen.say(f"{REQUESTER} submits {WORKFLOW} as job {job_id}: “{QUESTION}”")
        return job_id

    def _look_on(self, client: FleetClient, job_id: str) -> JobRead:
        ears = [Teller(client, job_id, self.screen).hear]
        ears += [Overseer(client, job_id, self.screen, self.interactive).hear]
        ears += [Saboteur(self.fleet, client, job_id, self.screen).hear] if self.kills_a_worker else []

        def hear(event: EventRead) -> None:
            for ear in ears:
                ear(event)

        return self.screen.follow(client, job_id, hear)

    def _witnessed(self, job: JobRead) -> list[Testimony]:
        url = self.fleet.addresses.simulator_url
        if url is None:
            return []
        ledger = Ledger(self.ledger_url)
        try:
            with ledger.read() as connection:
                return testimonies(connection, job.created_at.timestamp(), url)
        finally:
            ledger.close()
