"""Real ledgers for tests, rows to fill them with, and the API over one on a real socket.

The fixtures that are made of these are in `conftest.py`.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from sqlalchemy import NullPool, Table, create_engine, func, insert, make_url, select, text

from contracts.artifacts import digest_of
from contracts.catalog import Catalog
from orchestrator.api.app import create_app
from orchestrator.api.services import Services
from orchestrator.api.serving import listen
from orchestrator.artifacts import ArtifactStore
from orchestrator.intake import Intake
from orchestrator.ledger import schema, snapshots, tables
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.ids import new_id
from orchestrator.settings import Settings

DATABASE_VARIABLE = "FLEET_TEST_DATABASE_URL"


@contextmanager
def postgresql_ledger() -> Iterator[Ledger]:
    """A ledger in a schema of its own, dropped at the end; skips where no database is named."""
    url = os.environ.get(DATABASE_VARIABLE, "")
    if not url.startswith("postgresql"):
        pytest.skip(f"{DATABASE_VARIABLE} names no PostgreSQL database")
    name = f"fleet_{new_id().lower()}"
    administration = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with administration.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    own = make_url(url).update_query_dict({"options": f"-csearch_path={name} -csynchronous_commit=off"})
    opened = Ledger(own.render_as_string(hide_password=False))
    try:
        schema.migrate(opened)
        yield opened
    finally:
        opened.close()
        with administration.connect() as connection:
            connection.execute(text(f"DROP SCHEMA {name} CASCADE"))


def counts(ledger: Ledger) -> dict[str, int]:
    """How many rows each table has, to show that nothing changed."""
    with ledger.read() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in tables.metadata.tables.items()
        }


def rows_of(ledger: Ledger, table: Table) -> list[Any]:
    with ledger.read() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key.columns)))


@dataclass
class Rows:
    """Writes rows into a ledger as the loop and the workers would; every value may be overridden."""

    ledger: Ledger
    catalog: Catalog
    at: float = field(init=False)

    def __post_init__(self) -> None:
        with self.ledger.read() as connection:
            self.at = now(connection)

    def job(self, workflow: str = "brief", **values: Any) -> str:
        with self.ledger.write() as connection:
            part = self.catalog.part_for(self.catalog.workflows[workflow])
            digest = snapshots.keep(connection, part)
        given = {
            "id": new_id(),
            "tenant": "acme",
            "portfolio": "docs",
            "workflow": workflow,
            "snapshot": digest,
            "purpose": "feature",
            "reason": "readers ask for it",
            "requested_by": "alice",
            "priority": 1,
            "inputs": {},
            "state": "running",
            "created_at": self.at - 60,
        }
        return self.insert(tables.job, given | values)

    def subtask(self, job_id: str, step: str, state: str = "ready", **values: Any) -> str:
        item, round_ = values.get("item", 0), values.get("round", 1)
        given = {
            "id": new_id(),
            "job_id": job_id,
            "tenant": "acme",
            "step": step,
            "item": item,
            "round": round_,
            "name": f"{step}#{round_}" if round_ > 1 else step,
            "lane": step,
            "purpose": "feature",
            "priority": 1,
            "state": state,
            "created_at": self.at - 50,
            "ready_at": self.at - 40,
        }
        return self.insert(tables.subtask, given | values)

    def attempt(self, job_id: str, subtask_id: str, state: str = "settled", **values: Any) -> str:
        given = {
            "id": new_id(),
            "subtask_id": subtask_id,
            "job_id": job_id,
            "lane": "draft",
            "purpose": "feature",
            "number": 1,
            "state": state,
            "granted_at": self.at - 30,
            "start_by": self.at + 15,
            "allowed_seconds": 300.0,
        }
        return self.insert(tables.attempt, given | values)

    def approval(self, job_id: str, subtask_id: str, **values: Any) -> str:
        given = {
            "id": new_id(),
            "subtask_id": subtask_id,
            "job_id": job_id,
            "tenant": "acme",
            "requested_by": "alice",
            "digest": digest_of(b"the page"),
            "packet": {"recommendation": "approve", "evidence": []},
            "state": "waiting",
            "asked_at": self.at - 20,
            "expires_at": self.at + 3600,
        }
        return self.insert(tables.approval, given | values)

    def dead_letter(self, job_id: str, subtask_id: str, **values: Any) -> str:
        given = {
            "subtask_id": subtask_id,
            "job_id": job_id,
            "tenant": "acme",
            "lane": "draft",
            "category": "deterministic",
            "code": "refused",
            "sentence": "the vendor refused the request",
            "at": self.at - 10,
        }
        return self.insert(tables.dead_letter, given | values, key="subtask_id")

    def event(self, job_id: str, **values: Any) -> int:
        given = {
            "at": self.at,
            "kind": "job_moved",
            "job_id": job_id,
            "actor": "loop",
            "sentence": "so it went",
        }
        with self.ledger.write() as connection:
            statement = insert(tables.event).values(**given | values).returning(tables.event.c.seq)
            return int(connection.execute(statement).scalar_one())

    def lead(self, seconds: float = 60.0) -> None:
        leader = {"name": "loop", "holder": "test", "epoch": 1, "lease_until": self.at + seconds}
        self.insert(tables.leader, leader, key="name")

    def insert(self, table: Table, values: dict[str, Any], key: str = "id") -> str:
        with self.ledger.write() as connection:
            connection.execute(insert(table).values(**values))
        return str(values[key])


def summary(text_: str = "approves with 0 finding(s)", **values: Any) -> dict[str, Any]:
    """A Summary as it is kept."""
    output = {
        "digest": digest_of(text_.encode()),
        "size_bytes": 10,
        "media_type": "application/json",
        "name": "",
    }
    return {"contract": "review.Verdict@1", "text": text_, "output": output} | values


def report(text_: str = "approves with 0 finding(s)") -> dict[str, Any]:
    """A completed Report as it is kept, with its request and answer."""
    refs = {
        part: {"digest": digest_of(f"{part} {text_}".encode()), "size_bytes": 9}
        for part in ("request", "answer")
    }
    call = {
        "vendor": "openai",
        "account": "default",
        "group": "sol",
        "model": "gpt-6.1-sol",
        "simulated": True,
        "usage": {"input_tokens": 10, "cached_input_tokens": 0, "output_tokens": 5},
        "seconds": 1.0,
    }
    return {
        "outcome": {"kind": "completed", "summary": summary(text_)},
        "call": call | refs,
        "worker_seconds": 1.0,
    }


def services_over(ledger: Ledger, catalog: Catalog, folder: Path, **settings: Any) -> Services:
    """Services whose artifacts lie in `folder`."""
    given = Settings(state_dir=folder, **settings)
    store = ArtifactStore(given.store_url)
    return Services(ledger, catalog, store, Intake(ledger, catalog, store, given.webhook_allow), given)


def problem_of(response: httpx2.Response, status: int) -> str:
    """The sentence of a problem document, which must be a whole one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == {"type", "title", "status", "detail", "instance"}
    assert problem["status"] == status
    assert "\n" not in problem["detail"]
    return str(problem["detail"])


@contextmanager
def serving(services: Services, port: int = 0) -> Iterator[str]:
    """A real server on a free port, or on the one named; stopped with the block."""
    listener = listen("127.0.0.1", port)
    config = uvicorn.Config(create_app(services), log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
