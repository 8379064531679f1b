"""Lineage: how many jobs stand behind one, each made out of the one before."""

from sqlalchemy import Connection, func, literal, or_, select

from orchestrator.ledger.tables import job


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
