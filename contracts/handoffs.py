"""The handoff: the typed packet of five things that a worker gets, and nothing else."""

from typing import Literal

from pydantic import Field, JsonValue

from contracts.artifacts import ArtifactRef
from contracts.base import Contract
from contracts.failures import Code
from contracts.purposes import Purpose


class Assignment(Contract):
    """Whose work this is; scope is identity."""

    job: str
    subtask: str
    name: str
    """The subtask's name within its job, such as ``draft#2``."""
    step: str
    lane: str
    operation: str
    handler: str
    purpose: Purpose
    tenant: str
    portfolio: str


class ContextItem(Contract):
    """One piece of relevant context: a small value, or an artifact with the summary in front of it."""

    name: str
    """What the subproblem calls it."""
    source: str
    """Where it comes from: a document's name, or the subtask that made it."""
    contract: str | None = None
    """The payload's contract, or None for raw material."""
    value: JsonValue = None
    summary: str = ""
    artifact: ArtifactRef | None = None


class Tried(Contract):
    """One earlier try at this, or a review of it: what came of it and what must be settled now."""

    attempt: str
    code: Code | None = None
    sentence: str
    artifact: ArtifactRef | None = None
    contract: str | None = None
    parameters: dict[str, str] = Field(default_factory=dict)
    """With which lane, model and rung it was tried."""
    kept: str = ""
    """What of it stands, and must not be done again."""


class ModelRoute(Contract):
    """Which model does it, and what it may use."""

    vendor: str
    account: str
    group: str
    model: str
    max_output_tokens: int
    timeout_seconds: float


class EffectGrant(Contract):
    """The right to one effect on one target; only effect lanes get one."""

    key: str
    """Made of job, step and logical target; the same key is never applied twice."""
    target: str
    approved_digest: str | None
    """The digest that a person approved, or None where the target is disposable."""


class Handoff(Contract):
    """Everything a fresh worker needs; no transcript, no history but what was tried."""

    version: Literal[1] = 1
    assignment: Assignment
    subproblem: str
    context: tuple[ContextItem, ...] = ()
    tried: tuple[Tried, ...] = ()
    desired_output: str
    """The contract of the payload that is wanted."""
    success: tuple[str, ...] = Field(min_length=1)
    """When it is done, or the threshold below which it must stop."""
    role: str = ""
    """The lane's standing instructions."""
    route: ModelRoute | None = None
    effect: EffectGrant | None = None
