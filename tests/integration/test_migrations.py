"""Migrations: a new ledger is what the tables say, and a role that meets another one says what to do."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from orchestrator.ledger import schema
from orchestrator.ledger.engine import Ledger
from tests.integration.ledgers import ledger, migrated_file, migrated_schema, postgresql_ledger

__all__ = ["ledger", "migrated_file", "migrated_schema"]


def test_a_fresh_ledger_is_what_the_tables_say(ledger: Ledger) -> None:
    schema.check_version(ledger)
    with ledger.read() as connection:
        assert schema.version(connection) == schema.newest()
        assert schema.drift(connection) == []


def test_migrating_twice_changes_nothing(ledger: Ledger) -> None:
    assert schema.migrate(ledger) == schema.newest()
    schema.check_version(ledger)


def test_constraints_are_in_the_database_and_not_only_in_the_code(ledger: Ledger) -> None:
    """Comparing metadata does not look at them."""
    with ledger.read() as connection:
        if ledger.is_sqlite:
            stored = str(
                connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'approval'")).scalar()
            )
        else:
            own = "connamespace = to_regnamespace(current_schema())"
            query = f"SELECT string_agg(conname, ' ') FROM pg_constraint WHERE {own}"
            stored = str(connection.execute(text(query)).scalar())
    assert "ck_approval_not_the_requester" in stored
    assert "ck_approval_of_this_digest" in stored


def test_a_ledger_that_was_never_migrated_is_refused_with_what_to_do(tmp_path: Path) -> None:
    empty = Ledger(f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    with pytest.raises(schema.WrongVersion) as refusal:
        schema.check_version(empty)
    assert str(refusal.value) == (
        f"the ledger is of version none and this code needs {schema.newest()}: run `fleet migrate`"
    )


def test_an_empty_schema_is_refused_on_postgresql_too() -> None:
    with postgresql_ledger() as full:
        url = make_url(full.url)
        with create_engine(url).begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
        with pytest.raises(schema.WrongVersion, match="the ledger is of version 0000"):
            schema.check_version(full)


def test_two_processes_that_migrate_one_empty_ledger_both_succeed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'both.sqlite3'}"
    first, second = Ledger(url), Ledger(url)
    assert schema.migrate(first) == schema.migrate(second) == schema.newest()
