"""Moves: the only way a state changes, each of them allowed, told, and made only from where it starts."""

from itertools import product

import pytest

from contracts.states import JOB_MOVES, SUBTASK_MOVES, ForbiddenMove, JobState, SubtaskState
from orchestrator.ledger import tables
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.moves import JobMove, MovedMeanwhile, SubtaskMove, move_jobs, move_subtasks
from tests.integration.ledgers import Rows, counts, rows_of

S = SubtaskState


def test_no_move_is_made_that_the_table_does_not_know(ledger: Ledger, rows: Rows) -> None:
    job_id = rows.job()
    subtask_id = rows.subtask(job_id, "draft")
    before = counts(ledger)
    with ledger.read() as connection:
        for old, new in set(product(SubtaskState, SubtaskState)) - set(SUBTASK_MOVES):
            with pytest.raises(ForbiddenMove, match=f"never moves from {old} to {new}"):
                move_subtasks(connection, [SubtaskMove(subtask_id, job_id, old, new, "")], "test", 0.0)
        for was, will in set(product(JobState, JobState)) - set(JOB_MOVES):
            with pytest.raises(ForbiddenMove):
                move_jobs(connection, [JobMove(job_id, was, will, "")], "test", 0.0)
    assert counts(ledger) == before


def test_every_move_of_the_table_is_made_and_told(ledger: Ledger, rows: Rows) -> None:
    job_id = rows.job()
    ids = {}
    for number, (old, new) in enumerate(SUBTASK_MOVES):
        ids[old, new] = rows.subtask(job_id, "research", old, item=number)
    with ledger.write() as connection:
        at = now(connection)
        moves = [SubtaskMove(ids[o, n], job_id, o, n, f"{o} {n}", {"held_by": n}) for o, n in SUBTASK_MOVES]
        move_subtasks(connection, moves, "test", at)

    found = {row.id: row for row in rows_of(ledger, tables.subtask)}
    told = {row.subtask_id: row for row in rows_of(ledger, tables.event)}
    for (old, new), id_ in ids.items():
        ended = at if new in (S.DONE, S.DEAD, S.SKIPPED, S.CANCELLED) else None
        row, event = found[id_], told[id_]
        assert (row.state, row.why, row.held_by, row.ended_at) == (new, f"{old} {new}", new, ended)
        assert (event.old, event.new, event.sentence, event.at) == (old, new, f"{old} {new}", at)


def test_one_row_that_moved_on_meanwhile_undoes_the_whole_batch(ledger: Ledger, rows: Rows) -> None:
    job_id = rows.job()
    first, second = rows.subtask(job_id, "review"), rows.subtask(job_id, "security", "running")
    before = rows_of(ledger, tables.subtask)
    moves = [SubtaskMove(id_, job_id, S.READY, S.DISPATCHED, "granted") for id_ in (first, second)]
    told = "2 subtasks should move from ready to dispatched, 1 did"
    with pytest.raises(MovedMeanwhile, match=told), ledger.write() as connection:
        move_subtasks(connection, moves, "test", now(connection))
    with pytest.raises(MovedMeanwhile), ledger.write() as connection:
        gone = JobMove(job_id, JobState.ACCEPTED, JobState.RUNNING, "planned")
        move_jobs(connection, [gone], "test", now(connection))
    assert rows_of(ledger, tables.subtask) == before
    assert rows_of(ledger, tables.event) == []


def test_a_subtask_may_move_twice_in_one_batch_whatever_others_do_in_it(ledger: Ledger, rows: Rows) -> None:
    job_id = rows.job()
    one, two = rows.subtask(job_id, "review"), rows.subtask(job_id, "security", "waiting")
    moves = [
        SubtaskMove(one, job_id, S.READY, S.CANCELLED, "by bob"),
        SubtaskMove(two, job_id, S.WAITING, S.READY, "needs are met"),
        SubtaskMove(two, job_id, S.READY, S.CANCELLED, "by bob"),
    ]
    with ledger.write() as connection:
        move_subtasks(connection, moves, "test", now(connection))
    assert [row.state for row in rows_of(ledger, tables.subtask)] == ["cancelled", "cancelled"]
    assert [row.new for row in rows_of(ledger, tables.event)] == ["cancelled", "ready", "cancelled"]
