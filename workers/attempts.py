"""The life of an attempt: claimed, worked, reported. What comes of it is a value until it is reported."""

import errno
import importlib.metadata
import logging
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from ulid import ULID

from contracts.artifacts import ArtifactRef
from contracts.base import Payload
from contracts.failures import Code, Failure, HandlerFailure
from contracts.handoffs import EffectGrant, incomplete
from contracts.registry import HANDLERS_GROUP, UnknownName, contract, handler_names
from contracts.reports import Completed, Failed, Report, Summary
from contracts.verdicts import Verdict
from orchestrator.door import (
    ArtifactMissing,
    Begun,
    CarriedBatch,
    Claim,
    Door,
    EffectRefused,
    FencedOut,
    Refusal,
    StoreUnreachable,
    Unreadable,
    patience,
)
from workers.fitness import Fitness
from workers.heartbeat import Heartbeat
from workers.leaving import Leaving
from workers.settings import WorkerSettings
from workers.task import Handler, Task

Asked = TypeVar("Asked")

log = logging.getLogger(__name__)

_USED_UP = {errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT}
"""Memory, file handles of the process and of the machine, room, a quota."""


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
    leaving: Leaving = field(default_factory=lambda: Leaving(0.0))
    """Told when the process is to end; by default nobody tells it."""
    fitness: Fitness = field(default_factory=Fitness)

    def run(self, attempt_id: str) -> str:
        """Works one attempt off and says what came of it; raises AttemptFailed after a reported failure."""
        if self.leaving.begun:
            return "not run: its worker is leaving"
        if self.fitness.lost:
            return "not run: its worker lacks what any work needs"
        claim = patience.claim(self.door, attempt_id, self.worker, str(ULID()), self.sleep)
        if isinstance(claim, Refusal):
            return f"not run: {claim.why}"
        with self.heartbeat.hold(claim) as stopped:
            task = self._task(claim, stopped)
            with self.leaving.holding(lambda: self._give_back(claim, task)):
                report = self._worked(task)
            self.fitness.ended(report)
            accepted = patience.hand_in(self.door, claim, report, self.worker, self.sleep)
        if not accepted:
            return "reported too late: the attempt had been taken away"
        if isinstance(report.outcome, Failed):
            if report.outcome.failure.code is Code.UNFINISHED:
                return report.outcome.failure.sentence
            raise AttemptFailed(f"{report.outcome.failure.code}: {report.outcome.failure.sentence}"[:300])
        return report.outcome.summary.text

    def _give_back(self, claim: Claim, task: Task) -> None:
        """Reports at once that the attempt was interrupted, with its call as far as it got, so that nobody has to
        wait for its lease. An effect is left to its lease: what it is doing now must not be done beside it. So is
        a batch on its way to its vendor, which is only told to stop: taken away now nobody would know its end."""
        if claim.handoff.effect is not None:
            return
        task.stopped.set()
        if task.carrying.begun:
            return
        failure = Failure(code=Code.INTERRUPTED, sentence="its worker was told to stop and gave it back")
        self.door.report(
            claim, Report(outcome=Failed(failure=failure), call=task.call, worker_seconds=0.0), self.worker
        )

    def _task(self, claim: Claim, stopped: Any) -> Task:
        return Task(
            attempt=claim.attempt,
            handoff=claim.handoff,
            artifacts=_CheckedArtifacts(self.door, claim.attempt, stopped, self.sleep),
            effects=_ClaimedEffects(self.door, claim, self.sleep),
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
        if broken := incomplete(task.handoff):
            raise HandlerFailure(Failure(code=Code.BROKEN_HANDOFF, sentence=broken))
        wanted = contract(task.handoff.desired_output)
        payload = work(task)
        if not isinstance(payload, wanted):
            raise TypeError(f"the handler made a {type(payload).__name__}, wanted is {wanted.__name__}")
        return Completed(summary=summarise(task, payload))
    except Exception as error:
        return Failed(failure=failure_of(task, error))


def failure_of(task: Task, error: Exception) -> Failure:
    """What the work on a task raised, as a typed failure."""
    match error:
        case HandlerFailure(failure=failure):
            return failure
        case FencedOut():  # also what a switch killed whose claim stands for a moment more
            return Failure(code=Code.INTERRUPTED, sentence=str(error)[:2000])
        case UnknownName():
            sentence = f"this worker's code does not know what it was handed: {error}"
            return Failure(code=Code.UNKNOWN_CONTRACT, sentence=sentence[:2000])
    log.error("attempt %s: its handler raised", task.attempt, exc_info=error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    evidence = {"at": f"{place.name}:{place.lineno}"}
    if missing := next((each for each in _and_causes(error) if _is_missing(each)), None):
        sentence = f"its worker lacked what it needs: {type(missing).__name__}: {missing}"
        return Failure(code=Code.UNFIT_WORKER, sentence=sentence[:2000], evidence=evidence)
    sentence = f"the handler raised {type(error).__name__}: {error}"
    return Failure(code=Code.HANDLER_ERROR, sentence=sentence[:2000], evidence=evidence)


def _and_causes(error: BaseException) -> list[BaseException]:
    """It and what it was raised from."""
    found = [error]
    while (cause := found[-1].__cause__) is not None and cause not in found:
        found.append(cause)
    return found


def _is_missing(error: BaseException) -> bool:
    """Whether a process lacked something that has nothing to do with the work. Vendors' libraries are loaded when
    they are first needed: one that cannot be is broken where this process runs, or there was no memory for it."""
    return isinstance(error, MemoryError | ImportError) or (
        isinstance(error, OSError) and error.errno in _USED_UP
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
    """The door's artifacts, though their store be away for a while; a missing one, one that is not what was
    announced, and a store that stays away are failures with a type."""

    door: Door
    attempt: str
    stopped: threading.Event
    sleep: Callable[[float], None]

    def get(self, ref: ArtifactRef) -> bytes:
        try:
            content = self._asked(lambda: self.door.get(ref))
        except ArtifactMissing as missing:
            raise HandlerFailure(Failure(code=Code.BROKEN_HANDOFF, sentence=str(missing))) from None
        if len(content) != ref.size_bytes:
            sentence = f"{ref.digest} has {len(content)} bytes, and {ref.size_bytes} were announced"
            raise HandlerFailure(Failure(code=Code.BROKEN_HANDOFF, sentence=sentence))
        return content

    def put(self, content: bytes, media_type: str, name: str) -> ArtifactRef:
        return self._asked(lambda: self.door.put(content, media_type, name))

    def _asked(self, ask: Callable[[], Asked]) -> Asked:
        try:
            return patience.keep_or_fetch(self.attempt, ask, self.stopped.is_set, self.sleep)
        except StoreUnreachable as away:
            failure = Failure(code=Code.STORE_UNREACHABLE, sentence=str(away)[:2000])
            raise HandlerFailure(failure) from away


@dataclass
class _ClaimedEffects:
    """The door's effects, under this attempt's claim, however long the ledger is away."""

    door: Door
    claim: Claim
    sleep: Callable[[float], None]

    def begin(self, grant: EffectGrant, intent: dict[str, Any]) -> Begun:
        try:
            return self._insist(lambda: self.door.begin_effect(self.claim, grant, intent))
        except EffectRefused as refused:
            raise HandlerFailure(Failure(code=refused.code, sentence=str(refused))) from None

    def verified(self, grant: EffectGrant, verification: str) -> None:
        self._insist(lambda: self.door.effect_verified(self.claim, grant, verification))

    def finish(self, grant: EffectGrant, result: dict[str, Any]) -> None:
        self._insist(lambda: self.door.finish_effect(self.claim, grant, result))

    def withdraw(self, grant: EffectGrant, why: str) -> None:
        self._insist(lambda: self.door.withdraw_effect(self.claim, grant, why))

    def _insist(self, ask: Callable[[], Asked]) -> Asked:
        return patience.insist(self.claim.attempt, ask, self.sleep)


@dataclass
class _ClaimedBatch:
    """The door's batch of the claim's job, under this attempt's claim, however long the ledger is away."""

    door: Door
    claim: Claim
    worker: str
    sleep: Callable[[float], None]
    begun: bool = False

    def begin(self) -> CarriedBatch:
        self.begun = True
        return self._insist(lambda: self.door.begin_batch(self.claim, self.worker))

    def find(self) -> CarriedBatch:
        return self._insist(lambda: self.door.find_batch(self.claim))

    def submitted(self, name: str, expires_at: float | None) -> None:
        self._insist(lambda: self.door.batch_submitted(self.claim, self.worker, name, expires_at))

    def hand_in(self, member: Claim | Unreadable, report: Report) -> bool:
        return patience.hand_in(self.door, member, report, self.worker, self.sleep)

    def end(self, state: str, why: str) -> None:
        self._insist(lambda: self.door.end_batch(self.claim, state, why))

    def _insist(self, ask: Callable[[], Asked]) -> Asked:
        return patience.insist(self.claim.attempt, ask, self.sleep)
