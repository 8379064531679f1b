"""Holds: what keeps work from starting at this moment, a sentence each: pauses, and spending caps without room."""

from collections.abc import Collection, Iterable, Iterator

from sqlalchemy import Connection, and_, func, or_, select

from contracts.replays import ItemState
from orchestrator import pauses, spending
from orchestrator.deciders.spending import Cap, Scope, told, worst_input
from orchestrator.deciders.switches import Work
from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import job, replay_item, subtask
from orchestrator.reads.expectations import Asked
from orchestrator.selections import UNDONE


def pausing(connection: Connection, works: Iterable[Work]) -> tuple[str, ...]:
    """The pauses that hold some of this work, the widest first."""
    every = tuple(works)
    if not every:
        return ()
    found = pauses.standing(connection, now(connection))
    held = [switch for switch in found.switches if any(switch.holds(work) for work in every)]
    return (*found.broken, *(switch.sentence for switch in held))


def without_room(
    connection: Connection, calls: Collection[Asked], tenants: Collection[str], purposes: Collection[str]
) -> Iterator[str]:
    """The spending caps that would park some of these calls, made for these tenants and purposes."""
    at = now(connection)
    worst = {(each.load.workflow, each.load.step): _worst(each, at) for each in calls}
    for cap in spending.caps(connection, at, {}).values():
        below = [each for each in calls if _concerns(cap, each, tenants, purposes)]
        dearest = max(below, key=lambda each: worst[each.load.workflow, each.load.step], default=None)
        if dearest is None:
            continue
        most = worst[dearest.load.workflow, dearest.load.step]
        if most > max(cap.free, 0):
            yield f"{told(cap, most, f'a call of lane {dearest.load.lane}')}; `fleet budgets cap` raises it"


def holding(connection: Connection, replay_id: str) -> tuple[str, ...]:
    """What holds the jobs of a replay that has not ended: those that are under way, and those that wait for their
    turn, as far as what they did not finish before tells."""
    item = replay_item.c
    jobs = {
        state: select(column).where(item.replay_id == replay_id, item.state == state)
        for state, column in ((ItemState.RELEASED, item.new_job_id), (ItemState.WAITING, item.job_id))
    }
    under_way, waiting = jobs[ItemState.RELEASED], jobs[ItemState.WAITING]
    parts = or_(
        and_(subtask.c.job_id.in_(under_way), subtask.c.ended_at.is_(None)),
        and_(subtask.c.job_id.in_(waiting), subtask.c.state.in_(UNDONE)),
    )
    lanes = select(subtask.c.lane, subtask.c.vendor).where(parts).distinct()
    names = select(job.c.tenant, job.c.workflow).where(or_(job.c.id.in_(under_way), job.c.id.in_(waiting)))
    works = [Work(lane=row.lane, vendor=row.vendor) for row in connection.execute(lanes)]
    works += [Work(tenant=row.tenant, workflow=row.workflow) for row in connection.execute(names.distinct())]
    parked = (
        select(func.count().label("count"), func.max(subtask.c.held_by).label("why"))
        .where(subtask.c.job_id.in_(under_way), *spending.HELD)
        .group_by(subtask.c.capped_by)
        .order_by(subtask.c.capped_by)
    )
    capped = tuple(f"{row.count} subtask(s) are parked: {row.why}" for row in connection.execute(parked))
    return (*pausing(connection, works), *capped)


def _worst(each: Asked, at: float) -> int:
    """Of a first try."""
    most = each.model.max_output_tokens
    tokens = worst_input(each.raw_tokens, each.billed_tokens, 0, most)
    return spending.worst_of(each.model.vendor, each.model.name, tokens, most, at)


def _concerns(cap: Cap, call: Asked, tenants: Collection[str], purposes: Collection[str]) -> bool:
    match cap.scope:
        case Scope.TENANT:
            return cap.name in tenants
        case Scope.LANE:
            return cap.name == call.load.lane
        case Scope.PURPOSE:
            return cap.name in purposes
        case _:
            return cap.scope is Scope.FLEET
