"""The handler of all model lanes: one question to one vendor, and a payload that fits its contract."""

import re
import time
from datetime import UTC, datetime
from typing import assert_never

from pydantic import ValidationError

from contracts.artifacts import ArtifactRef
from contracts.base import Payload
from contracts.failures import Code, Failure, HandlerFailure
from contracts.handoffs import ContextItem, ModelRoute, Tried
from contracts.registry import UnknownName, contract
from contracts.reports import Call, Usage
from workers import pricing, prompt
from workers.task import Task
from workers.vendors import record
from workers.vendors.access import vendors_for
from workers.vendors.port import Billing, ModelAnswer, ModelRequest, Stop, Vendor, VendorFailure
from workers.vendors.schemas import strict

FAULTS_TOLD = 5
"""So many places of an answer that breaks its contract are named."""


def run(task: Task) -> Payload:
    """Asks the lane's model once and returns its validated answer. Leaves the record of the request in
    `task.call`, whatever comes of it; raises HandlerFailure."""
    route = _route(task)
    task.call = _unsent(route)
    wanted = _payload_model(task.handoff.desired_output)
    vendor, simulated = vendors_for(task.settings).vendor(route.vendor, route.account)
    task.call = _unsent(route, simulated)
    # Before anything is spent: what has no price is not run.
    pricing.cost(route.vendor, route.model, Usage(), datetime.now(UTC))
    request = _request(task, route, wanted)
    answer = _asked(task, vendor, route, request)
    return _validated(answer, wanted, _answer_digest(task))


def prepared(task: Task, simulated: bool) -> ModelRequest:
    """The very request that `run` would send, for whoever sends it with others. `task.call` tells that it has not
    left; raises HandlerFailure."""
    route = _route(task)
    task.call = _unsent(route, simulated)
    wanted = _payload_model(task.handoff.desired_output)
    pricing.cost(route.vendor, route.model, Usage(), datetime.now(UTC), by_batch=True)
    request = _request(task, route, wanted)
    _update(task, request=_kept(task, record.kept_request(route.vendor, request), "request"))
    return request


def finished(task: Task, result: ModelAnswer | VendorFailure) -> Payload:
    """What `run` would make of the end of a request that was prepared and sent with others. Raises
    HandlerFailure."""
    record_end(task, result)
    if isinstance(result, VendorFailure):
        raise HandlerFailure(_with_answer(result.failure, _answer_digest(task))) from result
    return _validated(result, _payload_model(task.handoff.desired_output), _answer_digest(task))


def record_end(task: Task, result: ModelAnswer | VendorFailure) -> None:
    """Keeps in `task.call`, which is there, how a request ended that was sent with others, and what it cost."""
    _update(task, sent=True)
    if isinstance(result, VendorFailure):
        _record_failure(task, result, 0.0)
    else:
        _record_answer(task, result, datetime.now(UTC), 0.0, by_batch=True)


def _route(task: Task) -> ModelRoute:
    if task.handoff.route is None:
        raise _failure(Code.BROKEN_HANDOFF, "the handoff names no model")
    return task.handoff.route


def _unsent(route: ModelRoute, simulated: bool = False) -> Call:
    return Call(
        vendor=route.vendor,
        account=route.account,
        group=route.group,
        model=route.model,
        simulated=simulated,
        usage=None,
        sent=False,
        seconds=0,
    )


def _payload_model(name: str) -> type[Payload]:
    try:
        model = contract(name)
    except UnknownName as error:
        sentence = f"this worker's code does not know what it was handed: {error}"
        raise _failure(Code.UNKNOWN_CONTRACT, sentence[:2000]) from error
    if not issubclass(model, Payload):
        raise _failure(Code.BROKEN_HANDOFF, f"“{name}” is no payload that a model could deliver")
    return model


def _request(task: Task, route: ModelRoute, wanted: type[Payload]) -> ModelRequest:
    system, text = prompt.render(task.handoff, wanted, lambda item: _read(task, item))
    return ModelRequest(
        model=route.model,
        system=system,
        prompt=text,
        schema=strict(wanted.model_json_schema()),
        schema_name=re.sub(r"[^A-Za-z0-9_-]", "_", task.handoff.desired_output)[:64],
        max_output_tokens=route.max_output_tokens,
        timeout_seconds=route.timeout_seconds,
        attempt=task.attempt,
    )


def _read(task: Task, item: ContextItem | Tried) -> str:
    """The text behind an item: a payload rendered, an earlier answer's words, material as it is."""
    assert item.artifact is not None
    content = task.artifacts.get(item.artifact)
    if item.contract is not None:
        return _rendered(content, item.contract)
    return record.text_of(content) if isinstance(item, Tried) else content.decode(errors="replace")


