"""Looking: one cheap reading that says which verbs of the loop have anything to do."""

from dataclasses import dataclass

from sqlalchemy import and_, exists, func, or_, select

from contracts.replays import ItemState, ReplayState
from contracts.states import AttemptState, JobState, SubtaskState
from orchestrator.ledger.clock import wall_clock
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.tables import approval, attempt, job, replay, replay_item, subtask
from orchestrator.questions import ASKING
from orchestrator.repeats import FREED


@dataclass(frozen=True)
class Seen:
    """Which verbs have something to do."""

    plan: bool
    replay: bool
    advance: bool
    answer: bool
    recall: bool
    dispatch: bool
    open: bool
    """Whether any job is under way; without one there is little to reconcile."""


_OF_REPLAY = replay_item.c.replay_id == replay.c.id
_IS_OPEN = replay_item.c.state == ItemState.RELEASED
_OPEN = select(func.count()).select_from(replay_item).where(_OF_REPLAY, _IS_OPEN).scalar_subquery()
_MAY_RELEASE = and_(
    replay.c.state == ReplayState.RUNNING,
    exists().where(_OF_REPLAY, replay_item.c.state == ItemState.WAITING),
    replay.c.most_open > _OPEN,
)
_TO_FOLLOW = exists().where(
    _OF_REPLAY, _IS_OPEN, job.c.id == replay_item.c.new_job_id, job.c.ended_at.is_not(None)
)
_AT_ITS_END = ~exists().where(_OF_REPLAY, replay_item.c.state.in_((ItemState.WAITING, ItemState.RELEASED)))

_LOOK = select(
    exists().where(job.c.state == JobState.ACCEPTED, job.c.ended_at.is_(None)).label("plan"),
    exists().where(replay.c.ended_at.is_(None), or_(_MAY_RELEASE, _TO_FOLLOW, _AT_ITS_END)).label("replay"),
    exists().where(attempt.c.state == AttemptState.REPORTED, attempt.c.ended_at.is_(None)).label("advance"),
    exists()
    .where(
        subtask.c.id == approval.c.subtask_id,
        subtask.c.state == SubtaskState.PARKED,
        subtask.c.ended_at.is_(None),
        ASKING,
        or_(approval.c.state != "waiting", approval.c.expires_at < wall_clock()),
    )
    .label("answer"),
    FREED.label("recall"),
    exists()
    .where(
        subtask.c.state == SubtaskState.READY,
        subtask.c.follows.is_(None),
        or_(subtask.c.not_before.is_(None), subtask.c.not_before <= wall_clock()),
    )
    .label("dispatch"),
    exists().where(job.c.ended_at.is_(None)).label("open"),
)


class Looker:
    """Reads the ledger without a lock."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def look(self) -> Seen:
        with self._ledger.read() as connection:
            row = connection.execute(_LOOK).one()
        return Seen(
            plan=row.plan,
            replay=row.replay,
            advance=row.advance,
            answer=row.answer,
            recall=row.recall,
            dispatch=row.dispatch,
            open=row.open,
        )
