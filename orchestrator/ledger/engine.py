"""Connections to the ledger: short readers, and writers that take their place in line at once."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool, QueuePool

IDLE_SECONDS = 5.0
"""After so long PostgreSQL takes the locks away from a process that was stopped inside a transaction: whoever waits
for them, and that may be the loop, would stand still with it."""
_SQLITE_AWAY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}
_POSTGRESQL_AWAY = ("08", "53", "57P0", "58", "40001", "40P01", "55P03")
"""How the SQLSTATEs begin of a lost connection, of too little of something, of a shutdown, of a broken disk,
and of what only has to be tried again: a failed serialization, a deadlock, a lock not got."""
_POSTGRESQL = {
    "connect_timeout": 2,
    "application_name": "fleet",
    # A host that is gone says nothing: without these a connection to it would be waited for for hours.
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
}


class LedgerUnreachable(Exception):
    """The database did not answer; nothing was changed."""

    def __init__(self, cause: DBAPIError | PoolTimeout) -> None:
        why = "it is too busy" if isinstance(cause, PoolTimeout) else str(cause.orig).strip().splitlines()[0]
        super().__init__(f"the ledger is unreachable: {why}")


class Ledger:
    """One process's way into the ledger. Connects at first use, never at construction."""

    def __init__(self, url: str, writers: int = 4) -> None:
        """`url` is a SQLAlchemy URL of SQLite or PostgreSQL; `writers` bounds PostgreSQL's connections."""
        self.url = make_url(url)
        if self.is_sqlite:
            self._writer = _sqlite_engine(url, begin="BEGIN IMMEDIATE", size=1)
            self._reader = _sqlite_engine(url, begin="BEGIN", size=4)
        else:
            self._writer = self._reader = _postgresql_engine(url, writers)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def engine(self) -> Engine:
        """The writing engine, for migrations."""
        return self._writer

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that commits at its end and rolls back on any exception."""
        with _reached(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent reading; whatever it wrote would be thrown away."""
        with _reached(), self._reader.connect() as connection:
            yield connection

    def answers(self) -> bool:
        """Whether the database answers on a connection of its own, however long that takes. A file always does."""
        if self.is_sqlite:
            return True
        alone = create_engine(self.url, poolclass=NullPool, connect_args=_POSTGRESQL)
        try:
            with alone.connect() as connection:
                connection.execute(text("SELECT 1"))
        except DBAPIError:
            return False
        return True

    def close(self) -> None:
        self._writer.dispose()
        self._reader.dispose()


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise LedgerUnreachable(error) from error
    except DBAPIError as error:
        if _is_away(error):
            raise LedgerUnreachable(error) from error
        raise


def _is_away(error: DBAPIError) -> bool:
    """Whether the same may succeed later: drivers call a missing table an operational error, too."""
    if error.connection_invalidated:
        return True
    if not isinstance(error, OperationalError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return error.orig.sqlite_errorcode & 0xFF in _SQLITE_AWAY  # the rest of the bits says more
    sqlstate = getattr(error.orig, "sqlstate", None)  # None where no server answered
    return sqlstate is None or sqlstate.startswith(_POSTGRESQL_AWAY)


def _sqlite_engine(url: str, begin: str, size: int) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0 if size == 1 else 16,
        connect_args={"timeout": 20, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late to be IMMEDIATE
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=20000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgresql_engine(url: str, size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=size,
        max_overflow=16,
        pool_timeout=10,
        connect_args=_POSTGRESQL,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS:g}s'")
        connection.commit()

    return engine
