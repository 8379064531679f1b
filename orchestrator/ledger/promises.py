"""Promises: what always holds in a ledger. Each is a SQL file whose query finds violations; no row is a good answer.

Those of `invariants/` hold at any moment, those of `invariants/after_drain/` once nothing is left to do. A query
that reads the history of events may be asked for what was written after one of them, so that looking often stays
cheap however long the history is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from sqlalchemy import Connection, TextClause, bindparam, select, text

from contracts.states import JOB_MOVES, SUBTASK_MOVES
from orchestrator.ledger.events import EventKind
from orchestrator.ledger.tables import event

AT_ANY_MOMENT = "invariants"
AFTER_DRAIN = "invariants/after_drain"


@dataclass(frozen=True)
class Promise:
    """One of them."""

    name: str
    says: str
    query: str

    def broken(self, connection: Connection, after: int = 0) -> list[Any]:
        """The violations; of a history, those in what was written after this event."""
        given: dict[str, Any] = {"after": after, "allowed": _allowed()}
        named = {name: value for name, value in given.items() if f":{name}" in self.query}
        return list(connection.execute(_statement(self.query, "allowed" in named), named))


@cache
def promises(folder: str = AT_ANY_MOMENT) -> Mapping[str, Promise]:
    """All of a folder, by name."""
    found = {}
    for file in sorted((files("orchestrator.ledger") / folder).iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".sql"):
            name, query = file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")
            found[name] = Promise(name, query.splitlines()[0].removeprefix("-- "), query)
    return found


def last_event_before(connection: Connection, at: float) -> int:
    """The last event that was written before this moment; 0 if none was."""
    query = select(event.c.seq).where(event.c.at < at).order_by(event.c.seq.desc()).limit(1)
    return connection.execute(query).scalar() or 0


def _statement(query: str, with_moves: bool) -> TextClause:
    statement = text(query)
    return statement.bindparams(bindparam("allowed", expanding=True)) if with_moves else statement


@cache
def _allowed() -> tuple[str, ...]:
    """Every move there is, as the query spells it."""
    jobs = (f"{EventKind.JOB_MOVED} {old} {new}" for old, new in JOB_MOVES)
    subtasks = (f"{EventKind.SUBTASK_MOVED} {old} {new}" for old, new in SUBTASK_MOVES)
    return (*jobs, *subtasks)
