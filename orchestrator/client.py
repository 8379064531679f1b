"""A small client of the HTTP API, for upstream services and for the command line."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ValidationError

from contracts.artifacts import ArtifactRef
from orchestrator.problems import KEY, LONGEST_KEY, SHAPES
from orchestrator.reads.approvals import ApprovalLine, ApprovalRead
from orchestrator.reads.base import Read
from orchestrator.reads.blockers import BlockerRead
from orchestrator.reads.budgets import BudgetRead
from orchestrator.reads.caps import CapRead
from orchestrator.reads.changes import ChangeRead
from orchestrator.reads.dead_letters import DeadLetterGroup, DeadLetterLine
from orchestrator.reads.diagnosis import DiagnosisRead
from orchestrator.reads.effects import SettledRead
from orchestrator.reads.escalations import EscalationRead
from orchestrator.reads.events import EventRead
from orchestrator.reads.explain import Explanation
from orchestrator.reads.jobs import JobLine
from orchestrator.reads.lanes import LaneRead
from orchestrator.reads.outcomes import JobRead
from orchestrator.reads.paging import DEFAULT_LIMIT, Page
from orchestrator.reads.pauses import PausesRead, Released
from orchestrator.reads.post_mortems import DeadLetterRead
from orchestrator.reads.previews import ReplayPreview
from orchestrator.reads.replays import ItemRead, ReplayLine, ReplayRead
from orchestrator.reads.shares import SharesRead
from orchestrator.reads.taint import TaintedRead
from orchestrator.reads.tax import TaxRead
from orchestrator.reads.workflows import WorkflowRead

Model = TypeVar("Model", bound=BaseModel)

TIMEOUT_SECONDS = 30.0
SILENCE_SECONDS = 60.0
"""A stream that says nothing for so long, not even a ping, is broken off and resumed."""
RECONNECT_SECONDS = 0.5
RECONNECTS = 80
"""Tries in a row that brought nothing, after which watching is given up: a slow machine takes half a minute to
start an API again."""


class FleetError(Exception):
    """What went wrong, in one sentence; `status` is None where no fleet answered."""

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


class Submitted(Read):
    """A job that was handed over."""

    id: str
    state: str
    created: bool
    """False where the same key and body had made the job before."""
    links: dict[str, str]


class FleetClient:
    """Speaks to one fleet. Every method raises FleetError and nothing else."""

    def __init__(
        self, base_url: str, api_key: str | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._sleep = sleep
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise FleetError("FLEET_API_KEY has characters that no header can carry: printable ASCII only")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        try:
            self._http = httpx2.Client(base_url=self._base_url, headers=headers, timeout=TIMEOUT_SECONDS)
        except httpx2.InvalidURL as error:
            raise FleetError(f"{base_url} is no address of a fleet: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def submit(self, job: Mapping[str, Any], key: str | None = None) -> Submitted:
        """Hands over a job, as the body of ``POST /v1/jobs``. With a key it is safe to repeat."""
        check_key(key)
        headers = {"Idempotency-Key": key} if key is not None else {}
        return self._ask(Submitted, "POST", "/v1/jobs", json=dict(job), headers=headers)

    def job(self, job_id: str) -> JobRead:
        return self._ask(JobRead, "GET", f"/v1/jobs/{job_id}")

    def jobs(
        self,
        state: str | None = None,
        workflow: str | None = None,
        tenant: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[JobLine]:
        """Jobs, newest first."""
        wanted = {"state": state, "workflow": workflow, "tenant": tenant, "limit": limit, "cursor": cursor}
        return self._ask(Page[JobLine], "GET", "/v1/jobs", params=_given(wanted))

    def watch(self, job_id: str, after: int = 0) -> Iterator[EventRead]:
        """The job's events as they happen, each once, until the job has ended. A stream that breaks off is
        resumed behind the last event, also over a restart of the fleet."""
        seen, silent = after, 0
        while True:
            try:
                for source in self._stream(job_id, seen):
                    if source.event == "end":
                        return
                    event = EventRead.model_validate_json(source.data)
                    seen, silent = event.seq, 0
                    yield event
            except FleetError as error:
                if error.status not in (None, httpx2.codes.SERVICE_UNAVAILABLE) or silent >= RECONNECTS:
                    raise
            if silent >= RECONNECTS:
                raise FleetError(f"the events of job {job_id} broke off {RECONNECTS} times in a row")
            silent += 1
            self._sleep(RECONNECT_SECONDS)

    def wait(self, job_id: str) -> JobRead:
        """The job once it has ended."""
        for _ in self.watch(job_id):
            pass
        return self.job(job_id)

    def explain(self, given: str) -> Explanation:
        """Why a job or a subtask exists, what happened, what it waits for and what it took."""
        try:
            return self._ask(Explanation, "GET", f"/v1/jobs/{given}/explain")
        except FleetError as error:
            if error.status != httpx2.codes.NOT_FOUND:
                raise
        return self._ask(Explanation, "GET", f"/v1/subtasks/{given}/explain")

    def cancel(self, job_id: str, by: str) -> JobRead:
        return self._ask(JobRead, "POST", f"/v1/jobs/{job_id}/cancel", json={"by": by})

    def approvals(
        self, state: str = "waiting", limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[ApprovalLine]:
        """Approvals, the oldest first; ``all`` for those that were answered too."""
        wanted = _given({"state": state, "limit": limit, "cursor": cursor})
        return self._ask(Page[ApprovalLine], "GET", "/v1/approvals", params=wanted)

    def approval(self, approval_id: str) -> ApprovalRead:
        return self._ask(ApprovalRead, "GET", f"/v1/approvals/{approval_id}")

    def answer(
        self, approval_id: str, decision: str, by: str, comment: str = "", digest: str | None = None
    ) -> ApprovalRead:
        """Answers with ``approve``, ``reject`` or ``revise``; `digest` says what the person saw."""
        body = {"decision": decision, "by": by, "comment": comment, "digest": digest}
        return self._ask(ApprovalRead, "POST", f"/v1/approvals/{approval_id}/answer", json=body)

    def dead_letters(
        self, limit: int = DEFAULT_LIMIT, cursor: str | None = None, **wanted: str | None
    ) -> Page[DeadLetterLine]:
        """Dead letters, the latest first; narrowed by lane, category, code, tenant, workflow, job_id,
        signature, discarded, replayed."""
        params = _given({"limit": limit, "cursor": cursor, **wanted})
        return self._ask(Page[DeadLetterLine], "GET", "/v1/dead-letters", params=params)

    def dead_letter_groups(
        self, limit: int = DEFAULT_LIMIT, cursor: str | None = None, **wanted: str | None
    ) -> Page[DeadLetterGroup]:
        """The same by what they died of, the largest group first."""
        params = _given({"limit": limit, "cursor": cursor, **wanted})
        return self._ask(Page[DeadLetterGroup], "GET", "/v1/dead-letters/groups", params=params)

    def dead_letter(self, subtask_id: str) -> DeadLetterRead:
        return self._ask(DeadLetterRead, "GET", f"/v1/dead-letters/{subtask_id}")

    def discard(self, subtask_id: str, by: str, why: str) -> DeadLetterRead:
        body = {"by": by, "why": why}
        return self._ask(DeadLetterRead, "POST", f"/v1/dead-letters/{subtask_id}/discard", json=body)

    def blockers(
        self, resolved: bool = False, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[BlockerRead]:
        """What is missing, the oldest first; with `resolved` what was missing before, too."""
        wanted = _given({"all": resolved, "limit": limit, "cursor": cursor})
        return self._ask(Page[BlockerRead], "GET", "/v1/blockers", params=wanted)

    def taint(self, subtask_id: str, by: str, why: str) -> TaintedRead:
        """Marks a result as wrong, and everything that was built on it."""
        return self._ask(TaintedRead, "POST", f"/v1/subtasks/{subtask_id}/taint", json={"by": by, "why": why})

    def settle_effect(
        self, key: str, applied: bool, by: str, why: str, result: Mapping[str, Any] | None = None
    ) -> SettledRead:
        """Says whether an effect was applied whose end nobody knew."""
        body = _given({"key": key, "applied": applied, "by": by, "why": why, "result": result})
        return self._ask(SettledRead, "POST", "/v1/effects/settle", json=body)

    def preview_replay(self, asked: Mapping[str, Any]) -> ReplayPreview:
        """What a replay would do, as the body of ``POST /v1/replays`` asks for it; nothing is done."""
        return self._ask(ReplayPreview, "POST", "/v1/replays", json={**asked, "dry_run": True})

    def open_replay(self, asked: Mapping[str, Any]) -> ReplayRead:
        """Opens it. The body needs a reason."""
        return self._ask(ReplayRead, "POST", "/v1/replays", json={**asked, "dry_run": False})

    def replays(self, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[ReplayLine]:
        """Replays, the latest first."""
        wanted = _given({"limit": limit, "cursor": cursor})
        return self._ask(Page[ReplayLine], "GET", "/v1/replays", params=wanted)

    def replay(self, replay_id: str) -> ReplayRead:
        return self._ask(ReplayRead, "GET", f"/v1/replays/{replay_id}")

    def replay_items(
        self,
        replay_id: str,
        state: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[ItemRead]:
        """The jobs of a replay, each with the new job it became."""
        wanted = _given({"state": state, "limit": limit, "cursor": cursor})
        return self._ask(Page[ItemRead], "GET", f"/v1/replays/{replay_id}/items", params=wanted)

    def abort_replay(self, replay_id: str, by: str, why: str, cancel: bool = False) -> ReplayRead:
        """Releases nothing more of it; with `cancel` what was released is cancelled."""
        asked = {"by": by, "why": why, "cancel": cancel}
        return self._ask(ReplayRead, "POST", f"/v1/replays/{replay_id}/abort", json=asked)

    def escalations(
        self, open_only: bool = False, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[EscalationRead]:
        """Calls for a person, the newest first."""
        wanted = _given({"open": open_only, "limit": limit, "cursor": cursor})
        return self._ask(Page[EscalationRead], "GET", "/v1/escalations", params=wanted)

    def drill(self, name: str, by: str) -> JobRead:
        """Has a drill done now that the clock does on schedule; answers its job."""
        return self._ask(JobRead, "POST", "/v1/escalations/drills", json={"name": name, "by": by})

    def acknowledge(self, escalation_id: str, by: str) -> EscalationRead:
        path = f"/v1/escalations/{escalation_id}/acknowledge"
        return self._ask(EscalationRead, "POST", path, json={"by": by})

    def workflows(self) -> Page[WorkflowRead]:
        return self._ask(Page[WorkflowRead], "GET", "/v1/workflows")

    def lanes(self) -> Page[LaneRead]:
        return self._ask(Page[LaneRead], "GET", "/v1/lanes")

    def lane(self, lane: str) -> LaneRead:
        return self._ask(LaneRead, "GET", f"/v1/lanes/{lane}")

    def budgets(self) -> Page[BudgetRead]:
        return self._ask(Page[BudgetRead], "GET", "/v1/budgets")

    def set_limit(self, key: str, dimension: str, value: float, by: str, reason: str) -> BudgetRead:
        """Sets a limit of a budget, its ``concurrency`` or its ``burst_seconds``; answers the budget."""
        asked = {"key": key, "dimension": dimension, "value": value, "by": by, "reason": reason}
        return self._ask(BudgetRead, "PUT", "/v1/budgets/limits", json=asked)

    def open_account(self, key: str, by: str, reason: str) -> BudgetRead:
        """Opens a closed account before its time."""
        asked = {"key": key, "by": by, "reason": reason}
        return self._ask(BudgetRead, "POST", "/v1/budgets/open", json=asked)

    def shares(self) -> SharesRead:
        """The floors and weights that hold."""
        return self._ask(SharesRead, "GET", "/v1/budgets/shares")

    def set_floor(self, kind: str, name: str, fraction: float, by: str, reason: str) -> SharesRead:
        """Keeps a part of every pool for a ``purpose``, a ``lane`` or the ``priority`` urgent."""
        asked = {"kind": kind, "name": name, "fraction": fraction, "by": by, "reason": reason}
        return self._ask(SharesRead, "PUT", "/v1/budgets/floors", json=asked)

    def set_weight(self, tenant: str, weight: float, by: str, reason: str) -> SharesRead:
        asked = {"tenant": tenant, "weight": weight, "by": by, "reason": reason}
        return self._ask(SharesRead, "PUT", "/v1/budgets/weights", json=asked)

    def setting_changes(self, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[ChangeRead]:
        """What operators changed, the latest first."""
        wanted = _given({"limit": limit, "cursor": cursor})
        return self._ask(Page[ChangeRead], "GET", "/v1/budgets/changes", params=wanted)

    def spending_caps(self) -> Page[CapRead]:
        return self._ask(Page[CapRead], "GET", "/v1/budgets/caps")

    def set_spending_cap(
        self, scope: str, name: str, period: str, limit_usd: float | None, by: str, reason: str
    ) -> Page[CapRead]:
        """Sets a cap, or removes it where `limit_usd` is None; answers all that are set then."""
        body = {"scope": scope, "name": name, "period": period, "limit_usd": limit_usd}
        asked = body | {"by": by, "reason": reason}
        return self._ask(Page[CapRead], "PUT", "/v1/budgets/caps", json=asked)

    def pauses(self) -> PausesRead:
        """What is held, and how much of it waits."""
        return self._ask(PausesRead, "GET", "/v1/pauses")

    def pause(
        self,
        scope: str,
        name: str,
        by: str,
        reason: str,
        kills: bool = False,
        for_seconds: float | None = None,
    ) -> PausesRead:
        """Holds a lane, a vendor, a tenant, a workflow or, without a name, the fleet; answers what is held then."""
        asked = {"by": by, "reason": reason, "kills": kills, "for_seconds": for_seconds}
        return self._ask(PausesRead, "PUT", _pause(scope, name), json=asked)

    def resume(self, scope: str, name: str, by: str, reason: str = "", catch_up: bool = False) -> Released:
        """Lets it go on, and fires the newest skipped slot of each tick where it catches up."""
        asked = {"by": by, "reason": reason, "catch_up": catch_up}
        return self._ask(Released, "DELETE", _pause(scope, name), params=asked)

    def tax(self, window_seconds: float | None = None) -> TaxRead:
        return self._ask(TaxRead, "GET", "/v1/tax", params=_given({"window_seconds": window_seconds}))

    def diagnosis(self, window_seconds: float | None = None) -> DiagnosisRead:
        """What the fleet was short of in a trailing window, and what mends it."""
        return self._ask(
            DiagnosisRead, "GET", "/v1/diagnosis", params=_given({"window_seconds": window_seconds})
        )

    def upload(self, content: bytes, media_type: str = "application/octet-stream") -> ArtifactRef:
        """Hands over bytes once; the reference goes into a job's inputs."""
        headers = {"Content-Type": media_type}
        return self._ask(ArtifactRef, "PUT", "/v1/artifacts", content=content, headers=headers)

    def artifact(self, digest: str) -> bytes:
        """The bytes behind a digest."""
        return self._send("GET", f"/v1/artifacts/{digest}").content

    def _ask(self, model: type[Model], method: str, path: str, **parts: Any) -> Model:
        content = self._send(method, path, **parts).content
        try:
            return model.model_validate_json(content)
        except ValidationError:
            raise FleetError(f"what answers at {self._base_url} is no fleet of this version") from None

    def _send(self, method: str, path: str, **parts: Any) -> httpx2.Response:
        try:
            response = self._http.request(method, path, **parts)
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise self._unanswered(error) from None
        if response.is_success:
            return response
        raise _refused(response)

    def _stream(self, job_id: str, seen: int) -> Iterator[httpx2.ServerSentEvent]:
        timeout = httpx2.Timeout(TIMEOUT_SECONDS, read=SILENCE_SECONDS)
        headers = {"Last-Event-ID": str(seen)}
        try:
            with self._http.sse(f"/v1/jobs/{job_id}/events", headers=headers, timeout=timeout) as source:
                if not source.response.is_success:
                    source.response.read()
                    raise _refused(source.response)
                yield from source
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise self._unanswered(error) from None

    def _unanswered(self, error: Exception) -> FleetError:
        if isinstance(error, httpx2.TimeoutException) and not isinstance(error, httpx2.ConnectTimeout):
            return FleetError(f"the fleet at {self._base_url} did not answer within {TIMEOUT_SECONDS:g} s")
        return FleetError(
            f"no fleet answers at {self._base_url}: start one with `fleet up` or set FLEET_API_URL"
        )


def check_key(key: str | None) -> None:
    """Raises FleetError where no header can carry this idempotency key."""
    if key is not None and (len(key) > LONGEST_KEY or not re.fullmatch(KEY, key)):
        raise FleetError(f"the key “{key[:40]}” cannot be used: {SHAPES[KEY]}")


def _pause(scope: str, name: str) -> str:
    """The path of a switch; the fleet's has no name."""
    return "/".join(["/v1/pauses", *(quote(part, safe="") for part in (scope, name) if part)])


def _refused(response: httpx2.Response) -> FleetError:
    """The sentence of the problem document, or of whatever stands between us and the fleet."""
    try:
        sentence = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        sentence = f"{response.url} answered {response.status_code} {response.reason_phrase}"
    return FleetError(str(sentence), response.status_code)


def _given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}
