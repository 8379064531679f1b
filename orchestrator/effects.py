"""Effects as rows: those of which nobody knows whether they were applied, and the versions of what they change.

Such an effect has an intent and no result, and whoever wrote the intent has ended. Where it is begun again, the world
is read first; where nobody begins it again, a person is called once, and says what they found.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, and_, select, update

from contracts.handoffs import EffectGrant
from contracts.states import SubtaskState
from contracts.workflows import ReplayClass
from orchestrator import escalations
from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.tables import effect, subject, subtask

MOST = 50
SETTLE = "fleet effect settle"
UNWELL = (SubtaskState.DEAD, SubtaskState.CANCELLED, SubtaskState.SKIPPED)
BEGUN = and_(effect.c.applied_at.is_(None), effect.c.replay_class != ReplayClass.READ_ONLY)
"""It has an intent and no result."""


def how_to_settle(key: str) -> str:
    """What a person does about such an effect, as part of a sentence."""
    return (
        f"look there, then `{SETTLE} {key} --applied` or `--not-applied` with a --reason says what you found"
    )


def called_about(key: str) -> str:
    """The subject of the call about this effect."""
    return f"effect/{key}"


def begun_by(connection: Connection, subtask_ids: Iterable[str]) -> dict[str, str]:
    """Of these subtasks, those whose effect was begun and has no result, each with a sentence."""
    query = select(effect.c.subtask_id, effect.c.key, effect.c.target)
    rows = connection.execute(query.where(BEGUN, effect.c.subtask_id.in_(set(subtask_ids))))
    return {row.subtask_id: f"{row.target} may have been changed: {how_to_settle(row.key)}" for row in rows}


def call(connection: Connection, at: float, actor: str) -> int:
    """Calls a person, once each, about effects whose subtasks ended unwell before anybody knew; answers how many."""
    rows = connection.execute(
        select(effect.c.key, effect.c.target, subtask.c.id, subtask.c.job_id, subtask.c.name, subtask.c.state)
        .join(subtask, subtask.c.id == effect.c.subtask_id)
        .where(BEGUN, effect.c.called_at.is_(None), subtask.c.state.in_(UNWELL))
        .order_by(effect.c.key)
        .limit(MOST)
    ).all()
    for row in rows:
        sentence = (
            f"{row.name} of job {row.job_id} is {row.state}, and its attempt never said whether it changed "
            f"{row.target}: {how_to_settle(row.key)}"
        )
        escalations.call(connection, at, actor, sentence, row.job_id, subject=called_about(row.key))
    called = effect.c.key.in_([row.key for row in rows])
    if rows:
        connection.execute(update(effect).where(called).values(called_at=at))
    return len(rows)


def raise_version(connection: Connection, grant: EffectGrant, subtask_id: str, at: float) -> None:
    """What the effect changed is of a new version from here on."""
    names = dict.fromkeys((grant.target, grant.changes))
    insert_missing(connection, subject, [{"name": name, "version": 0, "changed_at": at} for name in names])
    of_target = select(subject.c.version).where(subject.c.name == grant.target).with_for_update()
    version = connection.execute(of_target).scalar_one() + 1
    connection.execute(
        update(subject)
        .where(subject.c.name.in_(names))
        .values(version=version, changed_at=at, changed_by=subtask_id)
    )
