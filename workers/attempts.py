"""The life of an attempt: claimed, worked, reported. What comes of it is a value until it is reported."""

import importlib.metadata
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from ulid import ULID

from contracts.artifacts import ArtifactRef
from contracts.base import Payload
from contracts.failures import Code, Failure, HandlerFailure
from contracts.handoffs import EffectGrant
from contracts.registry import HANDLERS_GROUP, UnknownName, contract, handler_names
from contracts.reports import Completed, Failed, Report, Summary
from contracts.verdicts import Verdict
from orchestrator.door import ArtifactMissing, CarriedBatch, Claim, Door, Refusal, patience
from workers.heartbeat import Heartbeat
from workers.settings import WorkerSettings
from workers.task import Handler, Task

log = logging.getLogger(__name__)


class AttemptFailed(Exception):
    """Raised after the report of a failed attempt is committed, so that Flower shows it failed."""


@dataclass
class Attempts:
    """One process's way of working attempts off."""

    door: Door
    heartbeat: Heartbeat
    settings: WorkerSettings
    worker: str
    sleep: Callable[[float], None] = time.sleep

    def run(self, attempt_id: str) -> str:
        """Works one attempt off and says what came of it; raises AttemptFailed after a reported failure."""
        claim = patience.claim(self.door, attempt_id, self.worker, str(ULID()), self.sleep)
        if isinstance(claim, Refusal):
            return f"not run: {claim.why}"
        with self.heartbeat.hold(claim) as stopped:
            task = self._task(claim, stopped)
            report = self._worked(task)
            accepted = patience.hand_in(self.door, claim, report, self.worker, self.sleep)
        if not accepted:
            return "reported too late: the attempt had been taken away"
        if isinstance(report.outcome, Failed):
            if report.outcome.failure.code is Code.UNFINISHED:
                return report.outcome.failure.sentence
            raise AttemptFailed(f"{report.outcome.failure.code}: {report.outcome.failure.sentence}"[:300])
        return report.outcome.summary.text

    def _task(self, claim: Claim, stopped: Any) -> Task:
        return Task(
            attempt=claim.attempt,
            handoff=claim.handoff,
            artifacts=_CheckedArtifacts(self.door),
            effects=_ClaimedEffects(self.door, claim),
            carrying=_ClaimedBatch(self.door, claim, self.worker, self.sleep),
            settings=self.settings,
            stopped=stopped,
        )

    def _worked(self, task: Task, monotonic: Callable[[], float] = time.monotonic) -> Report:
        began = monotonic()
        outcome = outcome_of(task, lambda task: handler(task.handoff.assignment.handler)(task))
        return Report(outcome=outcome, call=task.call, worker_seconds=monotonic() - began)


def outcome_of(task: Task, work: Handler) -> Completed | Failed:
    """Does the work. Whatever it raises becomes a typed failure."""
    try:
        payload = work(task)
        wanted = contract(task.handoff.desired_output)
        if not isinstance(payload, wanted):
            raise TypeError(f"the handler made a {type(payload).__name__}, wanted is {wanted.__name__}")
        return Completed(summary=summarise(task, payload))
    except HandlerFailure as failed:
        return Failed(failure=failed.failure)
    except Exception as error:
        log.exception("attempt %s: its handler raised", task.attempt)
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Failed(
            failure=Failure(
                code=Code.HANDLER_ERROR,
                sentence=f"the handler raised {type(error).__name__}: {error}"[:2000],
                evidence={"at": f"{place.name}:{place.lineno}"},
            )
        )


def summarise(task: Task, payload: Payload) -> Summary:
    """The payload becomes an artifact, and its summary is what crosses the seam."""
    body = payload.model_dump_json(indent=1).encode()
    ref = task.artifacts.put(body, "application/json", payload.contract)
    return Summary(
        contract=payload.contract,
        text=payload.headline()[:2000],
        output=ref,
        confidence=payload.stated_confidence(),
        open_questions=payload.stated_questions()[:20],
        decision=payload.decision if isinstance(payload, Verdict) else None,
        facts=payload.facts(),
    )


@cache
def handler(name: str) -> Handler:
    """The code behind a handler's name; raises UnknownName."""
    for point in importlib.metadata.entry_points(group=HANDLERS_GROUP, name=name):
        loaded: Handler = point.load()
        return loaded
    raise UnknownName("handler", name, list(handler_names()))


@dataclass
class _CheckedArtifacts:
    """The door's artifacts, with a missing one typed as a failure."""

    door: Door

    def get(self, ref: ArtifactRef) -> bytes:
        try:
            return self.door.get(ref)
        except ArtifactMissing as missing:
            raise HandlerFailure(Failure(code=Code.BROKEN_HANDOFF, sentence=str(missing))) from None

    def put(self, content: bytes, media_type: str, name: str) -> ArtifactRef:
        return self.door.put(content, media_type, name)


@dataclass
class _ClaimedEffects:
    """The door's effects, under this attempt's claim."""

    door: Door
    claim: Claim

    def begin(self, grant: EffectGrant, intent: dict[str, Any]) -> dict[str, Any] | None:
        return self.door.begin_effect(self.claim, grant, intent)

    def finish(self, grant: EffectGrant, result: dict[str, Any]) -> None:
        self.door.finish_effect(self.claim, grant, result)


@dataclass
class _ClaimedBatch:
    """The door's batch of the claim's job, under this attempt's claim."""

    door: Door
    claim: Claim
    worker: str
    sleep: Callable[[float], None]

    def begin(self) -> CarriedBatch:
        return self.door.begin_batch(self.claim, self.worker)

    def find(self) -> CarriedBatch:
        return self.door.find_batch(self.claim)

    def submitted(self, name: str, expires_at: float | None) -> None:
        self.door.batch_submitted(self.claim, self.worker, name, expires_at)

    def hand_in(self, member: Claim, report: Report) -> bool:
        return patience.hand_in(self.door, member, report, self.worker, self.sleep)

    def end(self, state: str, why: str) -> None:
        self.door.end_batch(self.claim, state, why)
