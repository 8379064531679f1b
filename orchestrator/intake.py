"""Intake: a job is checked, kept and answered for in one transaction, or refused with a sentence."""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from contracts.artifacts import ArtifactRef, Document, digest_of
from contracts.base import Contract
from contracts.catalog import Catalog
from contracts.jobs import JobRequest
from contracts.registry import contract
from contracts.reports import NANO
from contracts.states import JobState
from contracts.workflows import Workflow
from orchestrator.artifacts import ArtifactStore
from orchestrator.deciders.documents import as_uploaded, with_documents
from orchestrator.deciders.fitting import too_large
from orchestrator.deciders.planning import plan
from orchestrator.deciders.stopping import moment, stop_at, too_deep, too_many
from orchestrator.ledger import artifacts, events, lineage, snapshots
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.ids import new_id
from orchestrator.ledger.tables import job
from orchestrator.problems import Conflict, Malformed, faults
from orchestrator.wake import ring

SHORTEST_SECONDS = 5.0
"""No job ends within it: it is planned, granted, claimed and reported, and each waits for the one before."""
COLLISIONS = 4
"""How often a submission looks again after it met another one that wrote the same rows first."""


@dataclass(frozen=True)
class Accepted:
    """The answer to a submission."""

    job_id: str
    created: bool
    """False where the same key and body had made the job before."""


class Intake:
    """The door for work: upstream's through the API, the clock's through upkeep."""

    def __init__(
        self, ledger: Ledger, catalog: Catalog, store: ArtifactStore, webhook_allow: tuple[str, ...] = ()
    ) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self._store = store
        self._webhook_allow = webhook_allow

    def submit(self, request: JobRequest, key: str | None = None) -> Accepted:
        """Accepts a job from upstream; raises a Problem that says what is wrong. Idempotent by `key`."""
        workflow = self._workflow(request.workflow)
        if workflow.internal:
            raise Malformed(f"workflow {workflow.workflow} is made by the clock only")
        return self.accept(request, key, origin=None, actor=request.requested_by)

    def accept(self, request: JobRequest, key: str | None, origin: str | None, actor: str) -> Accepted:
        """Accepts a job of any workflow, linked to `origin` where it reviews, reopens or repeats one."""
        workflow = self._workflow(request.workflow)
        self._check(request)
        inputs = self._stored(self._inputs(workflow, request))
        self._check_sizes(workflow, inputs)
        body_digest = _digest(request)
        for _ in range(COLLISIONS):
            try:
                return self._keep(request, workflow, inputs, key, body_digest, origin, actor)
            except IntegrityError:
                continue  # another submission was first with this key, snapshot or document; see what it left
        return self._keep(request, workflow, inputs, key, body_digest, origin, actor)

    def open(self, connection: Connection, request: JobRequest, actor: str) -> str:
        """Accepts a job within a transaction of the orchestrator's own, and answers its id."""
        workflow = self._workflow(request.workflow)
        inputs = self._inputs(workflow, request).model_dump(mode="json")
        return self._insert(connection, request, workflow, inputs, None, _digest(request), None, actor)

    def _workflow(self, name: str) -> Workflow:
        known = self._catalog.workflows
        if name not in known:
            offered = ", ".join(sorted(n for n, w in known.items() if not w.internal))
            raise Malformed(f"unknown workflow “{name}”; known are: {offered}")
        return known[name]

    def _check(self, request: JobRequest) -> None:
        url = request.callback_url
        if url is not None and not {url.host, f"{url.host}:{url.port}"} & set(self._webhook_allow):
            raise Malformed(
                f"callback_url: {url.host}:{url.port} is not on the allow-list of webhook hosts "
                f"(FLEET_WEBHOOK_ALLOW: {', '.join(self._webhook_allow) or 'empty'})"
            )

    def _inputs(self, workflow: Workflow, request: JobRequest) -> Contract:
        try:
            return contract(workflow.inputs).model_validate(request.inputs)
        except ValidationError as error:
            raise Malformed(faults(error.errors(), "inputs")) from None

    def _stored(self, inputs: Contract) -> dict[str, Any]:
        """The inputs as kept: every inline document has become an artifact."""
        kept = with_documents(inputs, inputs.model_dump(mode="json"), self._kept)
        assert isinstance(kept, dict)
        return kept

    def _kept(self, document: Document) -> ArtifactRef:
        if document.text is not None:
            return self._store.put(document.text.encode(), "text/plain; charset=utf-8", document.name)
        with self._ledger.read() as connection:
            ref = as_uploaded(document, partial(artifacts.find, connection))
        if ref is None:
            digest = document.artifact.digest if document.artifact else ""
            raise Malformed(
                f"document “{document.name}”: no artifact {digest} was uploaded (PUT /v1/artifacts)"
            )
        return ref

    def _check_sizes(self, workflow: Workflow, inputs: dict[str, Any]) -> None:
        crowd = too_many(workflow, len(plan(workflow, inputs)))
        if crowd:
            raise Malformed(crowd)
        sentences = too_large(workflow, self._catalog, inputs)
        if sentences:
            raise Malformed("; ".join(sentences))

    def _keep(
        self,
        request: JobRequest,
        workflow: Workflow,
        inputs: dict[str, Any],
        key: str | None,
        body_digest: str,
        origin: str | None,
        actor: str,
    ) -> Accepted:
        """The transaction: the job that was made before, or this one."""
        with self._ledger.write() as connection:
            earlier = _earlier(connection, request.tenant, key)
            if earlier is not None:
                return _same_or_conflict(earlier, body_digest, key)
            job_id = self._insert(connection, request, workflow, inputs, key, body_digest, origin, actor)
            ring(connection)
        return Accepted(job_id, created=True)

    def _insert(
        self,
        connection: Connection,
        request: JobRequest,
        workflow: Workflow,
        inputs: dict[str, Any],
        key: str | None,
        body_digest: str,
        origin: str | None,
        actor: str,
    ) -> str:
        at, job_id = now(connection), new_id()
        deadline = _deadline(request, at)
        _check_depth(connection, workflow, origin)
        artifacts.note(connection, _documents(inputs), at)
        connection.execute(
            insert(job).values(
                id=job_id,
                tenant=request.tenant,
                portfolio=request.portfolio,
                workflow=workflow.workflow,
                snapshot=snapshots.keep(connection, self._catalog.part_for(workflow)),
                purpose=request.purpose,
                reason=request.reason,
                requested_by=request.requested_by,
                kpi=request.kpi,
                priority=request.priority,
                callback_url=str(request.callback_url) if request.callback_url else None,
                max_cost_nano_usd=_nano(request.max_cost_usd),
                deadline=deadline,
                stop_at=stop_at(workflow.stops, at, deadline),
                inputs=inputs,
                idempotency_key=key,
                body_digest=body_digest,
                origin=origin,
                state=JobState.ACCEPTED,
                created_at=at,
            )
        )
        accepted = Event(
            at=at,
            kind=EventKind.JOB_MOVED,
            actor=actor,
            job_id=job_id,
            new=JobState.ACCEPTED,
            sentence=request.reason,
        )
        events.record(connection, accepted)
        return job_id


