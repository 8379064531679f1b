"""What the orchestrator's processes read from their environment, once, at their start."""

import socket
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

LEDGERS = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")


class Settings(BaseSettings):
    """Addresses and paces. Vendor keys are not here: only workers hold them."""

    model_config = SettingsConfigDict(env_prefix="FLEET_", extra="ignore", frozen=True)

    state_dir: Path = Path(".state")
    """Everything that is kept on this machine: ledger, artifacts, sites, logs."""
    database_url: str = ""
    """A SQLAlchemy URL; by default SQLite in the state directory."""
    broker_url: str = "redis://127.0.0.1:6379/0"
    artifacts_url: str = ""
    """Where artifacts are kept, as an fsspec URL; by default files in the state directory."""
    catalog: Path | None = None
    """A directory of catalog files laid over the shipped ones."""
    simulate: Annotated[tuple[str, ...], NoDecode] = ()
    """Vendors to simulate although another one is real."""
    api_host: str = "127.0.0.1"
    api_port: int = 8400
    api_url: str = "http://127.0.0.1:8400"
    api_key: str | None = None
    api_ledger_figures: bool = True
    """Whether the API's ``/metrics`` carries the ledger's figures; off where the leader is scraped for them."""
    max_body_bytes: int = 8 * 1024 * 1024
    webhook_allow: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts, as ``host`` or ``host:port``, to which webhooks may be sent."""
    node: str = Field(default_factory=socket.gethostname)

    lease_seconds: float = 30.0
    """How long a worker may be silent before its attempts are taken away."""
    heartbeat_seconds: float = Field(default_factory=lambda given: min(5.0, given["lease_seconds"] / 3))
    """How often a worker says that it lives: by default three times within a lease, so that one lost beat costs
    nothing."""
    silent_seconds: float = 90.0
    """How long a worker with free slots may take nothing, canaries included, while there is work for it."""
    drain_seconds: float = Field(default=25.0, ge=0)
    """How long a worker that is told to stop lets its attempts end, before it gives them back."""
    start_by_seconds: float = 15.0
    """How long a granted attempt may wait for a worker before it is returned unrun."""
    leader_lease_seconds: float = 6.0
    queue_ahead_seconds: float = 2.0
    """How much granted work may wait in a lane's queue beyond its free slots."""

    @field_validator("webhook_allow", "simulate", mode="before")
    @classmethod
    def _split(cls, given: object) -> object:
        if isinstance(given, str):
            return tuple(each.strip() for each in given.split(",") if each.strip())
        return given

    @field_validator("database_url")
    @classmethod
    def _supported(cls, url: str) -> str:
        if url and url.partition(":")[0] not in LEDGERS:
            raise ValueError(
                "only SQLite (sqlite:///…) and PostgreSQL (postgresql+psycopg://…) are supported"
            )
        return url

    @model_validator(mode="after")
    def _beats_in_time(self) -> Self:
        if self.heartbeat_seconds > self.lease_seconds / 2:
            raise ValueError(
                f"FLEET_HEARTBEAT_SECONDS ({self.heartbeat_seconds:g}) may be at most half of "
                f"FLEET_LEASE_SECONDS ({self.lease_seconds:g}): one late beat would lose the work"
            )
        return self

    def unknown_simulated(self, known: Collection[str]) -> str | None:
        """A sentence if FLEET_SIMULATE names a vendor that is not among the known."""
        unknown = ", ".join(name for name in self.simulate if name not in known)
        if not unknown:
            return None
        return f"FLEET_SIMULATE names no known vendor with “{unknown}”; known are: {', '.join(sorted(known))}"

    @property
    def ledger_url(self) -> str:
        return self.database_url or f"sqlite:///{(self.state_dir / 'ledger.sqlite3').absolute()}"

    @property
    def store_url(self) -> str:
        return self.artifacts_url or (self.state_dir / "artifacts").absolute().as_uri()