def _rendered(content: bytes, name: str) -> str:
    try:
        return _payload_model(name).model_validate_json(content).render()
    except ValidationError as error:
        sentence = f"an artifact of the handoff is no “{name}”: {error.error_count()} fault(s)"
        raise _failure(Code.BROKEN_HANDOFF, sentence) from error


def _asked(task: Task, vendor: Vendor, route: ModelRoute, request: ModelRequest) -> ModelAnswer:
    """Sends the request and records the call: before, as ambiguous, and after, as what it was."""
    assert task.call is not None
    kept = _kept(task, record.kept_request(route.vendor, request), "request")
    if task.stopped.is_set():
        raise _failure(Code.INTERRUPTED, "the attempt was stopped before its request was sent")
    task.call = task.call.model_copy(update={"sent": True, "request": kept})
    at, begun = datetime.now(UTC), time.monotonic()
    try:
        answer = vendor.ask(request)
    except VendorFailure as failure:
        _record_failure(task, failure, time.monotonic() - begun)
        raise HandlerFailure(_with_answer(failure.failure, _answer_digest(task))) from failure
    _record_answer(task, answer, at, time.monotonic() - begun)
    return answer


def _record_failure(task: Task, failure: VendorFailure, seconds: float) -> None:
    _update(task, seconds=seconds, vendor_request_id=failure.vendor_request_id, signal=failure.signal)
    match failure.billing:
        case Billing.NOT_SENT:
            _update(task, sent=False)
        case Billing.NOT_BILLED:
            _update(task, usage=Usage())
        case Billing.AMBIGUOUS:
            _update(task, usage=None)
        case _:
            assert_never(failure.billing)
    if failure.body:
        _update(task, answer=_kept(task, record.kept_refusal(failure), "answer"))


def _record_answer(
    task: Task, answer: ModelAnswer, at: datetime, seconds: float, by_batch: bool = False
) -> None:
    _update(
        task,
        seconds=seconds,
        vendor_request_id=answer.vendor_request_id,
        usage=answer.usage,
        signal=answer.signal,
    )
    assert task.call is not None
    call, usage = task.call, answer.usage or Usage()
    nano_usd, price_version = pricing.cost(call.vendor, call.model, usage, at, by_batch)
    _update(task, cost_nano_usd=nano_usd, price_version=price_version)
    _update(task, answer=_kept(task, record.kept_answer(answer), "answer"))


def _update(task: Task, **facts: object) -> None:
    assert task.call is not None
    task.call = task.call.model_copy(update=facts)


def _kept(task: Task, content: bytes, name: str) -> ArtifactRef:
    return task.artifacts.put(content, record.MEDIA_TYPE, name)


def _answer_digest(task: Task) -> str | None:
    return task.call.answer.digest if task.call and task.call.answer else None


def _validated(answer: ModelAnswer, wanted: type[Payload], digest: str | None) -> Payload:
    """The payload, or the failure that the stop reason, and only then the text, stands for."""
    if answer.stop is Stop.CUT:
        raise _failure(Code.CUT, "the model stopped before its answer was whole", digest)
    if answer.stop is Stop.REFUSED:
        raise _failure(Code.REFUSED, "the model, or its vendor's policy, refused to answer", digest)
    if not answer.text.strip():
        raise _failure(Code.EMPTY, "the model's answer is empty", digest)
    try:
        return wanted.model_validate_json(answer.text)
    except ValidationError as error:
        raise HandlerFailure(_with_answer(_misfit(error, wanted), digest)) from error


def _misfit(error: ValidationError, wanted: type[Payload]) -> Failure:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        return Failure(code=Code.NOT_JSON, sentence=f"the answer is no JSON: {faults[0]['msg'][:300]}")
    places = {
        ".".join(map(str, fault["loc"]))[:100] or "whole": fault["msg"][:200]
        for fault in faults[:FAULTS_TOLD]
    }
    told = "; ".join(f"{place}: {what}" for place, what in places.items())
    more = f"; and {len(faults) - FAULTS_TOLD} more" if len(faults) > FAULTS_TOLD else ""
    return Failure(
        code=Code.BREAKS_CONTRACT,
        sentence=f"the answer breaks {wanted.contract}: {told}{more}",
        evidence=places,
    )


def _failure(code: Code, sentence: str, answer_digest: str | None = None) -> HandlerFailure:
    return HandlerFailure(_with_answer(Failure(code=code, sentence=sentence), answer_digest))


def _with_answer(failure: Failure, digest: str | None) -> Failure:
    """The failure with the digest of the answer among its evidence, for the repair that is shown it."""
    if digest is None:
        return failure
    return failure.model_copy(update={"evidence": {**failure.evidence, "answer_digest": digest}})
