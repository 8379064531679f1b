"""Ledgers for one case after the other: emptied, on a clock of their own, and meddled with."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url, text

from orchestrator.ledger import schema, tables
from orchestrator.ledger.ids import new_id
from tests.integration.ledgers import DATABASE_VARIABLE
from tests.simulation.clock import Clock, MeddledLedger, PostgresClock, administration, obey

Fresh = Callable[[Clock], MeddledLedger]
"""An empty ledger that tells the time of this clock; the one before is no more."""


@contextmanager
def sqlite(folder: Path) -> Iterator[Fresh]:
    """One file, and one engine for all cases, since it compiles each statement once."""
    path, empty = folder / "ledger.sqlite3", folder / "empty.sqlite3"
    current = [Clock()]
    ledger = MeddledLedger(f"sqlite:///{path}")
    obey(ledger, lambda: current[0])
    schema.migrate(ledger)
    ledger.close()
    shutil.copy(path, empty)

    def fresh(clock: Clock) -> MeddledLedger:
        ledger.close()
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        shutil.copy(empty, path)
        current[0] = clock
        return ledger

    yield fresh
    ledger.close()


@contextmanager
def postgresql() -> Iterator[Fresh | None]:
    """A schema of its own; None where no database is named."""
    url = os.environ.get(DATABASE_VARIABLE, "")
    if not url.startswith("postgresql"):
        yield None
        return
    name, manager = f"fleet_{new_id().lower()}", administration(url)
    with manager.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    teller = PostgresClock(manager, name)
    options = f"-csearch_path={name},pg_catalog -csynchronous_commit=off"
    own = make_url(url).update_query_dict({"options": options})
    ledger = MeddledLedger(own.render_as_string(hide_password=False))

    def fresh(clock: Clock) -> MeddledLedger:
        teller.tell(clock.at)
        clock.told.append(teller.tell)
        with ledger.engine.begin() as connection:
            for table in reversed(tables.metadata.sorted_tables):
                connection.execute(table.delete())
        return ledger

    try:
        schema.migrate(ledger)
        yield fresh
    finally:
        ledger.close()
        with manager.connect() as connection:
            connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
        manager.dispose()
