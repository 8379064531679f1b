"""The ledger's version: brought up to date by `migrate`, and checked by every role before it starts.

Old and new code work side by side on one ledger: a migration first expands it, in ways that old code does not mind,
and only a later release takes away what then nobody needs. Versions are numbers of four digits, which compare as
text.
"""

from functools import cache
from importlib.resources import files
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select

from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.tables import compatibility, metadata


class WrongVersion(Exception):
    """The ledger is of a version that this code cannot work on."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("orchestrator.ledger") / "migrations"))
    return config


@cache
def newest() -> str:
    """The version this code needs."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def version(connection: Connection) -> str | None:
    """The version the ledger has."""
    return MigrationContext.configure(connection).get_current_revision()


def migrate(ledger: Ledger) -> str:
    """Brings the ledger to this code's version and answers the version it has then: a newer one, which this code
    can work on, stays as it is. Raises WrongVersion where it cannot."""
    config = _config()
    with ledger.write() as connection:
        found = version(connection)
        if found is None or found <= newest():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            return newest()
        if sentence := misfit(connection):
            raise WrongVersion(sentence)
        return found


def check_version(ledger: Ledger) -> None:
    """Raises WrongVersion, with what to do, where this code cannot work on the ledger."""
    with ledger.read() as connection:
        if sentence := misfit(connection):
            raise WrongVersion(sentence)


def misfit(connection: Connection) -> str | None:
    """Why this code cannot work on the ledger, and what to do; None where it can. A ledger that newer code has
    expanded names the oldest code that may still work on it; one that does not is for newer code alone."""
    found = version(connection)
    if found == newest():
        return None
    if found is None or found < newest():
        return (
            f"the ledger is of version {found or 'none'} and this code needs {newest()}: run `fleet migrate`"
        )
    oldest = _oldest_code(connection)
    if oldest is not None and oldest <= newest():
        return None
    since = f"code of version {oldest}" if oldest else "newer code"
    return (
        f"the ledger is of version {found} and needs {since}, and this is {newest()}: start a newer release"
    )


def _oldest_code(connection: Connection) -> str | None:
    if not inspect(connection).has_table(compatibility.name):
        return None
    return connection.execute(select(compatibility.c.oldest_code)).scalar()


def drift(connection: Connection) -> list[Any]:
    """What the migrations and the tables in the code disagree about; empty when they agree."""
    return list(compare_metadata(MigrationContext.configure(connection), metadata))
