"""The ledger's version: brought up to date by `migrate`, and checked by every role before it starts."""

from importlib.resources import files
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.tables import metadata


class WrongVersion(Exception):
    """The ledger is of another version than this code."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("orchestrator.ledger") / "migrations"))
    return config


def newest() -> str:
    """The version this code needs."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def version(connection: Connection) -> str | None:
    """The version the ledger has."""
    return MigrationContext.configure(connection).get_current_revision()


def migrate(ledger: Ledger) -> str:
    """Brings the ledger to this code's version and answers it."""
    config = _config()
    with ledger.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return newest()


def check_version(ledger: Ledger) -> None:
    """Raises WrongVersion, with what to do, where the ledger is of another version."""
    with ledger.read() as connection:
        found = version(connection)
    if found != newest():
        raise WrongVersion(
            f"the ledger is of version {found or 'none'} and this code needs {newest()}: run `fleet migrate`"
        )


def drift(connection: Connection) -> list[Any]:
    """What the migrations and the tables in the code disagree about; empty when they agree."""
    return list(compare_metadata(MigrationContext.configure(connection), metadata))
