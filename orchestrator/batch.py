"""A batch: everything that one deciding transaction writes, gathered first and written at its end."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, insert, update

from contracts.states import SubtaskState
from orchestrator import spending
from orchestrator.ledger import events
from orchestrator.ledger.events import Event
from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.moves import JobMove, SubtaskMove, move_jobs, move_subtasks
from orchestrator.ledger.tables import (
    approval,
    attempt,
    dead_letter,
    doorbell,
    gate_event,
    subtask,
    supply,
    webhook,
)

Row = dict[str, Any]


@dataclass
class Batch:
    """Rows and moves, in the order in which they were decided."""

    at: float
    actor: str
    subtasks: list[Row] = field(default_factory=list)
    moves: list[SubtaskMove] = field(default_factory=list)
    seals: list[Row] = field(default_factory=list)
    """Summaries of verdicts that stay where they are until their siblings are in."""
    job_moves: list[JobMove] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    settled: list[Row] = field(default_factory=list)
    doorbells: list[Row] = field(default_factory=list)
    approvals: list[Row] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    gate_events: list[Row] = field(default_factory=list)
    webhooks: list[Row] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    supplies: list[Row] = field(default_factory=list)
    artifacts: list[Row] = field(default_factory=list)
    """References that reports named, as dumped."""

    def write(self, connection: Connection) -> None:
        """Writes it all; raises MovedMeanwhile where a row was no longer as decided upon."""
        _insert(connection, subtask, self.subtasks)
        events.record(connection, *self.events)  # first of all, since a new subtask may move at once
        _insert(connection, attempt, self.attempts)
        _update(connection, attempt, self.settled)
        self._book(connection)
        _update(connection, subtask, self.seals)
        move_subtasks(connection, self.moves, self.actor, self.at)
        _withdraw(connection, self.moves)
        move_jobs(connection, self.job_moves, self.actor, self.at)
        insert_missing(connection, supply, self.supplies)
        for table, rows in (
            (doorbell, self.doorbells),
            (approval, self.approvals),
            (dead_letter, self.dead_letters),
            (gate_event, self.gate_events),
            (webhook, self.webhooks),
        ):
            _insert(connection, table, rows)

    def _book(self, connection: Connection) -> None:
        """What ended and cost money, or may have, goes into the running totals."""
        paid = [row["id"] for row in self.settled if row.get("cost_nano_usd") or row.get("ambiguous")]
        if paid:
            spending.book(connection, paid, self.at)


def _withdraw(connection: Connection, moves: Iterable[SubtaskMove]) -> None:
    """What is cancelled, or ended by a rule, asks nobody any more."""
    over = SubtaskState.CANCELLED, SubtaskState.DEAD
    asking = [move.id for move in moves if move.old is SubtaskState.PARKED and move.new in over]
    if asking:
        waiting = approval.c.subtask_id.in_(asking), approval.c.state == "waiting"
        connection.execute(update(approval).where(*waiting).values(state="lapsed"))


def _insert(connection: Connection, table: Any, rows: list[Row]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _update(connection: Connection, table: Any, rows: Iterable[Row]) -> None:
    """Updates by `id`; all rows must set the same columns."""
    rows = list(rows)
    if not rows:
        return
    columns = [column for column in rows[0] if column != "id"]
    statement = (
        update(table)
        .where(table.c.id == bindparam("_id"))
        .values({column: bindparam(f"_{column}") for column in columns})
    )
    connection.execute(statement, [{f"_{k}": v for k, v in row.items()} for row in rows])
