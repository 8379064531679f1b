"""What a handler is given: one handoff, and the few doors it may use while it works on it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from contracts.artifacts import ArtifactRef
from contracts.base import Payload
from contracts.failures import Code, Failure, HandlerFailure
from contracts.handoffs import ContextItem, EffectGrant, Handoff
from contracts.registry import contract
from contracts.reports import Call, Report
from orchestrator.door import Begun, CarriedBatch, Claim, Unreadable
from workers.settings import WorkerSettings


class Artifacts(Protocol):
    """Bytes by digest. `get` raises HandlerFailure where the bytes are missing or do not match."""

    def get(self, ref: ArtifactRef) -> bytes: ...

    def put(self, content: bytes, media_type: str, name: str) -> ArtifactRef: ...


class Effects(Protocol):
    """The record of effects: an intent before, a result after."""

    def begin(self, grant: EffectGrant, intent: dict[str, Any]) -> Begun:
        """Records the intent. Answers the earlier result where this key was already applied, and whether an earlier
        attempt may have applied it. Raises HandlerFailure where it may not be applied."""
        ...

    def verified(self, grant: EffectGrant, verification: str) -> None:
        """Records what the world shows, where an earlier attempt may have applied it; only then may it be applied."""
        ...

    def finish(self, grant: EffectGrant, result: dict[str, Any]) -> None:
        """Records the result."""
        ...

    def withdraw(self, grant: EffectGrant, why: str) -> None:
        """Takes the intent back, where the world refused and nothing of the effect stands there."""
        ...


class Carrying(Protocol):
    """The batch that the task's job carries to its vendor. Every call raises FencedOut once the attempt was taken
    away."""

    begun: bool
    """Whether it is on its way to the vendor."""

    def begin(self) -> CarriedBatch:
        """Claims the members and writes the intent, before anything is handed in."""
        ...

    def find(self) -> CarriedBatch:
        """The batch as it stands."""
        ...

    def submitted(self, name: str, expires_at: float | None) -> None:
        """The vendor took it, calls it so, and gives it up at that moment, in seconds since 1970."""
        ...

    def hand_in(self, member: Claim | Unreadable, report: Report) -> bool:
        """Reports on one member; False where it was taken away meanwhile."""
        ...

    def end(self, state: str, why: str) -> None:
        """Nothing more comes of it."""
        ...


@dataclass
class Task:
    """One attempt, as its handler sees it."""

    attempt: str
    handoff: Handoff
    artifacts: Artifacts
    effects: Effects
    carrying: Carrying
    settings: WorkerSettings
    stopped: threading.Event
    """Set when the attempt was fenced out or its job cancelled: stop, nobody will hear the answer."""
    call: Call | None = field(default=None)
    """The one vendor request, recorded by whoever makes it, whatever comes of it."""

    def items(self, name: str) -> list[ContextItem]:
        """The context items of one name, in the order of the handoff."""
        return [item for item in self.handoff.context if item.name == name]

    def item(self, name: str) -> ContextItem:
        """The only context item of this name; raises HandlerFailure where there is not exactly one."""
        found = self.items(name)
        if len(found) != 1:
            raise HandlerFailure(
                Failure(
                    code=Code.BROKEN_HANDOFF,
                    sentence=f"the handoff has {len(found)} context items named “{name}”, expected one",
                )
            )
        return found[0]

    def read(self, item: ContextItem) -> bytes:
        """The bytes behind a context item."""
        if item.artifact is None:
            raise HandlerFailure(
                Failure(code=Code.BROKEN_HANDOFF, sentence=f"context item “{item.name}” has no artifact")
            )
        return self.artifacts.get(item.artifact)

    def payload(self, item: ContextItem) -> Payload:
        """The typed payload behind a context item, checked against its contract again on arrival."""
        model = contract(item.contract or "")
        loaded = model.model_validate_json(self.read(item))
        assert isinstance(loaded, Payload)
        return loaded


Handler = Callable[[Task], Payload]
"""Does one operation. Returns the output, or raises HandlerFailure; anything else raised is a defect and is
reported as a deterministic failure."""
