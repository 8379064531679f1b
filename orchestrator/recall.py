"""Recall: a question that was answered before gets that answer, without an attempt.

Dispatch lets a subtask follow whoever asks or has asked the same first. Here that one answers no more: its answer
is taken over where it is good, and where it is not, its followers are candidates again and one of them leads.
"""

import logging
from typing import Any

from contracts.reports import Summary
from contracts.states import SubtaskState
from orchestrator import repeats, taints
from orchestrator.batch import Batch
from orchestrator.deciders.repeating import stands
from orchestrator.deciders.spans import span
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.ledger.leadership import Deposed, Leadership
from orchestrator.ledger.snapshots import Snapshots
from orchestrator.liveness import BEATS_MISSED
from orchestrator.marking import move
from orchestrator.progressing import advance_job
from orchestrator.settings import Settings
from orchestrator.views import JobView, delivered, load

log = logging.getLogger(__name__)

ACTOR = "orchestrator.recall"
BATCH = 200


class Recaller:
    """The verb that ends the waiting of followers."""

    def __init__(self, leadership: Leadership, snapshots: Snapshots, settings: Settings) -> None:
        self._leadership = leadership
        self._snapshots = snapshots
        self._silent_seconds = BEATS_MISSED * settings.heartbeat_seconds

    def run(self) -> int:
        """Answers or releases a batch of followers and says how many; where that raises, one by one."""
        try:
            return self._recall(None)
        except (Deposed, LedgerUnreachable):
            raise
        except Exception:
            log.exception("a batch of repeated questions could not be answered; trying one by one")
            return self._one_by_one()

    def _recall(self, only: str | None) -> int:
        with self._leadership.decide() as (connection, at):
            rows = repeats.freed(connection, BATCH, only)
            if not rows:
                return 0
            answers = repeats.answers(connection, {row.follows for row in rows})
            pretending = repeats.pretending(connection, at - self._silent_seconds)
            job_ids = {row.job_id for row in rows} | {answer.job_id for answer in answers.values()}
            views = load(connection, self._snapshots, job_ids)
            good = {
                key: answer
                for key, answer in answers.items()
                if _stands(views[answer.job_id], answer)
                and (not answer.simulated or (answer.lane, answer.vendor) in pretending)
            }
            batch, released = Batch(at, ACTOR), []
            for row in rows:
                answer = good.get(row.follows)
                if answer is None or at - answer.ended_at > row.repeat_within_seconds:
                    released.append(row)
                else:
                    _take_over(views[row.job_id], row, answer, batch)
            for job_id in sorted({moved.job_id for moved in batch.moves}):
                advance_job(views[job_id], batch)
            batch.write(connection)
            taints.pass_on(connection, {moved.job_id for moved in batch.moves}, at, ACTOR)
            repeats.release(connection, released, at)
            repeats.forget(connection, answers.keys() - good.keys())
            return len(rows)

    def _one_by_one(self) -> int:
        with self._leadership.decide() as (connection, _):
            ids = [row.id for row in repeats.freed(connection, BATCH)]
        for subtask_id in ids:
            try:
                self._recall(subtask_id)
            except (Deposed, LedgerUnreachable):
                raise
            except Exception:
                log.exception("subtask %s cannot be answered as another was; it asks itself", subtask_id)
                with self._leadership.decide() as (connection, _):
                    repeats.ask_itself(connection, subtask_id)
        return len(ids)


def _stands(view: JobView, answer: Any) -> bool:
    return stands(view.workflow, view.nodes, view.node(answer.id))


def _take_over(view: JobView, row: Any, answer: Any, batch: Batch) -> None:
    """The subtask is done with the other's summary; the artifact behind it is shared by its digest."""
    node = view.node(row.id)
    if view.row.cancel_requested_by:
        move(view, node, SubtaskState.CANCELLED, f"cancelled by {view.row.cancel_requested_by}", batch)
        return
    ago = span(batch.at - answer.ended_at)
    move(
        view,
        node,
        SubtaskState.DONE,
        f"answered as {answer.job_id}, {answer.name} was, {ago} ago",
        batch,
        summary=answer.summary,
        answered_by=answer.id,
        saved_nano_usd=answer.cost_nano_usd,
        held_by=None,
        dependency_seconds=repeats.waited(row, batch.at),
    )
    view.summaries[node.id] = answer.summary
    view.replace(view.node(node.id), delivered=delivered(Summary.model_validate(answer.summary)))
