"""Lineage: how many jobs stand behind one, each made out of the one before."""

from graphlib import TopologicalSorter
from typing import Any

from sqlalchemy import Connection, Select, func, literal, or_, select

from orchestrator.ledger.listing import listed
from orchestrator.ledger.tables import job

_LINKS = select(job.c.id, job.c.origin, job.c.replay_of)


def depth(connection: Connection, job_id: str, most: int) -> int:
    """How many jobs a chain has that ends with this one: each reviews, reopens or replays the one before. Not
    followed further than `most`."""
    first = select(job.c.id, job.c.origin, job.c.replay_of, literal(1).label("n")).where(job.c.id == job_id)
    chain = first.cte("chain", recursive=True)
    before = select(job.c.id, job.c.origin, job.c.replay_of, (chain.c.n + 1).label("n")).where(
        or_(job.c.id == chain.c.origin, job.c.id == chain.c.replay_of), chain.c.n < most
    )
    found = chain.union(before)
    return int(connection.execute(select(func.coalesce(func.max(found.c.n), 0))).scalar_one())


def depths(connection: Connection, jobs: Select[Any], most: int) -> dict[str, int]:
    """The same of each of these jobs that has another one before it, with one statement for each link of the longest
    chain; all others stand alone."""
    linked = or_(job.c.origin.is_not(None), job.c.replay_of.is_not(None))
    asked = connection.execute(_LINKS.where(job.c.id.in_(jobs), linked)).all()
    before = {row.id: {row.origin, row.replay_of} - {None} for row in asked}
    ahead = set[str]().union(*before.values()) - before.keys()
    for _ in range(most):
        if not ahead:
            break
        rows = connection.execute(_LINKS.where(job.c.id.in_(listed(connection, ahead)))).all()
        before |= {row.id: {row.origin, row.replay_of} - {None} for row in rows}
        ahead = set[str]().union(*(before[row.id] for row in rows)) - before.keys()
    found: dict[str, int] = {}
    for each in TopologicalSorter(before).static_order():
        # what stands before the last link that was read counts for nothing, since `most` is reached without it
        links = before.get(each)
        found[each] = 0 if links is None else min(1 + max((found[other] for other in links), default=0), most)
    return {row.id: found[row.id] for row in asked}
