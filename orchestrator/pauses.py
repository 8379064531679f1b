"""Pauses: the rows that hold work, and the conditions that every grant, claim, heartbeat and effect is held
against in its own statement. A row that makes no sense holds everything."""

from sqlalchemy import ColumnElement, Connection, and_, exists, false, not_, or_, select, true, update

from contracts.failures import Code
from contracts.states import AttemptState
from orchestrator.deciders.switches import CLOCK_SLACK_SECONDS, LATEST, Scope, Standing
from orchestrator.deciders.switches import read as read_rows
from orchestrator.ledger.clock import wall_clock
from orchestrator.ledger.tables import attempt, job, pause, subtask

# Without IN, whose list is written out for each execution: a statement with one cannot be asked for many rows at
# once, as a group of claims is.
_READABLE = and_(
    or_(*(pause.c.scope == scope for scope in Scope)),
    (pause.c.scope == Scope.FLEET) == (pause.c.name == ""),
    pause.c.at.between(0.0, wall_clock() + CLOCK_SLACK_SECONDS),
    or_(pause.c.until.is_(None), pause.c.until.between(pause.c.at, LATEST)),
)
_STANDS = or_(pause.c.until.is_(None), pause.c.until > wall_clock())
_OF_THIS_ATTEMPT = or_(
    pause.c.scope == Scope.FLEET,
    and_(pause.c.scope == Scope.LANE, pause.c.name == attempt.c.lane),
    and_(
        pause.c.scope == Scope.VENDOR,
        exists()
        .where(subtask.c.id == attempt.c.subtask_id, subtask.c.vendor == pause.c.name)
        .correlate(attempt, pause),
    ),
    and_(
        or_(pause.c.scope == Scope.TENANT, pause.c.scope == Scope.WORKFLOW),
        exists()
        .where(
            job.c.id == attempt.c.job_id,
            or_(
                and_(pause.c.scope == Scope.TENANT, job.c.tenant == pause.c.name),
                and_(pause.c.scope == Scope.WORKFLOW, job.c.workflow == pause.c.name),
            ),
        )
        .correlate(attempt, pause),
    ),
)


def _held(killed_only: bool) -> ColumnElement[bool]:
    kills = pause.c.kills if killed_only else true()
    return exists().where(or_(not_(_READABLE), and_(_STANDS, kills, _OF_THIS_ATTEMPT))).correlate(attempt)


HELD = _held(killed_only=False)
"""An attempt that must not start. A row that cannot be read holds every attempt."""
KILLED = _held(killed_only=True)
"""An attempt that a switch tells to stop now."""
TOLD_TO_STOP = or_(KILLED, and_(attempt.c.code.is_not(None), attempt.c.code == Code.STOPPED))
"""An attempt that must stop, though the switch be lifted since."""


def note_killed(connection: Connection, among: ColumnElement[bool] | None = None) -> None:
    """Writes down which running attempts a switch has killed, all or among some, so that it is known when the switch
    is lifted: whatever they come to from here on is its doing. What waits for a vendor's batch is in no worker's
    hands."""
    running = attempt.c.state == AttemptState.RUNNING, attempt.c.vendor_batch_id.is_(None)
    these = true() if among is None else among
    connection.execute(update(attempt).where(*running, KILLED, these).values(code=Code.STOPPED))


def standing(connection: Connection, at: float) -> Standing:
    """All switches as they stand."""
    return read_rows(connection.execute(select(pause)), at)


def free(found: Standing) -> ColumnElement[bool]:
    """Subtasks that no switch holds, as a condition on their own columns, so that what is held is not even read."""
    if found.all_stopped:
        return false()
    conditions: list[ColumnElement[bool]] = [true()]
    lanes, tenants = found.names(Scope.LANE), found.names(Scope.TENANT)
    # As two ranges, which the index of what is ready begins with: so a paused lane's rows are passed over unread.
    conditions += [or_(subtask.c.lane < lane, subtask.c.lane > lane) for lane in lanes]
    if tenants:
        conditions.append(subtask.c.tenant.not_in(tenants))
    vendors = found.names(Scope.VENDOR)
    if vendors:
        conditions.append(or_(subtask.c.vendor.is_(None), subtask.c.vendor.not_in(vendors)))
    workflows = found.names(Scope.WORKFLOW)
    if workflows:
        of_these = select(job.c.id).where(job.c.workflow.in_(workflows), job.c.ended_at.is_(None))
        conditions.append(subtask.c.job_id.not_in(of_these))
    return and_(*conditions)
