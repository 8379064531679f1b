"""The handoff: the typed packet of five things that a worker gets, and nothing else."""

import json
from typing import Any, Literal

from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, model_serializer

from contracts.artifacts import ArtifactRef, Digest, digest_of
from contracts.base import Contract
from contracts.failures import CATEGORY_OF, Category, Code
from contracts.purposes import Purpose
from contracts.workflows import ReplayClass

EARLIER_CHARACTERS = 4000
"""So much of an earlier answer that failed is shown; the fault itself is told in a sentence."""

NOT_ITS_DOING = (Category.TRANSIENT, Category.CRASH, Category.PREREQUISITE)
"""Failures that no answer can settle: the model is not told of them."""


class Assignment(Contract):
    """Whose work this is; scope is identity."""

    job: str
    lineage: str | None = None
    """The first job of a chain of replays, whose effects this one may complete; None where it is the first."""
    replaces: str | None = None
    """The first job of a chain whose effects were found wrong: this job's stand in their place, not beside them."""
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

    @property
    def first_job(self) -> str:
        """By whose id the world knows what this job's chain of replays did to it."""
        return self.lineage or self.job


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

    @property
    def is_told(self) -> bool:
        """Whether a model is told of it."""
        return self.code is None or bool(self.kept) or CATEGORY_OF[self.code] not in NOT_ITS_DOING

    @property
    def is_shown_whole(self) -> bool:
        """Whether all of its artifact is shown, which is so of a payload; of any other answer its first
        EARLIER_CHARACTERS are."""
        return self.contract is not None


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
    subject: str = ""
    """What of the target it changes; empty where that is all of it."""
    version: int | None = None
    """The target's version on which the work was built: it is refused where the subject has changed since. None
    where the step does not say from where it would be planned again."""
    replay_class: ReplayClass = ReplayClass.IDEMPOTENT

    @property
    def changes(self) -> str:
        """The name of what it changes."""
        return f"{self.target}/{self.subject}" if self.subject else self.target


class Manifest(Contract):
    """What belongs to a handoff, so that whoever gets it can tell that it is whole."""

    artifacts: int
    size_bytes: int
    digest: Digest
    """Over context and tries, and with them over every artifact's digest and size."""


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
    manifest: Manifest | None = None
    """As it was when the handoff was written down; None in one that older code wrote."""

    @model_serializer(mode="wrap")
    def _with_its_manifest(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Whoever writes a handoff down writes its manifest with it."""
        dumped: dict[str, Any] = dump(self)
        return dumped | {"manifest": manifest_of(self).model_dump(mode="json")}


def manifest_of(handoff: Handoff) -> Manifest:
    """The manifest of the handoff as it is in hand."""
    carried: tuple[ContextItem | Tried, ...] = (*handoff.context, *handoff.tried)
    sizes = [each.artifact.size_bytes for each in carried if each.artifact]
    # Without defaults, so that a field of newer code changes nothing where it says nothing.
    told = json.dumps(
        [each.model_dump(mode="json", exclude_defaults=True) for each in carried], sort_keys=True
    )
    return Manifest(artifacts=len(sizes), size_bytes=sum(sizes), digest=digest_of(told.encode()))


def incomplete(handoff: Handoff) -> str | None:
    """What is wrong with a handoff on its arrival, in a sentence; None where it is as it was written down."""
    written, found = handoff.manifest, manifest_of(handoff)
    if written is None or written == found:
        return None
    if (written.artifacts, written.size_bytes) == (found.artifacts, found.size_bytes):
        return f"the handoff's manifest is {found.digest}, and {written.digest} was written down"
    return (
        f"the handoff came with {found.artifacts} artifacts of {found.size_bytes} bytes, "
        f"and its manifest names {written.artifacts} of {written.size_bytes} bytes"
    )
