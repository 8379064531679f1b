"""Faults of the ledger's database."""

import time
from contextlib import suppress
from functools import partial

from sqlalchemy import Connection, text

from orchestrator.ledger.engine import LedgerUnreachable
from tests.chaos.faults.registry import fault
from tests.chaos.stacks import AWAY_SECONDS, HEARTBEAT_SECONDS, HUNG_SECONDS, Stack, eventually

FULL_SECONDS = 3.0
"""So long a disk stays full after it was first noticed."""
WRITES_SECONDS = 4.0
"""Within so long the loop writes; sooner than a session that is idle inside a transaction is ended."""
BEATEN_SECONDS = 10.0
CONFLICT_SECONDS = 10.0
DEADLOCK_SECONDS = 20.0
"""Within so long the loop came while what it writes later was locked; it may have nothing to write for a while."""
MIGRATED_SECONDS = 30.0
"""Within so long it got its locks, however often somebody else was in the way."""
EXPAND = (
    "ALTER TABLE {table} ADD COLUMN IF NOT EXISTS later TEXT; "
    "CREATE INDEX IF NOT EXISTS ix_{table}_later ON {table} (later)"
)
CONTRACT = "ALTER TABLE {table} DROP COLUMN IF EXISTS later"


@fault("ledger-restart", "postgresql")
def ledger_restart(stack: Stack) -> int:
    """PostgreSQL crashes and recovers (`pg_ctl -m immediate`)."""
    assert stack.postgres is not None
    cut = stack.postgres.sessions()
    stack.postgres.stop()
    stack.postgres.start()
    return cut


@fault("ledger-away", "postgresql")
def ledger_away(stack: Stack) -> int:
    """PostgreSQL is gone for some seconds. It bites by the connections that find nobody."""
    assert stack.postgres is not None and stack.ledger_proxy is not None
    stack.await_api()  # else a fault that killed it before would leave nobody to be asked meanwhile
    before = stack.ledger_proxy.refused
    stack.postgres.stop()
    began = time.monotonic()
    stack.hurry()
    time.sleep(AWAY_SECONDS)
    stack.notes.ledger_away.append((began, time.monotonic()))
    refused = stack.ledger_proxy.refused - before
    stack.postgres.start()
    return refused


@fault("ledger-backends", "postgresql")
def ledger_backends(stack: Stack) -> int:
    """Every session of the fleet is ended by the server."""
    assert stack.postgres is not None
    return stack.postgres.kill_backends()


@fault("ledger-deadlock", "postgresql")
def ledger_deadlock(stack: Stack) -> int:
    """Somebody locks the loop's rows in another order than the loop, and PostgreSQL ends the loop's transaction."""
    postgres = stack.postgres
    assert postgres is not None
    before = postgres.deadlocks()

    def has_bitten() -> bool:
        with suppress(LedgerUnreachable), stack.ledger.write() as connection:
            _lock_crosswise(stack, connection)
        return postgres.deadlocks() > before

    eventually(has_bitten, DEADLOCK_SECONDS)
    return postgres.deadlocks() - before


def _lock_crosswise(stack: Stack, connection: Connection) -> None:
    """First what the loop locks later, and once it waits for that what it has locked already. What workers have in
    their hands is left to them, since the loop writes little but what follows from their reports."""
    # Whoever waits looks for a deadlock after a second, and ends itself; this session waits without a look.
    connection.execute(text("SET LOCAL deadlock_timeout = '1min'"))
    connection.execute(text("SET LOCAL lock_timeout = '5s'"))
    connection.execute(text("SELECT id FROM subtask WHERE state IN ('waiting', 'ready') FOR UPDATE"))
    mine = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    waits = (
        "SELECT pid FROM pg_locks WHERE relation = 'leader'::regclass AND :mine = ANY(pg_blocking_pids(pid))"
    )
    eventually(lambda: stack.rows(waits, mine=mine), WRITES_SECONDS)
    connection.execute(text("SELECT epoch FROM leader FOR UPDATE"))


@fault("ledger-conflict", "postgresql")
def ledger_conflict(stack: Stack) -> int:
    """The database is set to serializable, and PostgreSQL ends transactions that it cannot serialize."""
    postgres = stack.postgres
    assert postgres is not None
    before = postgres.conflicts()
    postgres.isolate("serializable")
    try:
        eventually(lambda: postgres.conflicts() > before, CONFLICT_SECONDS)
    finally:
        postgres.isolate("read committed")
    return postgres.conflicts() - before


@fault("ledger-migration", "postgresql")
def ledger_migration(stack: Stack) -> int:
    """The tables of jobs, subtasks and attempts get a column and an index under load, as a migration would do it, and
    lose them again. It bites by the sessions of the fleet that have to wait for it."""
    waited = set[int]()
    for statements in (EXPAND, CONTRACT):
        eventually(partial(_migrated, stack, statements, waited), MIGRATED_SECONDS)
    return len(waited)


def _migrated(stack: Stack, statements: str, waited: set[int]) -> bool:
    """Does them in one transaction, and stays in it until somebody waits; whether it was let through."""
    try:
        with stack.ledger.write() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '2s'"))
            for table in ("job", "subtask", "attempt"):
                for statement in statements.format(table=table).split(";"):
                    connection.execute(text(statement))
            mine = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            waits = (
                "SELECT pid FROM pg_stat_activity "
                "WHERE application_name = 'fleet' AND :mine = ANY(pg_blocking_pids(pid))"
            )
            waiting = eventually(lambda: stack.rows(waits, mine=mine), WRITES_SECONDS) or []
    except LedgerUnreachable:
        return False
    waited |= {row.pid for row in waiting}
    return True


@fault("ledger-full", "PostgreSQL and mount")
def ledger_full(stack: Stack) -> int:
    """The disk of the ledger's tables is full for some seconds."""
    postgres = stack.postgres
    assert postgres is not None and postgres.disk is not None
    before = postgres.refused_for_room()
    postgres.disk.fill()
    try:
        eventually(lambda: postgres.refused_for_room() > before)
        time.sleep(FULL_SECONDS)
    finally:
        postgres.disk.relieve()
    return postgres.refused_for_room() - before


@fault("ledger-hung", "postgresql")
def ledger_hung(stack: Stack) -> int:
    """PostgreSQL's socket accepts, and nothing comes back."""
    assert stack.ledger_proxy is not None
    return stack.ledger_proxy.hung_for(HUNG_SECONDS)


@fault("answer-lost", "postgresql")
def answer_lost(stack: Stack) -> int:
    """Transactions are committed, and who asked for it never learns."""
    assert stack.ledger_proxy is not None
    proxy, before = stack.ledger_proxy, stack.ledger_proxy.lost_answers
    for lost in range(before, before + 5):
        proxy.lose_answers(1)
        eventually(partial(lambda lost: proxy.lost_answers > lost, lost), 3)
    return proxy.lost_answers - before


@fault("ledger-busy", "sqlite")
def ledger_busy(stack: Stack) -> int:
    """Somebody else writes to the SQLite file for some seconds. It bites by the workers whose beats have to wait."""
    with stack.ledger.write():
        time.sleep(HUNG_SECONDS)
        until = stack.now()
        due = "SELECT id FROM worker WHERE stopped_at IS NULL AND beat_at < :since"
        late = [row.id for row in stack.rows(due, since=until - HEARTBEAT_SECONDS)]
    beaten = "SELECT id FROM worker WHERE beat_at > :until AND id IN :late"
    return len(eventually(lambda: stack.rows(beaten, until=until, late=late), BEATEN_SECONDS) or [])
