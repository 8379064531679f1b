"""Joins as declared: a quorum that can be met, and a substitute that can take its principal's place."""

from collections.abc import Callable, Iterator, Mapping

from contracts.workflows import Quorum, Step, Workflow

Output = Callable[[Step], str | None]
"""The contract of what a step makes, as far as its lane is known."""


def join_problems(workflow: Workflow, output: Output, longest: Mapping[str, int]) -> Iterator[str]:
    """Everything wrong with the joins of a workflow, a sentence each. `longest` says how many items a list of the
    inputs may have, where it says so."""
    for name, step in workflow.steps.items():
        where = f"workflow {workflow.workflow}, step {name}"
        yield from _quorum_problems(where, workflow, name, step, longest)
        yield from _standby_problems(where, workflow, name, step)
        substitute = workflow.substitute_of(name)
        if substitute is not None:
            yield from _substitute_problems(where, workflow, name, substitute, output)


def edges(workflow: Workflow) -> dict[str, set[str]]:
    """Whom each step waits for: what it needs, and whatever may take the place of that."""
    waits = {name: set(step.needs) for name, step in workflow.steps.items()}
    for name, step in workflow.steps.items():
        for other in step.needs:
            substitute = workflow.substitute_of(other) if other in workflow.steps else None
            if substitute in workflow.steps:
                waits[name].add(substitute)
        substitute = workflow.substitute_of(name)
        if substitute in workflow.steps:
            waits[substitute].add(name)
    return waits


def _quorum_problems(
    where: str, workflow: Workflow, name: str, step: Step, longest: Mapping[str, int]
) -> Iterator[str]:
    for other, need in step.needs.items():
        if not isinstance(need, Quorum) or other not in workflow.steps:
            continue
        most = _instances(workflow, name, other, longest)
        if most is not None and need.quorum > most:
            yield f"{where} needs {need.quorum} of {other}, of which there is at most {most}"


def _instances(workflow: Workflow, step: str, other: str, longest: Mapping[str, int]) -> int | None:
    """How many instances of `other` a step sees at most; None where nobody can say."""
    source = _source(workflow, other)
    if source is None or source == _source(workflow, step):
        return 1
    return longest.get(source.removeprefix("inputs."))


def _source(workflow: Workflow, step: str) -> str | None:
    """What a step is mapped over in the end; None where it is not mapped, or where that cannot be followed."""
    over, seen = workflow.steps[step].for_each, {step}
    while over is not None and not over.startswith("inputs."):
        if over in seen or over not in workflow.steps:
            return None
        seen.add(over)
        over = workflow.steps[over].for_each
    return over


def _standby_problems(where: str, workflow: Workflow, name: str, step: Step) -> Iterator[str]:
    if not step.standby:
        return
    if workflow.principal_of(name) is None:
        yield f"{where} stands by, and no step names it as its substitute (trouble: fail: substitute)"
    needed_by = [other for other, needing in workflow.steps.items() if name in needing.needs]
    if needed_by:
        yield f"{where} stands by, so {', '.join(needed_by)} must need the step whose place it takes, not itself"
    if name == workflow.result:
        yield f"{where} stands by and cannot be the result"


def _substitute_problems(
    where: str, workflow: Workflow, name: str, substitute: str, output: Output
) -> Iterator[str]:
    step = workflow.steps[name]
    if substitute not in workflow.steps:
        known = ", ".join(sorted(workflow.steps))
        yield f"{where} names the unknown step “{substitute}” as its substitute (known: {known})"
        return
    stand_in = workflow.steps[substitute]
    if not stand_in.standby:
        yield f"{where} has the substitute {substitute}, which does not stand by (standby: true)"
    if workflow.principal_of(substitute) != name:
        yield f"{where} has the substitute {substitute}, which stands by for another step already"
    if _source(workflow, substitute) != _source(workflow, name):
        yield f"{where} has the substitute {substitute}, which is not mapped over the same items"
    mine, theirs = output(step), output(stand_in)
    if mine and theirs and mine != theirs:
        yield f"{where} delivers {mine}, and its substitute {substitute} delivers {theirs}"
    if name == workflow.result or step.standby:
        yield f"{where} is the result or stands by itself, and cannot be substituted"
    for one, judged in ((name, step), (substitute, stand_in)):
        if judged.revise or judged.sealed_with or judged.effect or judged.approval:
            yield f"{where} and its substitute are plain work, but {one} is revised, sealed, approved or an effect"
    for other, judge in workflow.steps.items():
        if name in judge.independent_of and substitute not in judge.independent_of:
            yield f"{where} may be replaced by {substitute}, of which {other} must be independent too"
