"""Checking: whether what is configured can work, and whether the ledger holds what it promises."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kombu.connection import Connection as BrokerConnection
from sqlalchemy import make_url

from orchestrator.artifacts import ArtifactStore
from orchestrator.catalog_files import load_catalog
from orchestrator.ledger import schema
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.promises import promises
from orchestrator.settings import Settings

BROKER_SECONDS = 3


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    subject: str
    ok: bool
    sentence: str


class NotThere(Exception):
    """What is to be checked does not exist; checking creates nothing."""


def check(settings: Settings, invariants: bool) -> list[Finding]:
    """Checks catalog, vendors, ledger, broker and artifact store, and with `invariants` every invariant of
    the ledger."""
    found = [
        _tried("catalog", lambda: _catalog(settings)),
        _tried("vendors", lambda: _vendors(settings)),
        _tried("ledger", lambda: _ledger(settings)),
        _tried("broker", lambda: _broker(settings)),
        _tried("artifacts", lambda: _artifacts(settings)),
    ]
    if invariants and all(finding.ok for finding in found if finding.subject == "ledger"):
        found += _invariants(settings)
    return found


def _tried(subject: str, act: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, act())
    except Exception as error:
        return Finding(subject, False, " ".join(str(error).split()) or type(error).__name__)


def _catalog(settings: Settings) -> str:
    catalog = load_catalog(settings.catalog)
    return f"{len(catalog.lanes)} lanes, {len(catalog.workflows)} workflows, {len(catalog.vendors)} vendors"


def _vendors(settings: Settings) -> str:
    if sentence := settings.unknown_simulated(load_catalog(settings.catalog).vendors):
        raise NotThere(sentence)
    return f"FLEET_SIMULATE names {', '.join(settings.simulate) or 'none'}"


def _ledger(settings: Settings) -> str:
    ledger = Ledger(settings.ledger_url)
    file = ledger.url.database if ledger.is_sqlite else None
    if file and not Path(file).exists():
        raise NotThere(f"no ledger at {file}: is FLEET_STATE_DIR right?")
    schema.check_version(ledger)
    return f"{ledger.url.render_as_string()} is at version {schema.newest()}"


def _broker(settings: Settings) -> str:
    with BrokerConnection(settings.broker_url, connect_timeout=BROKER_SECONDS) as connection:
        connection.ensure_connection(max_retries=1, timeout=BROKER_SECONDS)
        return f"{make_url(settings.broker_url).render_as_string(hide_password=True)} answers"


def _artifacts(settings: Settings) -> str:
    if not settings.artifacts_url and not settings.state_dir.is_dir():
        raise NotThere(f"no state directory at {settings.state_dir.absolute()}: is FLEET_STATE_DIR right?")
    store = ArtifactStore(settings.store_url)
    ref = store.put(b"fleet check\n", "text/plain", "check")
    store.get(ref.digest)
    return f"{settings.store_url} takes and gives"


def _invariants(settings: Settings) -> Iterator[Finding]:
    ledger = Ledger(settings.ledger_url)
    for promise in promises().values():
        with ledger.read() as connection:
            violations = promise.broken(connection)
        told = (
            promise.says
            if not violations
            else f"{len(violations)} violation(s), first: {tuple(violations[0])}"
        )
        yield Finding(promise.name, not violations, told)
