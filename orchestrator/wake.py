"""Waking the loop: a notice on PostgreSQL, a cheap look at the file on SQLite.

A lost notice costs at most one poll, since the loop looks again by itself.
"""

import logging
import time
from collections.abc import Callable
from typing import Protocol

import psycopg
from sqlalchemy import Connection, text

from orchestrator.ledger.engine import Ledger

log = logging.getLogger(__name__)

CHANNEL = "fleet"
SHORTEST_POLL_SECONDS = 0.02
LONGEST_POLL_SECONDS = 0.5
POLL_SHARE_OF_REST = 0.08
"""After a second without work it looks every 80 ms, after six every half second."""

_NOTIFY = text(f"NOTIFY {CHANNEL}")


def ring(connection: Connection) -> None:
    """Tells the loop, at commit, that there is something to look at."""
    if connection.dialect.name == "postgresql":
        connection.execute(_NOTIFY)


class Wake(Protocol):
    """Waits until there may be something to do."""

    def wait(self, most_seconds: float) -> None:
        """Returns after a change, after so many seconds, or after the longest poll."""
        ...

    def worked(self) -> None:
        """Says that there was something to do, and that more may follow soon."""
        ...

    def close(self) -> None: ...


class PollingWake:
    """For SQLite: looks whether another connection changed the file, the more rarely the longer there was nothing
    to do. A change alone is no reason to look sooner again: beats of idle workers change the file all the time."""

    def __init__(
        self,
        ledger: Ledger,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = ledger.engine.raw_connection()
        self._connection.detach()
        self._sleep = sleep
        self._monotonic = monotonic
        self._seen = self._version()
        self._worked_at = monotonic()

    def _version(self) -> int:
        return int(self._connection.cursor().execute("PRAGMA data_version").fetchone()[0])

    def wait(self, most_seconds: float) -> None:
        give_up = self._monotonic() + min(most_seconds, LONGEST_POLL_SECONDS)
        while (now := self._monotonic()) < give_up:
            pause = max((now - self._worked_at) * POLL_SHARE_OF_REST, SHORTEST_POLL_SECONDS)
            self._sleep(min(pause, give_up - now))
            seen = self._version()
            if seen != self._seen:
                self._seen = seen
                return

    def worked(self) -> None:
        self._worked_at = self._monotonic()

    def close(self) -> None:
        self._connection.close()


class NotifiedWake:
    """For PostgreSQL: listens on a connection of its own, and only polls while it has none."""

    def __init__(self, ledger: Ledger, sleep: Callable[[float], None] = time.sleep) -> None:
        self._url = ledger.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._sleep = sleep
        self._connection: psycopg.Connection | None = None

    def wait(self, most_seconds: float) -> None:
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=3)
                self._connection.execute(f"LISTEN {CHANNEL}")
            for _ in self._connection.notifies(timeout=min(most_seconds, LONGEST_POLL_SECONDS), stop_after=1):
                return
        except psycopg.Error:
            self.close()
            self._sleep(LONGEST_POLL_SECONDS)

    def worked(self) -> None:
        """Notices come at once however long there was nothing to do."""

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def wake_for(ledger: Ledger) -> Wake:
    """The wake that fits the ledger's database."""
    return PollingWake(ledger) if ledger.is_sqlite else NotifiedWake(ledger)
