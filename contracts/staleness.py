"""What effects say of their subject and of the step from which they are planned again; its problems, a sentence
each."""

from collections.abc import Iterator

from contracts.workflows import Workflow


def staleness_problems(workflow: Workflow) -> Iterator[str]:
    """The step must lie before the effect, and may read the state of one target only: one version is noted of it."""
    targets: dict[str, tuple[str, str]] = {}
    for name, step in workflow.steps.items():
        where = f"workflow {workflow.workflow}, step {name}"
        if step.effect and step.effect.subject and step.effect.approved_by is None:
            yield f"{where} names its subject by what was approved, and nothing is approved for it"
        again = step.trouble.stale.step if step.trouble and step.trouble.stale else None
        if again is None:
            continue
        if step.effect is None:
            yield f"{where} is planned again where the state has changed (stale), and it has no effect"
            continue
        if again not in _before(workflow, name):
            yield f"{where} is planned again from {again}, which is no step before it"
            continue
        other, target = targets.setdefault(again, (name, step.effect.target))
        if target != step.effect.target:
            yield f"{where} and step {other} change different targets and are both planned again from {again}"


def _before(workflow: Workflow, step: str) -> set[str]:
    found: set[str] = set()
    open_ = list(workflow.steps[step].needs)
    while open_:
        name = open_.pop()
        if name not in found and name in workflow.steps:
            found.add(name)
            open_ += workflow.steps[name].needs
    return found