def _deadline(request: JobRequest, at: float) -> float | None:
    """In seconds since 1970, by the database's clock; raises Malformed where nothing could end by then."""
    if request.deadline is None:
        return None
    seconds, told = request.deadline.timestamp(), moment(request.deadline.timestamp())
    if seconds <= at:
        raise Malformed(f"deadline: {told} is past, it is {moment(at)}")
    if seconds < at + SHORTEST_SECONDS:
        raise Malformed(
            f"deadline: {told} is in {seconds - at:.1f} s, and a job takes at least {SHORTEST_SECONDS:g} s"
        )
    return seconds


def _check_depth(connection: Connection, workflow: Workflow, origin: str | None) -> None:
    if origin is None:
        return
    refusal = too_deep(workflow, lineage.depth(connection, origin, workflow.stops.depth))
    if refusal:
        raise Malformed(refusal)


def _earlier(connection: Connection, tenant: str, key: str | None) -> Any:
    if key is None:
        return None
    return connection.execute(
        select(job.c.id, job.c.body_digest).where(job.c.tenant == tenant, job.c.idempotency_key == key)
    ).one_or_none()


def _same_or_conflict(earlier: Any, body_digest: str, key: str | None) -> Accepted:
    if earlier.body_digest != body_digest:
        raise Conflict(f"the Idempotency-Key “{key}” was used before with another body (job {earlier.id})")
    return Accepted(earlier.id, created=False)


def _nano(usd: float | None) -> int | None:
    return None if usd is None else round(usd * NANO)


def _digest(request: JobRequest) -> str:
    """One for all ways to write the same body: the order of names in JSON means nothing."""
    return digest_of(json.dumps(request.model_dump(mode="json"), sort_keys=True).encode())


def _documents(value: Any) -> list[dict[str, Any]]:
    """All artifact references inside dumped inputs."""
    match value:
        case {"digest": str(), "size_bytes": int()}:
            return [value]
        case dict():
            return [ref for entry in value.values() for ref in _documents(entry)]
        case list():
            return [ref for entry in value for ref in _documents(entry)]
        case _:
            return []
