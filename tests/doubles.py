"""Twins of the doors in workers.task, kept in memory, and the task that a handler test needs."""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.artifacts import ArtifactRef, digest_of
from contracts.base import Payload
from contracts.failures import Code, Failure, HandlerFailure
from contracts.handoffs import Assignment, ContextItem, EffectGrant, Handoff
from contracts.purposes import Purpose
from contracts.reports import Report
from orchestrator.door import Begun, CarriedBatch, Claim, Unreadable
from workers.settings import WorkerSettings
from workers.task import Task


@dataclass
class MemoryArtifacts:
    """Bytes by digest."""

    kept: dict[str, bytes] = field(default_factory=dict)

    def get(self, ref: ArtifactRef) -> bytes:
        content = self.kept.get(ref.digest)
        if content is None or digest_of(content) != ref.digest:
            raise HandlerFailure(Failure(code=Code.BROKEN_HANDOFF, sentence=f"{ref.digest} is missing"))
        return content

    def put(self, content: bytes, media_type: str, name: str) -> ArtifactRef:
        ref = ArtifactRef(
            digest=digest_of(content), size_bytes=len(content), media_type=media_type, name=name
        )
        self.kept[ref.digest] = content
        return ref


@dataclass
class MemoryEffects:
    """Intents and results by effect key; a result, once there, stays. An intent of before is one whose end nobody
    knows."""

    intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    verifications: dict[str, str] = field(default_factory=dict)

    def begin(self, grant: EffectGrant, intent: dict[str, Any]) -> Begun:
        known = grant.key in self.intents
        self.intents.setdefault(grant.key, intent)
        result = self.results.get(grant.key)
        return Begun(result, ambiguous=known and result is None)

    def verified(self, grant: EffectGrant, verification: str) -> None:
        self.verifications[grant.key] = verification

    def finish(self, grant: EffectGrant, result: dict[str, Any]) -> None:
        self.results.setdefault(grant.key, result)

    def withdraw(self, grant: EffectGrant, why: str) -> None:
        if grant.key not in self.results:
            self.intents.pop(grant.key, None)


class NoBatch:
    """Of a task that carries none."""

    begun = False

    def begin(self) -> CarriedBatch:
        raise AssertionError("this task carries no batch")

    def find(self) -> CarriedBatch:
        raise AssertionError("this task carries no batch")

    def submitted(self, name: str, expires_at: float | None) -> None:
        raise AssertionError("this task carries no batch")

    def hand_in(self, member: Claim | Unreadable, report: Report) -> bool:
        raise AssertionError("this task carries no batch")

    def end(self, state: str, why: str) -> None:
        raise AssertionError("this task carries no batch")


@dataclass
class Bench:
    """A job's surroundings: hand things in, and get the task that a handler would."""

    state_dir: Path
    job: str = "job-1"
    lineage: str | None = None
    replaces: str | None = None
    portfolio: str = "energy"
    artifacts: MemoryArtifacts = field(default_factory=MemoryArtifacts)
    effects: MemoryEffects = field(default_factory=MemoryEffects)

    def material(self, name: str, content: bytes, source: str) -> ContextItem:
        """Raw material, such as a document."""
        ref = self.artifacts.put(content, "text/plain", source)
        return ContextItem(name=name, source=source, artifact=ref)

    def made(self, name: str, payload: Payload) -> ContextItem:
        """What an earlier step delivered."""
        ref = self.artifacts.put(payload.model_dump_json().encode(), "application/json", payload.contract)
        return ContextItem(name=name, source=name, contract=payload.contract, artifact=ref)

    def task(self, *context: ContextItem, effect: EffectGrant | None = None) -> Task:
        """One attempt with this context and this grant."""
        assignment = Assignment(
            job=self.job,
            lineage=self.lineage,
            replaces=self.replaces,
            subtask="subtask-1",
            name="step",
            step="step",
            lane="lane",
            operation="operation",
            handler="handler",
            purpose=Purpose.FEATURE,
            tenant="acme",
            portfolio=self.portfolio,
        )
        handoff = Handoff(
            assignment=assignment,
            subproblem="do it",
            context=context,
            desired_output="any",
            success=("it is done",),
            effect=effect,
        )
        # Settings take the environment's names only.
        environment: dict[str, Any] = {"FLEET_STATE_DIR": self.state_dir}
        settings = WorkerSettings(**environment)
        return Task(
            "attempt-1", handoff, self.artifacts, self.effects, NoBatch(), settings, threading.Event()
        )
