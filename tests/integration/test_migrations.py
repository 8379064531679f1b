"""Migrations: a new ledger is what the tables say, and a role that meets another one says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, make_url, text

from orchestrator.ledger import schema
from orchestrator.ledger.engine import Ledger
from tests.integration.ledgers import postgresql_ledger


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


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_was_spent_and_under_way_before_pacing_is_carried_over(database: str, tmp_path: Path) -> None:
    with _ledger_of_version("0001", database, tmp_path) as old:
        with old.write() as connection:
            for row in _BEFORE_PACING:
                connection.exec_driver_sql(row)
        schema.migrate(old)
        with old.read() as connection:
            (open_work,) = connection.execute(
                text("SELECT budget, model, most_output_tokens, place FROM subtask WHERE state = 'ready'")
            )
            spent = connection.execute(text("SELECT scope, name, period, nano_usd FROM spending")).all()
    assert tuple(open_work) == ("v/g", "m-1", 512, 7.0)
    assert sorted(map(tuple, spent)) == [
        ("fleet", "", "total", 5),
        ("lane", "draft", "total", 5),
        ("purpose", "feature", "total", 5),
        ("tenant", "acme", "total", 5),
    ]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_open_work_of_before_is_held_to_the_rules_by_which_it_ends(database: str, tmp_path: Path) -> None:
    with _ledger_of_version("0002", database, tmp_path) as old:
        with old.write() as connection:
            for row in (*_BEFORE_PACING, *_BEFORE_RELIABILITY):
                connection.exec_driver_sql(row)
        schema.migrate(old)
        with old.read() as connection:
            jobs = connection.execute(text("SELECT id, spent_nano_usd, stop_at FROM job ORDER BY id")).all()
            subtasks = connection.execute(text("SELECT id, stop_at FROM subtask ORDER BY id")).all()
            letters = connection.execute(text("SELECT sentence, signature FROM dead_letter")).all()
    day = 24 * 3600.0
    assert list(map(tuple, jobs)) == [("e", 0, None), ("j", 12, 1 + 30 * day)]
    assert list(map(tuple, subtasks)) == [("a", None), ("b", 7 + 7 * day), ("d", None)]
    assert list(map(tuple, letters)) == [("it died", "")], "kept, and signed when an orchestrator starts"


_SUBTASK = (
    "INSERT INTO subtask (id, job_id, tenant, step, item, round, name, lane, purpose, priority, state, budget,"
    " handoff, created_at, ready_at, ended_at) VALUES "
)
_BEFORE_PACING = (
    "INSERT INTO snapshot (digest, body) VALUES ('s', '{}')",
    "INSERT INTO job (id, tenant, portfolio, workflow, snapshot, purpose, reason, requested_by, priority, inputs,"
    " state, created_at) VALUES ('j', 'acme', 'p', 'w', 's', 'feature', 'why', 'ada', 1, '{}', 'running', 1)",
    _SUBTASK
    + "('a', 'j', 'acme', 'draft', 0, 1, 'draft', 'draft', 'feature', 1, 'done', 'v/a/g', '{}', 1, 1, 9)",
    _SUBTASK + "('b', 'j', 'acme', 'draft', 0, 2, 'draft', 'draft', 'feature', 1, 'ready', 'v/a/g',"
    """ '{"route": {"vendor": "v", "group": "g", "model": "m-1", "max_output_tokens": 512}}', 1, 7, NULL)""",
    "INSERT INTO attempt (id, subtask_id, job_id, lane, purpose, number, state, granted_at, start_by,"
    " allowed_seconds, cost_nano_usd, ended_at) VALUES "
    "('x', 'a', 'j', 'draft', 'feature', 1, 'settled', 1, 2, 3, 5, 9)",
)
_BEFORE_RELIABILITY = (
    "UPDATE subtask SET place = ready_at",
    "INSERT INTO job (id, tenant, portfolio, workflow, snapshot, purpose, reason, requested_by, priority, inputs,"
    " state, created_at, ended_at) VALUES ('e', 'acme', 'p', 'w', 's', 'feature', 'why', 'ada', 1, '{}', 'failed',"
    " 1, 2)",
    _SUBTASK
    + "('d', 'e', 'acme', 'draft', 0, 1, 'draft', 'draft', 'feature', 1, 'dead', 'v/g', '{}', 1, 1, 2)",
    "INSERT INTO dead_letter (subtask_id, job_id, tenant, lane, category, code, sentence, at) VALUES"
    " ('d', 'e', 'acme', 'draft', 'crash', 'lost', 'it died', 2)",
    "INSERT INTO attempt (id, subtask_id, job_id, lane, purpose, number, state, granted_at, start_by,"
    " allowed_seconds, cost_nano_usd, reserved_nano_usd, ambiguous, ended_at) VALUES "
    "('y', 'b', 'j', 'draft', 'feature', 1, 'lost', 1, 2, 3, 0, 7, true, 9), "
    "('z', 'b', 'j', 'draft', 'feature', 2, 'granted', 1, 2, 3, 0, 7, false, NULL)",
)


@contextmanager
def _ledger_of_version(revision: str, database: str, folder: Path) -> Iterator[Ledger]:
    """An empty ledger as an earlier version of the code left it."""
    if database == "sqlite":
        opened = Ledger(f"sqlite:///{folder / 'old.sqlite3'}")
        _upgrade(opened, revision)
        yield opened
        opened.close()
        return
    with postgresql_ledger() as opened:
        with opened.write() as connection:
            tables = connection.execute(
                text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
            )
            for name in tables.scalars().all():
                connection.execute(text(f'DROP TABLE "{name}" CASCADE'))
        _upgrade(opened, revision)
        yield opened


def _upgrade(ledger: Ledger, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(files("orchestrator.ledger") / "migrations"))
    with ledger.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


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
