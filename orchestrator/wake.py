"""Waking the loop: a notice on PostgreSQL, a cheap look at the file on SQLite.

A lost notice costs at most one poll, since the loop looks again by itself.
"""

import time
from collections.abc import Callable
from typing import Protocol

import psycopg
from sqlalchemy import Connection, text

from orchestrator.ledger.engine import Ledger

CHANNEL = "fleet"
SHORTEST_POLL_SECONDS = 0.02
LONGEST_POLL_SECONDS = 0.5


def ring(connection: Connection) -> None:
    """Tells the loop, at commit, that there is something to look at."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"NOTIFY {CHANNEL}"))


class Wake(Protocol):
    """Waits until there may be something to do."""

    def wait(self, idle: bool) -> None:
        """Returns after a change, or after the poll. `idle` says that the last look found nothing."""
        ...

    def close(self) -> None: ...


class PollingWake:
    """For SQLite: looks whether another connection changed the file, ever more rarely while idle."""

    def __init__(self, ledger: Ledger, sleep: Callable[[float], None] = time.sleep) -> None:
        self._connection = ledger.engine.raw_connection()
        self._connection.detach()
        self._sleep = sleep
        self._poll_seconds = SHORTEST_POLL_SECONDS
        self._seen = self._version()

    def _version(self) -> int:
        return int(self._connection.cursor().execute("PRAGMA data_version").fetchone()[0])

    def wait(self, idle: bool) -> None:
        self._poll_seconds = (
            min(self._poll_seconds * 1.5, LONGEST_POLL_SECONDS) if idle else SHORTEST_POLL_SECONDS
        )
        waited = 0.0
        while waited < LONGEST_POLL_SECONDS:
            self._sleep(self._poll_seconds)
            waited += self._poll_seconds
            seen = self._version()
            if seen != self._seen:
                self._seen = seen
                return

    def close(self) -> None:
        self._connection.close()


class NotifiedWake:
    """For PostgreSQL: listens on a connection of its own."""

    def __init__(self, ledger: Ledger) -> None:
        url = ledger.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection = psycopg.connect(url, autocommit=True, connect_timeout=3)
        self._connection.execute(f"LISTEN {CHANNEL}")

    def wait(self, idle: bool) -> None:
        timeout = LONGEST_POLL_SECONDS if idle else SHORTEST_POLL_SECONDS
        for _ in self._connection.notifies(timeout=timeout, stop_after=1):
            return

    def close(self) -> None:
        self._connection.close()


def wake_for(ledger: Ledger) -> Wake:
    """The wake that fits the ledger's database."""
    return PollingWake(ledger) if ledger.is_sqlite else NotifiedWake(ledger)
