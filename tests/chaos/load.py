"""The load: jobs submitted as an upstream service would, each with its key, half of them twice, until accepted."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from math import ceil
from typing import Any

import httpx2

from orchestrator.client import FleetClient, FleetError
from tests.acceptance.stacks import OVERSEER, REQUESTER, job_of

ITEMS = 18
SIZES = {"fan": ITEMS + 2, "summary": 6, "brief": 14}
"""About how many subtasks a job of each workflow has."""
SHARES = {"fan": 0.75, "summary": 0.2, "brief": 0.05}
"""Of the subtasks."""
SPARE = 1.06
"""So many times what was asked for: the later steps of a job that fails are never granted."""
SENDERS = 4
MOST_OPEN = 200
"""So many jobs wait at most: more of them would make the ledger's queues longer, and put no more under a fault."""
LONGEST_DOCUMENT = 4000
"""Characters."""
AGAIN_SECONDS = 0.2
UNPAID = "money or credit has run out"
"""Why the fleet closes an account that a person has to pay for."""


@dataclass(frozen=True)
class Answer:
    """One answer of the API to a submission; status 0 where it broke off or nobody listened."""

    key: str
    sent_at: float
    answered_at: float
    status: int
    retry_after: str | None = None
    job_id: str | None = None


@dataclass
class Load:
    """So many subtasks, submitted while the faults are done."""

    api_url: str
    subtasks: int
    chance: random.Random
    due: Callable[[], float]
    """Which share of it is to be submitted by now."""
    open_jobs: Callable[[], int]
    """How many have not ended."""
    hurried: Callable[[], int]
    """How many jobs are wanted before they are due, so that somebody submits while something is away."""
    answers: list[Answer] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        bodies = self._bodies()
        self.keys = [key for key, _ in bodies]
        self._threads = [
            threading.Thread(target=self._send, args=(bodies[n::SENDERS], n / SENDERS), daemon=True)
            for n in range(SENDERS)
        ]
        for thread in [*self._threads, threading.Thread(target=self._oversee, daemon=True)]:
            thread.start()

    def is_accepted(self) -> bool:
        """Whether every job was."""
        return not any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        """Returns once every job was accepted."""
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        self._stopping.set()

    def accepted(self) -> dict[str, set[str]]:
        """The jobs that were told for each key: one, unless something is wrong."""
        found: dict[str, set[str]] = {}
        for answer in self.answers:
            if answer.job_id:
                found.setdefault(answer.key, set()).add(answer.job_id)
        return found

    def _bodies(self) -> list[tuple[str, dict[str, Any]]]:
        workflows = [
            workflow
            for workflow, share in SHARES.items()
            for _ in range(ceil(self.subtasks * SPARE * share / SIZES[workflow]))
        ]
        self.chance.shuffle(workflows)
        return [(f"chaos-{number}", _body(name, number)) for number, name in enumerate(workflows)]

    def _send(self, bodies: list[tuple[str, dict[str, Any]]], behind: float) -> None:
        """Submits each once it is due; a part of a turn behind the others, so that they do not all do so at once."""
        with httpx2.Client(base_url=self.api_url, timeout=30) as http:
            for turn, (key, body) in enumerate(bodies):
                while turn + behind >= self._turns(len(bodies)) or self.open_jobs() >= MOST_OPEN:
                    self._stopping.wait(AGAIN_SECONDS)
                for _ in range(1 + (turn % 2)):
                    while not self._stopping.is_set() and self._ask(http, key, body).job_id is None:
                        self._stopping.wait(AGAIN_SECONDS)

    def _turns(self, bodies: int) -> float:
        """How many of its jobs a sender should have submitted by now."""
        return self.due() * bodies + self.hurried() / SENDERS

    def _ask(self, http: httpx2.Client, key: str, body: dict[str, Any]) -> Answer:
        sent = time.monotonic()
        try:
            response = http.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})
            job_id = response.json()["id"] if response.status_code in (200, 202) else None
            retry = response.headers.get("retry-after")
            answer = Answer(key, sent, time.monotonic(), response.status_code, retry, job_id)
        except httpx2.HTTPError:
            answer = Answer(key, sent, time.monotonic(), 0)
        self.answers.append(answer)
        return answer

    def _oversee(self) -> None:
        """The person who answers what is asked, and pays where an account has no money left."""
        while not self._stopping.wait(1.0):
            try:
                with FleetClient(self.api_url) as client:
                    for line in client.approvals().items:
                        client.answer(line.id, "approve", OVERSEER, "it says what it quotes", line.digest)
                    for budget in client.budgets().items:
                        if budget.closed_until and UNPAID in budget.closed_why:
                            client.open_account(budget.key, OVERSEER, "it was paid for")
            except FleetError:
                continue


@cache
def _about_documents(workflow: str) -> dict[str, Any]:
    """Read once, since reading what is installed takes longer than submitting it; of each only the beginning, or the
    tokens of a minute would let few of these jobs run, and what they wait for would be a budget and no fault."""
    body = job_of(workflow, documents=2)
    for document in body["inputs"]["documents"]:
        document["text"] = document["text"][:LONGEST_DOCUMENT]
    return body


def _body(workflow: str, number: int) -> dict[str, Any]:
    if workflow != "fan":
        body = _about_documents(workflow)
        question = f"What are these distributions for? ({number})"
        return body | {"inputs": body["inputs"] | {"question": question}}
    return {
        "tenant": "acme",
        "portfolio": "chaos",
        "workflow": "fan",
        "inputs": {"items": [str(item) for item in range(ITEMS)]},
        "purpose": "feature",
        "reason": "whether it survives",
        "requested_by": REQUESTER,
    }
