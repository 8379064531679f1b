"""What integration tests may ask for: a ledger on each database, rows in it, the API over it, a whole small fleet.

What can be is made once for all modules: an engine compiles each statement once, which takes longer than most tests.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from contracts.catalog import Catalog
from orchestrator.catalog_files import load_catalog
from orchestrator.ledger import schema, tables
from orchestrator.ledger.engine import Ledger
from tests.integration.ledgers import Rows, postgresql_ledger, services_over, serving
from tests.integration.small_fleet import CATALOG, SmallFleet, assert_story_holds

_DELETE_ALL = "; ".join(f"DELETE FROM {table}" for table in reversed(tables.metadata.sorted_tables))


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite ledger of this code's version, to be copied."""
    path = tmp_path_factory.mktemp("ledger") / "empty.sqlite3"
    made = Ledger(f"sqlite:///{path}")
    schema.migrate(made)
    made.close()
    return path


@pytest.fixture(scope="session")
def migrated_schema() -> Iterator[Ledger]:
    """A PostgreSQL ledger of this code's version, in a schema of its own. Whoever writes into it leaves it empty."""
    with postgresql_ledger() as opened:
        yield opened


@pytest.fixture(scope="module")
def file_ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """A ledger whose file is copied anew for each test, and which serves the tests of one module alone: SQLite keeps
    what it knows of a file as long as any connection to it is open, and a thread may outlive its test."""
    return Ledger(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.sqlite3")


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """An empty ledger on SQLite, and on PostgreSQL where FLEET_TEST_DATABASE_URL names a database."""
    if request.param == "sqlite":
        opened = request.getfixturevalue("file_ledger")
        _empty(Path(opened.url.database), request.getfixturevalue("migrated_file"))
        yield opened
        opened.close()
    else:
        opened = request.getfixturevalue("migrated_schema")
        yield opened
        with opened.write() as connection:  # much faster than TRUNCATE, which makes new files for every table
            connection.exec_driver_sql(_DELETE_ALL)


def _empty(path: Path, by: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copy(by, path)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(scope="session")
def bench_catalog() -> Catalog:
    """The shipped catalog and the lane that does nothing."""
    return load_catalog(CATALOG)


@pytest.fixture
def rows(ledger: Ledger, catalog: Catalog) -> Rows:
    return Rows(ledger, catalog)


@pytest.fixture
def api(ledger: Ledger, catalog: Catalog, tmp_path: Path) -> Iterator[str]:
    """The address of an API over the ledger."""
    with serving(services_over(ledger, catalog, tmp_path, max_body_bytes=200_000)) as address:
        yield address


@pytest.fixture
def http(api: str) -> Iterator[httpx2.Client]:
    """A plain HTTP client of the API."""
    with httpx2.Client(base_url=api, timeout=30) as client:
        yield client


@pytest.fixture
def fleet(ledger: Ledger, tmp_path: Path, bench_catalog: Catalog) -> Iterator[SmallFleet]:
    """A fleet on an empty ledger, held against its invariants when the test is over."""
    made = SmallFleet(ledger, tmp_path, bench_catalog, webhook_allow=("127.0.0.1",))
    yield made
    assert_story_holds(ledger, budgets=made.assert_budgets)
