"""Revising: what two sealed verdicts, a person, or a world that changed meanwhile, mean for what was made."""

from dataclasses import dataclass

from contracts.states import SubtaskState
from contracts.verdicts import Decision
from contracts.workflows import Workflow
from orchestrator.deciders.nodes import Node, Planned, current


@dataclass(frozen=True)
class AnotherRound:
    """New subtasks of the revised step and of those that judge it."""

    planned: tuple[Planned, ...]
    why: str


@dataclass(frozen=True)
class RoundsExhausted:
    """Objections stand and no round is left."""

    step: str
    why: str


Revision = AnotherRound | RoundsExhausted | None


def after_verdicts(workflow: Workflow, step: str, nodes: list[Node]) -> Revision:
    """What the verdicts on the current round of `step` call for; None while any is missing or all approve."""
    revise = workflow.steps[step].revise
    assert revise is not None
    verdicts = [node for reviewer in revise.objections_of for node in current(nodes, reviewer)]
    if not all(node.state is SubtaskState.DONE and node.delivered for node in verdicts):
        return None
    objections = [n for n in verdicts if n.delivered and n.delivered.decision is not Decision.APPROVE]
    if not objections:
        return None
    why = "; ".join(f"{n.step} {n.delivered.text}" for n in objections if n.delivered)
    return another_round(workflow, step, (step, *revise.objections_of), nodes, why)


def after_person(workflow: Workflow, approval: str, nodes: list[Node], comment: str) -> Revision:
    """What a person's wish for a revision calls for: all from the revised step to the approval again."""
    revised = revisable(workflow, approval)
    if revised is None:
        return RoundsExhausted(
            approval, f"no step before {approval} can be revised; asked for was: {comment}"
        )
    between = [
        name
        for name in workflow.steps
        if revised in ancestors(workflow, name)
        and (name == approval or name in ancestors(workflow, approval))
    ]
    return another_round(workflow, revised, (revised, *between), nodes, f"a person asks: {comment}")


def another_round(
    workflow: Workflow, step: str, steps: tuple[str, ...], nodes: list[Node], why: str
) -> AnotherRound | RoundsExhausted:
    """The subtasks of the next round of these steps, as long as the workflow allows one more."""
    revise = workflow.steps[step].revise
    assert revise is not None
    round_ = max(node.round for node in current(nodes, step))
    if round_ > revise.most:
        return RoundsExhausted(step, f"objections stand after {revise.most} revision(s): {why}")
    # What was planned again on its own is rounds ahead of the rest.
    planned = tuple(
        Planned(name, node.item, max(round_, node.round) + 1)
        for name in steps
        for node in current(nodes, name)
    )
    return AnotherRound(planned, why)


def after_change(workflow: Workflow, node: Node, nodes: list[Node], why: str) -> Revision:
    """What it calls for that the world changed since the state that this node's effect was built on: a round of
    everything from the step that read it, as far as that was begun. None where no such step is declared."""
    on = workflow.steps[node.step].trouble
    if on is None or on.stale is None:
        return None
    again, most = on.stale.step, on.stale.most
    if node.round > most:
        return RoundsExhausted(node.step, f"the state changed again after {most} round(s): {why}")
    names = [name for name in workflow.steps if name == again or again in ancestors(workflow, name)]
    planned = tuple(
        Planned(name, each.item, each.round + 1)
        for name in names
        for each in current(nodes, name)
        if each.state is not SubtaskState.WAITING
    )
    return AnotherRound(planned, f"planned again from {again}: {why}")


def ancestors(workflow: Workflow, step: str) -> set[str]:
    """All steps that must deliver before this one."""
    found: set[str] = set()
    open_ = list(workflow.steps[step].needs)
    while open_:
        name = open_.pop()
        if name not in found:
            found.add(name)
            open_ += workflow.steps[name].needs
    return found


def revisable(workflow: Workflow, step: str) -> str | None:
    """The step before this one that can be revised, if any."""
    before = ancestors(workflow, step)
    return next((name for name in workflow.steps if name in before and workflow.steps[name].revise), None)
