"""One dead letter whole: what was asked, every attempt at it, and the exchange around it."""

from pydantic import JsonValue
from sqlalchemy import Connection, select

from orchestrator.ledger.tables import dead_letter, job, subtask
from orchestrator.problems import NotFound
from orchestrator.reads.attempts import AttemptRead, attempts_of
from orchestrator.reads.costs import Cost, cost_of_subtask
from orchestrator.reads.dead_letters import DeadLetterLine, dead_letter_rows, dead_letter_values
from orchestrator.reads.explain import again_of
from orchestrator.reads.ids import subtask_id
from orchestrator.reads.lineage import Kin, Round, exchange_of, kin_of


class DeadLetterRead(DeadLetterLine):
    """Everything that is known about a subtask that ended unwell."""

    handoff: dict[str, JsonValue] | None
    """What its worker was given; None where it never came to one."""
    attempts: tuple[AttemptRead, ...]
    exchange: tuple[Round, ...]
    """All rounds of drafting and reviewing in its job."""
    kin: tuple[Kin, ...]
    """Jobs linked to its own: where it came from, what it runs again, and what runs it again."""
    again: str | None
    """The command that shows what running it again would do; None while its job is under way, and where a replay of
    it is under way or is done."""
    cost: Cost


def dead_letter_read(connection: Connection, given: str) -> DeadLetterRead:
    """The dead letter of a subtask, named by id or unique prefix; raises NotFound."""
    letter_id = subtask_id(connection, given)
    row = connection.execute(
        dead_letter_rows().add_columns(subtask.c.handoff).where(dead_letter.c.subtask_id == letter_id)
    ).one_or_none()
    if row is None:
        state = connection.execute(select(subtask.c.state).where(subtask.c.id == letter_id)).scalar_one()
        raise NotFound(f"subtask {letter_id} is {state} and no dead letter")
    owner = connection.execute(select(job).where(job.c.id == row.job_id)).one()
    return DeadLetterRead(
        **dead_letter_values(row),
        handoff=row.handoff,
        attempts=attempts_of(connection, letter_id),
        exchange=exchange_of(connection, row.job_id),
        kin=kin_of(connection, row.job_id),
        again=again_of(connection, owner, letter_id) if owner.ended_at else None,
        cost=cost_of_subtask(connection, letter_id),
    )
