"""Replanning: an effect that found the world changed goes back to the step that reads it."""

from typing import Any

from contracts.failures import Code, Failure
from contracts.states import SubtaskState
from contracts.workflows import Ending
from orchestrator.batch import Batch
from orchestrator.deciders.nodes import Node
from orchestrator.deciders.progress import not_started
from orchestrator.deciders.revising import AnotherRound, RoundsExhausted, after_change
from orchestrator.deciders.stopping import overgrown
from orchestrator.marking import add_nodes, bury, move
from orchestrator.views import JobView


def plan_again(view: JobView, node: Node, failure: Failure, batch: Batch, **sets: Any) -> bool:
    """Gathers the next round of what was built on a state that changed since; False where its step declares none.
    What waits in the old round is withdrawn with it, questions to people included."""
    if failure.code is not Code.STATE_CHANGED:
        return False
    match after_change(view.workflow, node, view.nodes, failure.sentence):
        case AnotherRound(planned=planned) if stop := overgrown(view.workflow, view.nodes, planned):
            why = f"{failure.sentence}; {stop.why(view.workflow, view.nodes)}"
            bury(view, node, stop.code, why, batch, **sets)
        case AnotherRound(planned=planned, why=why):
            rounds = {(each.step, each.item) for each in planned}
            for old in list(view.nodes):
                if (old.step, old.item) in rounds and not_started(old):
                    move(view, old, SubtaskState.CANCELLED, why, batch)
            move(view, node, SubtaskState.SKIPPED, why, batch, **sets)
            add_nodes(view, planned, why, batch)
        case RoundsExhausted(why=why):
            on = view.workflow.steps[node.step].trouble
            if on and on.loop is Ending.SKIP:
                move(view, node, SubtaskState.SKIPPED, why, batch, **sets)
            else:
                bury(view, node, failure.code, why, batch, **sets)
        case None:
            return False
    return True
