"""Recovering: what follows a failed attempt is decided and gathered into a batch."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, func, select

from contracts.artifacts import ArtifactRef, digest_of
from contracts.failures import Code, Failure
from contracts.handoffs import Handoff, Tried
from contracts.lanes import Attempts
from contracts.states import SubtaskState
from contracts.workflows import Ending, OnTrouble
from orchestrator import purses, spending
from orchestrator.batch import Batch
from orchestrator.deciders import fitting
from orchestrator.deciders.climbing import Standing, Top, Up, climb
from orchestrator.deciders.nodes import Node
from orchestrator.deciders.packets import packet_of_try
from orchestrator.deciders.recovery import (
    AWAY,
    UNASKED,
    Climb,
    End,
    History,
    Retry,
    counted_with,
    is_try,
    recover,
)
from orchestrator.deciders.stopping import spent_out
from orchestrator.deciders.suspecting import Blame
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.tables import attempt, effect, subtask
from orchestrator.marking import bury, move
from orchestrator.prices import has_price
from orchestrator.questions import question
from orchestrator.replanning import plan_again
from orchestrator.starting import columns_of
from orchestrator.views import JobView, handoff_of

HUMAN_HOURS = 72.0
"""So long a person on a rung is waited for; silence never allows another try."""
COLUMNS = (
    subtask.c.tries,
    subtask.c.repairs,
    subtask.c.crashes,
    subtask.c.rung,
    subtask.c.tries_below_rung,
    subtask.c.most_output_tokens,
)
"""What must be known of a subtask to decide what follows."""


def after_report(
    connection: Connection,
    view: JobView,
    node: Node,
    row: Any,
    failure: Failure,
    answer: ArtifactRef | None,
    chance: Callable[[], float],
    batch: Batch,
) -> None:
    """An attempt was reported as failed. Whatever came of it, it did not kill its worker."""
    paced = row.budget is not None
    away = failure.code in AWAY and purses.is_away(connection, row.budget)
    tries = row.tries + (1 if is_try(failure, paced, away) else 0)
    if plan_again(view, node, failure, batch, tries=tries, suspect=False):
        return
    history = _history(
        view,
        node,
        row,
        tries=tries - row.tries_below_rung,
        crashes=row.crashes,
        limited=times(connection, node, counted_with(failure, paced, away)),
        paced=paced,
        away=away,
        promised_less=row.promised_output_tokens < row.most_output_tokens,
    )
    policy, on = policy_of(view, row), trouble_of(view, node)
    decided = recover(failure, policy, on, history, chance())
    # What its worker could not read may have been written by newer code than this, too: it stays as it is.
    unread = failure.code is Code.UNKNOWN_CONTRACT
    handoff = None if unread else handed_again(connection, node, row, failure, answer)
    if not isinstance(decided, End):
        decided = overspent(connection, view, node, row, decided.why, batch) or decided
    enact(view, node, row, failure, decided, handoff, batch, tries=tries, suspect=False)


def after_loss(
    connection: Connection,
    view: JobView,
    node: Node,
    row: Any,
    failure: Failure,
    blamed: Blame,
    chance: Callable[[], float],
    batch: Batch,
) -> None:
    """An attempt fell silent, and is blamed for so much of it."""
    crashes = row.crashes + (1 if blamed.counts else 0)
    shared = 0 if blamed.counts else times(connection, node, frozenset({Code.CRASHED})) - row.crashes
    history = _history(
        view,
        node,
        row,
        tries=row.tries - row.tries_below_rung,
        crashes=crashes,
        limited=shared,
        shared_loss=not blamed.counts,
    )
    decided = recover(failure, policy_of(view, row), trouble_of(view, node), history, chance())
    handoff = handed_again(connection, node, row, failure, None)
    if not isinstance(decided, End):
        decided = overspent(connection, view, node, row, decided.why, batch) or decided
    enact(view, node, row, failure, decided, handoff, batch, crashes=crashes, suspect=blamed.suspect)


def overspent(
    connection: Connection, view: JobView, node: Node, row: Any, why: str, batch: Batch
) -> End | None:
    """The end of a subtask whose attempts have spent too much for another, whatever else would follow; `why` is
    what ended the last of them."""
    this = sum(spending.spent(row, each) for each in batch.settled if each["id"] == row.id)
    stop = spent_out(view.workflow.stops, spending.of_subtask(connection, node.id) + this)
    return End(Ending.DEAD, f"{stop}: {why}", Code.STOPPED) if stop else None


def _history(view: JobView, node: Node, row: Any, **facts: Any) -> History:
    ladder = view.catalog.lanes[view.workflow.steps[node.step].lane or ""].ladder
    return History(repairs=row.repairs, rungs_left=len(ladder) - row.rung, **facts)


def policy_of(view: JobView, row: Any) -> Attempts:
    """By the lane that the attempt was in."""
    return view.catalog.lanes[row.lane].attempts


def trouble_of(view: JobView, node: Node) -> OnTrouble:
    """What its step declares."""
    on = view.workflow.steps[node.step].trouble
    assert on is not None
    return on


def times(connection: Connection, node: Node, codes: frozenset[Code]) -> int:
    """How many attempts ended in one of these ways, this one included, which did; none where no way is given."""
    if not codes:
        return 0
    same = attempt.c.subtask_id == node.id, attempt.c.code.in_(codes)
    # The batch, and this attempt's code with it, is written later.
    return 1 + connection.execute(select(func.count()).select_from(attempt).where(*same)).scalar_one()


def handed_again(
    connection: Connection, node: Node, row: Any, failure: Failure, answer: ArtifactRef | None
) -> Handoff:
    """The handoff of the next try: everything of the last one, and what came of that, with which parameters."""
    handoff = handoff_of(connection, node.id)
    tried = Tried(
        attempt=row.id,
        code=failure.code,
        sentence=failure.sentence,
        artifact=answer,
        parameters=_parameters(handoff, row),
        kept=failure.kept or _effect(connection, handoff, row.id),
    )
    return handoff.model_copy(update={"tried": (*handoff.tried, tried)})


def _parameters(handoff: Handoff, row: Any) -> dict[str, str]:
    found = {"lane": handoff.assignment.lane}
    if handoff.route:
        promised = row.promised_output_tokens or handoff.route.max_output_tokens
        found |= {
            "model": f"{handoff.route.vendor}/{handoff.route.model}",
            "max_output_tokens": str(promised),
        }
    return found | ({"rung": str(row.rung)} if row.rung else {})


def _effect(connection: Connection, handoff: Handoff, attempt_id: str) -> str:
    """What the attempt changed in the world, or may have, as far as it was written down."""
    if handoff.effect is None:
        return ""
    this = effect.c.key == handoff.effect.key, effect.c.attempt_id == attempt_id
    begun = connection.execute(select(effect.c.target, effect.c.applied_at).where(*this)).one_or_none()
    if begun is None:
        return ""
    return (
        f"{begun.target} was changed"
        if begun.applied_at
        else f"{begun.target} may have been changed: look first"
    )


def enact(
    view: JobView,
    node: Node,
    row: Any,
    failure: Failure,
    decided: Retry | Climb | End,
    handoff: Handoff | None,
    batch: Batch,
    **sets: Any,
) -> None:
    """Gathers what was decided; `sets` are columns of the subtask that change whatever that is. Without a
    `handoff` it keeps the one it has."""
    match decided:
        case Retry(why=why) if handoff and (misfit := fitting.misfit(handoff, view.catalog)):
            told = f"{why}; but with what was tried it has {misfit}"
            bury(view, node, Code.TOO_LARGE, told, batch, **sets)
        case Retry() as retry:
            sets |= _again(handoff, batch) | {
                "repairs": row.repairs + (1 if retry.is_repair else 0),
                "not_before": batch.at + retry.delay_seconds,
            }
            if failure.code not in UNASKED:
                sets["repeat_key"] = None  # a retry is no answer to the question as it was first asked
            move(view, node, SubtaskState.READY, retry.why, batch, **sets)
        case Climb() as wanted:
            assert handoff is not None  # what was not read did not fall short
            _climb(view, node, row, failure, wanted, handoff, batch, **sets)
        case End(ending=Ending.SKIP, why=why):
            move(view, node, SubtaskState.SKIPPED, why, batch, **sets)
        case End(why=why):
            bury(view, node, decided.code or failure.code, why, batch, **sets)


def _again(handoff: Handoff | None, batch: Batch) -> dict[str, Any]:
    return {"ready_at": batch.at} | (columns_of(handoff) if handoff else {})


def _climb(
    view: JobView,
    node: Node,
    row: Any,
    failure: Failure,
    wanted: Climb,
    handoff: Handoff,
    batch: Batch,
    **sets: Any,
) -> None:
    standing = Standing(
        job=view.facts,
        catalog=view.catalog,
        workflow=view.workflow,
        node=node,
        nodes=view.nodes,
        origin=view.origin,
        handoff=handoff,
        rung=row.rung,
        has_price=has_price,
    )
    match climb(standing):
        case Up() as up:
            _step_up(view, node, up, f"{wanted.why}; {up.why}", batch, **sets)
        case Top(why=passed):
            end = wanted.otherwise
            why = f"{end.why}; {passed}" if passed else end.why
            enact(view, node, row, failure, End(end.ending, why), handoff, batch, **sets)


def _step_up(view: JobView, node: Node, up: Up, why: str, batch: Batch, **sets: Any) -> None:
    """On a new rung it has its tries and repairs again; it is asked live, and is no answer to the question as it
    was first asked."""
    sets |= columns_of(up.handoff) | {
        "rung": up.rung,
        "tries_below_rung": sets["tries"],
        "repairs": 0,
        "not_before": batch.at,
        "ready_at": batch.at,
        "repeat_key": None,
        "batch_scope": None,
    }
    if up.model:
        sets["reserve_output_tokens"] = up.model.expected_output_tokens
    if up.taken.lane:
        lane = view.catalog.lanes[up.taken.lane]
        sets |= {"lane": lane.lane, "allowed_seconds": lane.deadline_seconds}
        if lane.model is None:
            sets["reserve_output_tokens"] = 0
    if up.taken.human:
        _ask(view, node, up, up.taken.human, why, batch, **sets)
        return
    move(view, node, SubtaskState.READY, why, batch, **sets)
    view.replace(view.node(node.id), vendor=sets["vendor"], lane=up.handoff.assignment.lane)


def _ask(view: JobView, node: Node, up: Up, asked: str, why: str, batch: Batch, **sets: Any) -> None:
    """A person decides whether there is one more try; no repair of it is left. The answer is bound to the last
    answer that failed, or where there is none to what would be handed over again."""
    shown = next((each.artifact for each in reversed(up.handoff.tried) if each.artifact), None)
    digest = shown.digest if shown else digest_of(up.handoff.model_dump_json().encode())
    packet = packet_of_try(view.workflow, asked, up.handoff, view.nodes)
    row = question(view.row, node.id, digest, packet, batch.at, HUMAN_HOURS)
    batch.approvals.append(row)
    policy = view.catalog.lanes[up.handoff.assignment.lane].attempts
    held = {"asks": row["id"], "repairs": policy.repairs}
    move(view, node, SubtaskState.PARKED, why, batch, **sets | held)
    view.replace(view.node(node.id), asks=row["id"])
    kind = EventKind.APPROVAL_ASKED
    batch.events.append(Event(batch.at, kind, batch.actor, view.row.id, node.id, sentence=asked))


def try_once_more(
    connection: Connection, view: JobView, node: Node, answer: Any, batch: Batch, **sets: Any
) -> None:
    """A person allowed it, on a rung that asked one; the next try is told what they said."""
    handoff = handoff_of(connection, node.id)
    said = f"{answer.answered_by} allows one more try: {answer.comment or 'no comment'}"
    told = handoff.model_copy(update={"tried": (*handoff.tried, Tried(attempt=answer.id, sentence=said))})
    sets |= columns_of(told) | {"asks": None, "ready_at": batch.at, "not_before": None}
    move(view, node, SubtaskState.READY, said, batch, **sets)
    view.replace(view.node(node.id), asks=None)
