"""Handing: what a worker gets, composed out of summaries and references when a subtask starts."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.artifacts import ArtifactRef, digest_of
from contracts.base import Contract
from contracts.catalog import Catalog
from contracts.handoffs import Assignment, ContextItem, EffectGrant, Handoff, ModelRoute, Tried
from contracts.lanes import Model
from contracts.purposes import Purpose
from contracts.states import SubtaskState
from contracts.verdicts import Decision
from contracts.workflows import Effect, Step, Workflow
from orchestrator.deciders.joining import needed
from orchestrator.deciders.nodes import Delivered, Node, current, name_of
from orchestrator.deciders.planning import source_of
from orchestrator.deciders.revising import revisable

LONGEST_SUBJECT = 100
"""Characters of what is named by a fact."""


class JobFacts(Contract):
    """What handoffs need to know of their job."""

    id: str
    lineage: str | None = None
    """The first job of a chain of replays, or None where this one is the first."""
    replaces: str | None = None
    """The first job of a chain whose effects were found wrong, and in whose place this one's stand."""
    tenant: str
    portfolio: str
    purpose: Purpose
    inputs: dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """A gate does not let this subtask start."""

    gate: str
    why: str


def compose(
    job: JobFacts,
    catalog: Catalog,
    workflow: Workflow,
    node: Node,
    nodes: list[Node],
    origin: list[Node],
    missing: tuple[Node, ...] = (),
) -> Handoff | Refused:
    """The handoff of a node that may start, or the gate that refuses it. `origin`: the linked job's nodes."""
    step = workflow.steps[node.step]
    lane = catalog.lanes[step.lane or ""]
    refusal = dependent_vendor(step, lane.model.vendor if lane.model else None, nodes, origin)
    if refusal:
        return refusal
    context = tuple(context_of(step.give, job, workflow, node, nodes, origin))
    grant = _grant(job, workflow, node, nodes)
    if isinstance(grant, Refused):
        return grant
    return Handoff(
        assignment=_assignment(job, catalog, workflow, node),
        subproblem=_filled(step.ask, job.inputs) + _missing(missing, workflow),
        context=context,
        tried=tuple(_settled(workflow, node, nodes)),
        desired_output=catalog.operation(step).output,
        success=step.success,
        role=lane.instructions,
        route=route_of(catalog, lane.model) if lane.model else None,
        effect=grant,
    )


def purpose_of(job_purpose: Purpose, step: Step, round_: int) -> Purpose:
    """Why a subtask exists. In a feature job: rework from the second round on, else the step's own purpose where
    it has one. Otherwise the job's."""
    if round_ > 1 and job_purpose is Purpose.FEATURE:
        return Purpose.REWORK
    if step.purpose and job_purpose is Purpose.FEATURE:
        return step.purpose
    return job_purpose


def purpose_of_try(purpose: Purpose, earlier_tries: int) -> Purpose:
    """Why an attempt is made: trying something again is rework, except where all of it is maintenance."""
    again = earlier_tries > 0 and purpose is not Purpose.MAINTENANCE
    return Purpose.REWORK if again else purpose


def _assignment(job: JobFacts, catalog: Catalog, workflow: Workflow, node: Node) -> Assignment:
    step = workflow.steps[node.step]
    mapped = source_of(workflow, node.step) is not None
    return Assignment(
        job=job.id,
        lineage=job.lineage,
        replaces=job.replaces,
        subtask=node.id,
        name=name_of(node.step, node.item, node.round, mapped),
        step=node.step,
        lane=step.lane or "",
        operation=catalog.operation_name(step),
        handler=catalog.operation(step).handler,
        purpose=purpose_of(job.purpose, step, node.round),
        tenant=job.tenant,
        portfolio=job.portfolio,
    )


def route_of(catalog: Catalog, model: Model) -> ModelRoute:
    """The way to a model, before an account was chosen for it."""
    return ModelRoute(
        vendor=model.vendor,
        account=catalog.vendors[model.vendor].accounts[0],
        group=model.group,
        model=model.name,
        max_output_tokens=model.max_output_tokens,
        timeout_seconds=model.timeout_seconds,
    )


def _filled(ask: str, inputs: dict[str, Any]) -> str:
    return re.sub(r"\{inputs\.(\w+)\}", lambda found: str(inputs.get(found[1], "")), ask)


def _missing(missing: tuple[Node, ...], workflow: Workflow) -> str:
    if not missing:
        return ""
    names = [name_of(n.step, n.item, n.round, source_of(workflow, n.step) is not None) for n in missing]
    return f" Missing, and to be named as such: {', '.join(names)}."


def context_of(
    give: dict[str, str],
    job: JobFacts,
    workflow: Workflow,
    node: Node,
    nodes: list[Node],
    origin: list[Node],
) -> Iterator[ContextItem]:
    """What `give` names, as far as it is there."""
    for name, source in give.items():
        if source == "item":
            field = source_of(workflow, node.step)
            yield _input_item(name, job.inputs[field or ""][node.item])
        elif source.startswith("inputs."):
            yield from _input_items(name, job.inputs.get(source.removeprefix("inputs.")))
        elif source.startswith("origin."):
            for other in current(origin, source.removeprefix("origin.")):
                yield from _output_item(name, other)
        else:
            for other in needed(workflow, node.step, node.item, source, nodes):
                yield from _output_item(name, other)


def _input_items(name: str, value: Any) -> Iterator[ContextItem]:
    """Of a list of documents each is an item of its own."""
    if isinstance(value, list) and value and all(isinstance(v, dict) and v.get("artifact") for v in value):
        yield from (_input_item(name, each) for each in value)
    else:
        yield _input_item(name, value)


