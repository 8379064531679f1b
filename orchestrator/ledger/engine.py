"""Connections to the ledger: short readers, and writers that take their place in line at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool


class LedgerUnreachable(Exception):
    """The database did not answer; nothing was changed."""

    def __init__(self, cause: DBAPIError) -> None:
        super().__init__(f"the ledger is unreachable: {str(cause.orig).strip().splitlines()[0]}")


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

    def close(self) -> None:
        self._writer.dispose()
        self._reader.dispose()


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise LedgerUnreachable(error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise LedgerUnreachable(error) from error
        raise


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
    return create_engine(
        url,
        pool_size=size,
        max_overflow=16,
        pool_timeout=10,
        connect_args={"connect_timeout": 3, "application_name": "fleet"},
    )
