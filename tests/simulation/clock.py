"""A clock that is told what time it is, and ledgers that believe it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text

from orchestrator.ledger.engine import Ledger

BEGINNING = 1_800_000_000.0
_JULIAN_EPOCH = 2440587.5
_DAY = 86400.0


class Clock:
    """Seconds since 1970, and a second hand that never goes back, as `time.monotonic` is."""

    def __init__(self) -> None:
        self.at = BEGINNING
        self.passed = 0.0
        self.told: list[Callable[[float], None]] = []
        """Who else has to be told what time it is."""

    def forward(self, seconds: float) -> None:
        self.passed += seconds
        self.jump(seconds)

    def jump(self, seconds: float) -> None:
        """The wall clock alone is set, back or forth."""
        self.at += seconds
        for tell in self.told:
            tell(self.at)

    def monotonic(self) -> float:
        return self.passed


class Gone(BaseException):
    """The process ends here and now: nobody catches this but whoever starts the next one."""


class When(StrEnum):
    BEFORE = "before"
    AFTER = "after"


Meddle = Callable[[Any, When], None]
"""Told of a place, before and after what happens there takes hold; whatever it raises, the place raises."""


class MeddledLedger(Ledger):
    """A ledger whose every transaction can be disturbed just before and just after its COMMIT."""

    find: Callable[[], Any] = staticmethod(lambda: None)
    """Who writes here."""
    meddle: Meddle = staticmethod(lambda place, when: None)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        place = self.find()
        with super().write() as connection:
            yield connection
            self.meddle(place, When.BEFORE)
        self.meddle(place, When.AFTER)


def obey(ledger: Ledger, clock: Callable[[], Clock]) -> None:
    """Lets a SQLite ledger tell the time of the clock, and no longer wait for its disk."""
    for engine in (ledger._writer, ledger._reader):
        event.listen(engine, "connect", lambda connection, record: _obey(connection, clock))


def _obey(connection: Any, clock: Callable[[], Clock]) -> None:
    connection.create_function("julianday", 1, lambda _: clock().at / _DAY + _JULIAN_EPOCH)
    connection.execute("PRAGMA synchronous=OFF")


class PostgresClock:
    """Puts a `clock_timestamp()` of its own before PostgreSQL's, in the schema that the ledger is kept in."""

    def __init__(self, administration: Engine, schema: str) -> None:
        self._engine, self._set = administration, text(f"UPDATE {schema}.told SET at = :at")
        with administration.connect() as connection:
            for statement in (
                f"CREATE TABLE {schema}.told (at double precision)",
                f"INSERT INTO {schema}.told VALUES ({BEGINNING})",
                f"CREATE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE "
                f"AS $$ SELECT to_timestamp(at) FROM {schema}.told $$",
            ):
                connection.execute(text(statement))

    def tell(self, at: float) -> None:
        with self._engine.connect() as connection:
            connection.execute(self._set, {"at": at})


def administration(url: str) -> Engine:
    return create_engine(url, isolation_level="AUTOCOMMIT")
