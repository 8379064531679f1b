"""Ids as people type them: whole, or the first characters as long as they are unambiguous; and as moments."""

import re

from sqlalchemy import Column, Connection, select
from ulid import ULID

from orchestrator.ledger.tables import job, replay, subtask
from orchestrator.problems import Conflict, NotFound

SHORTEST_PREFIX = 6
CLOCK_SLACK_SECONDS = 3600.0
"""For processes whose clocks differ from the database's."""
_LENGTH = 26
_SHAPE = re.compile(r"[0-9A-Z]+")


def job_id(connection: Connection, given: str) -> str:
    """The job's whole id; raises NotFound, or Conflict where several begin so."""
    return _resolved(connection, job.c.id, "job", given)


def subtask_id(connection: Connection, given: str) -> str:
    """The subtask's whole id; raises NotFound, or Conflict where several begin so."""
    return _resolved(connection, subtask.c.id, "subtask", given)


def work_id(connection: Connection, given: str) -> str:
    """The whole id of a job or a subtask; raises NotFound, or Conflict where several begin so."""
    try:
        return job_id(connection, given)
    except NotFound:
        try:
            return subtask_id(connection, given)
        except NotFound:
            raise NotFound(f"no job and no subtask {given[:40]} is in the ledger") from None


def replay_id(connection: Connection, given: str) -> str:
    """The replay's whole id; raises NotFound, or Conflict where several begin so."""
    return _resolved(connection, replay.c.id, "replay", given)


def first_id(since: float) -> str:
    """No row of that time or later has a smaller id. Ids begin with the time, so the primary key's index narrows
    the scan."""
    return str(ULID.from_timestamp(max(since - CLOCK_SLACK_SECONDS, 0.0)))[:10]


def _resolved(connection: Connection, column: Column[str], noun: str, given: str) -> str:
    prefix = given.strip().upper()
    if not _SHAPE.fullmatch(prefix) or len(prefix) > _LENGTH:
        raise NotFound(f"no {noun} {given[:40]!r}: an id is {_LENGTH} digits and letters")
    if len(prefix) < SHORTEST_PREFIX:
        raise NotFound(
            f"no {noun} {given!r}: give its id, or at least its first {SHORTEST_PREFIX} characters"
        )
    # a range, since both databases look it up in the primary key's index
    last = prefix + "Z" * (_LENGTH - len(prefix))
    found = connection.execute(select(column).where(column.between(prefix, last)).limit(2)).scalars().all()
    if not found:
        raise NotFound(f"no {noun} {given} is in the ledger")
    if len(found) > 1:
        raise Conflict(f"several {noun}s begin with {given}; give more characters of the id")
    return str(found[0])