def _input_item(name: str, value: Any) -> ContextItem:
    if isinstance(value, dict) and value.get("artifact"):
        ref = ArtifactRef.model_validate(value["artifact"])
        return ContextItem(name=name, source=value.get("name") or ref.name, artifact=ref)
    return ContextItem(name=name, source="the job", value=value)


def _output_item(name: str, node: Node) -> Iterator[ContextItem]:
    if node.delivered:
        yield ContextItem(
            name=name,
            source=name_of(node.step, node.item, node.round, mapped=False),
            contract=node.delivered.contract,
            summary=node.delivered.text,
            artifact=node.delivered.output,
        )


def _settled(workflow: Workflow, node: Node, nodes: list[Node]) -> Iterator[Tried]:
    """For a revision: the round before, the objections to it, and everything that people asked for."""
    revise = workflow.steps[node.step].revise
    if revise is None or node.round == 1:
        return
    before = [n for n in nodes if n.round == node.round - 1 and n.delivered]
    for other in before:
        if other.step == node.step and other.item == node.item and other.delivered:
            yield _as_tried(other, f"round {other.round}: {other.delivered.text}")
    for other in before:
        objected = other.delivered and other.delivered.decision is Decision.OBJECT
        if other.step in revise.objections_of and other.delivered and objected:
            yield _as_tried(other, f"{other.step} of round {other.round} {other.delivered.text}")
    for other in nodes:
        asked = workflow.steps[other.step].approval and revisable(workflow, other.step) == node.step
        if asked and other.state is SubtaskState.SKIPPED:
            yield Tried(attempt=other.id, sentence=other.why)


def _as_tried(node: Node, sentence: str) -> Tried:
    assert node.delivered is not None
    return Tried(
        attempt=node.id, sentence=sentence, artifact=node.delivered.output, contract=node.delivered.contract
    )


def dependent_vendor(step: Step, vendor: str | None, nodes: list[Node], origin: list[Node]) -> Refused | None:
    """The gate of independence, held against the vendors that were really used."""
    for name in step.independent_of:
        pool = origin if name.startswith("origin.") else nodes
        for other in current(pool, name.removeprefix("origin.")):
            if vendor is None or other.vendor == vendor:
                return Refused(
                    "independence", f"must be of another vendor than {name}, and both are of {vendor}"
                )
    return None


def targets_read(job: JobFacts, workflow: Workflow) -> dict[str, str]:
    """The steps from which an effect is planned again, each with the target whose state it reads."""
    found = {}
    for step in workflow.steps.values():
        if step.effect and step.trouble and step.trouble.stale:
            found[step.trouble.stale.step] = _target(job, step.effect)
    return found


def _first(job: JobFacts) -> str:
    """So that a replay finds what was done before, and does it no second time."""
    return job.lineage or job.id


def _target(job: JobFacts, effect: Effect) -> str:
    return effect.target.format(tenant=job.tenant, portfolio=job.portfolio, job=_first(job))


def effect_key(job: JobFacts, step: str, effect: Effect) -> str:
    """The name under which an effect is applied once, by a job or by any that replays it."""
    return digest_of(f"{_first(job)}\n{step}\n{_target(job, effect)}".encode())


def effect_keys(job: JobFacts, effects: Mapping[str, Effect]) -> dict[str, str]:
    """The steps of these effects by the names that they have so."""
    return {effect_key(job, step, effect): step for step, effect in effects.items()}


def _grant(job: JobFacts, workflow: Workflow, node: Node, nodes: list[Node]) -> EffectGrant | Refused | None:
    """The grant of an effect, held against the digest that was approved."""
    effect = workflow.steps[node.step].effect
    if effect is None:
        return None
    granted = EffectGrant(
        key=effect_key(job, node.step, effect),
        target=_target(job, effect),
        approved_digest=None,
        version=_version(workflow, node, nodes),
        replay_class=effect.replay_class,
    )
    if effect.approved_by is None:
        return granted
    approval = current(nodes, effect.approved_by)[0]
    approved = approval.delivered.output.digest if approval.delivered else None
    of = workflow.steps[effect.approved_by].approval
    assert of is not None
    delivered = [n.delivered for n in current(nodes, of.of) if n.delivered]
    handed = [each.output.digest for each in delivered]
    if approved is None or handed != [approved]:
        return Refused("approval", f"approved was {approved}, and what would be applied is {handed}")
    subject = _subject(effect, delivered[0])
    if isinstance(subject, Refused):
        return subject
    return granted.model_copy(update={"approved_digest": approved, "subject": subject})


def _subject(effect: Effect, approved: Delivered) -> str | Refused:
    """The part of the target that changes, by the facts of what was approved."""
    try:
        subject = effect.subject.format(**approved.facts)
    except KeyError as missing:
        return Refused("effect", f"it changes {effect.subject}, and what was approved has no fact {missing}")
    if len(subject) > LONGEST_SUBJECT:
        return Refused(
            "effect", f"the name of what it changes has {len(subject)} characters of {LONGEST_SUBJECT}"
        )
    return subject


def _version(workflow: Workflow, node: Node, nodes: list[Node]) -> int | None:
    """On which version of the target the work was built: the one that the step was handed which read it."""
    on = workflow.steps[node.step].trouble
    if on is None or on.stale is None:
        return None
    read = [each.built_on for each in current(nodes, on.stale.step)]
    known = [version for version in read if version is not None]
    return min(known) if len(known) == len(read) else None
