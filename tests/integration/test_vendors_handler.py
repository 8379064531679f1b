"""The model handler against the simulator: a payload or a typed failure, and a true record of the call."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.artifacts import ArtifactRef, digest_of
from contracts.brief import Claims, Draft
from contracts.failures import Code, Failure, HandlerFailure
from contracts.handoffs import Assignment, ContextItem, Handoff, ModelRoute, Tried
from contracts.limits import Dimension, ResponseKind
from contracts.purposes import Purpose
from contracts.verdicts import Decision, Verdict
from tests.doubles import NoBatch
from tests.integration.simulator_process import SimulatorAddress, running_simulator
from workers.handlers import model
from workers.settings import WorkerSettings
from workers.task import Task
from workers.vendors import record

ROUTES = {
    "anthropic": "claude-haiku-5-5",
    "openai": "gpt-6.1-sol",
    "google": "gemini-4-argon",
}
LIMITED = {
    "anthropic": {Dimension.REQUESTS, Dimension.INPUT_TOKENS, Dimension.OUTPUT_TOKENS},
    "openai": {Dimension.REQUESTS, Dimension.TOKENS},
    "google": set(),
}
"""What each vendor says of its limits before one is hit."""
DOCUMENT = (
    "Celery acknowledges a message before the task runs unless acks_late is set. "
    "With acks_late a task whose worker is killed is delivered again. "
    "The visibility timeout of Redis is one hour by default."
)


class Memory:
    """Artifacts in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def get(self, ref: ArtifactRef) -> bytes:
        if ref.digest not in self.kept:
            raise HandlerFailure(Failure(code=Code.BROKEN_HANDOFF, sentence=f"{ref.digest} is missing"))
        return self.kept[ref.digest]

    def put(self, content: bytes, media_type: str, name: str) -> ArtifactRef:
        digest = digest_of(content)
        self.kept[digest] = content
        return ArtifactRef(digest=digest, size_bytes=len(content), media_type=media_type, name=name)


class NoEffects:
    def begin(self, grant: Any, intent: Any) -> Any:
        raise AssertionError("a model lane has no effects")

    def finish(self, grant: Any, result: Any) -> None:
        raise AssertionError("a model lane has no effects")


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorAddress]:
    with running_simulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(running: SimulatorAddress) -> SimulatorAddress:
    running.reset()
    return running


def settings(url: str | None, **others: Any) -> WorkerSettings:
    none: dict[str, Any] = {
        name: None
        for field in WorkerSettings.model_fields.values()
        if field.default is None and isinstance(name := field.validation_alias, str)
    }
    return WorkerSettings.model_validate(
        {**none, "FLEET_STATE_DIR": Path("unused"), "FLEET_SIMULATOR_URL": url, **others}
    )


def a_task(
    url: str | None,
    vendor: str = "anthropic",
    output: str = Claims.contract,
    timeout_seconds: float = 10,
    context: tuple[ContextItem, ...] | None = None,
    tried: tuple[Tried, ...] = (),
    memory: Memory | None = None,
    **changes: Any,
) -> Task:
    memory = memory or Memory()
    document = memory.put(DOCUMENT.encode(), "text/plain", "celery")
    handoff = Handoff(
        assignment=Assignment(
            job="J",
            subtask="S",
            name="research#1",
            step="research",
            lane="research",
            operation="extract",
            handler="model",
            purpose=Purpose.FEATURE,
            tenant="t",
            portfolio="p",
        ),
        subproblem="Find the claims in the document that help to answer the question.",
        context=context
        if context is not None
        else (
            ContextItem(name="document", source="celery", artifact=document),
            ContextItem(name="question", source="the job", value="When does Celery acknowledge?"),
        ),
        tried=tried,
        desired_output=output,
        success=("each claim's quote is a passage of the document, copied verbatim",),
        role="You are a careful researcher.",
        route=ModelRoute(
            vendor=vendor,
            account="default",
            group="g",
            model=ROUTES.get(vendor, "a-model"),
            max_output_tokens=2000,
            timeout_seconds=timeout_seconds,
        ),
    )
    return Task(
        attempt="01ATTEMPT",
        handoff=handoff.model_copy(update=changes),
        artifacts=memory,
        effects=NoEffects(),
        carrying=NoBatch(),
        settings=settings(url),
        stopped=threading.Event(),
    )


def failure_of(task: Task) -> Failure:
    with pytest.raises(HandlerFailure) as raised:
        model.run(task)
    return raised.value.failure


@pytest.mark.parametrize("vendor", ROUTES)
def test_a_research_brings_quotes_and_a_priced_simulated_call(
    simulator: SimulatorAddress, vendor: str
) -> None:
    task = a_task(simulator.url, vendor)

    claims = model.run(task)

    assert isinstance(claims, Claims) and claims.claims
    assert all(claim.quote in DOCUMENT for claim in claims.claims)
    call = task.call
    assert call is not None and call.usage is not None and call.simulated and call.sent
    assert call.cost_nano_usd > 0 and call.price_version.startswith("genai-prices ")
    assert call.vendor_request_id and call.seconds > 0
    assert call.signal is not None and call.signal.kind is ResponseKind.OK
    assert {standing.dimension for standing in call.signal.standings} == LIMITED[vendor]
    assert call.request is not None and b"careful researcher" in task.artifacts.get(call.request)
    assert call.answer is not None
    assert Claims.model_validate_json(record.text_of(task.artifacts.get(call.answer))) == claims
    (row,) = simulator.ledger()
    assert row["attempt"] == "01ATTEMPT"


HIT = {
    "anthropic": Dimension.OUTPUT_TOKENS,
    "openai": Dimension.TOKENS,
    "google": Dimension.INPUT_TOKENS,
}
"""What a scripted limit of the simulator shows used up."""
FAULTS = {
    "cut": (Code.CUT, ResponseKind.OK, True, True),
    "not_json": (Code.NOT_JSON, ResponseKind.OK, True, True),
    "empty": (Code.EMPTY, ResponseKind.OK, True, True),
    "refusal": (Code.REFUSED, ResponseKind.OK, True, True),
    "wrong_schema": (Code.BREAKS_CONTRACT, ResponseKind.OK, True, True),
    "rate_limited": (Code.RATE_LIMITED, ResponseKind.RATE_LIMITED, True, False),
    "rate_limited_bare": (Code.RATE_LIMITED, ResponseKind.RATE_LIMITED, True, False),
    "rate_limited_with_remaining": (Code.OVERLOADED, ResponseKind.OVERLOADED, True, False),
    "overload": (Code.OVERLOADED, ResponseKind.OVERLOADED, True, False),
    "server_error": (Code.VENDOR_ERROR, ResponseKind.ERROR, True, False),
    "spend_limit": (Code.SPEND_LIMIT, ResponseKind.SPEND_LIMITED, True, False),
    "unauthorised": (Code.UNAUTHORISED, ResponseKind.UNAUTHORISED, True, False),
    "reset": (Code.VENDOR_ERROR, ResponseKind.SILENT, False, False),
    "torn": (Code.VENDOR_ERROR, ResponseKind.SILENT, False, False),
    "timeout": (Code.TIMEOUT, ResponseKind.SILENT, False, False),
}


@pytest.mark.parametrize("vendor", ROUTES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_scripted_fault_is_typed_and_its_call_recorded(
    simulator: SimulatorAddress, vendor: str, fault: str
) -> None:
    code, kind, known, billed = FAULTS[fault]
    simulator.script({"kind": fault, "vendor": "gemini" if vendor == "google" else vendor})
    task = a_task(simulator.url, vendor, timeout_seconds=0.5 if fault == "timeout" else 10)

    failure = failure_of(task)

    assert failure.code is code
    assert task.call is not None and task.call.sent
    assert task.call.signal is not None and task.call.signal.kind is kind
    assert task.call.signal.hit is (HIT[vendor] if fault in ("rate_limited", "rate_limited_bare") else None)
    assert (task.call.usage is not None) is known
    assert (task.call.cost_nano_usd > 0) is billed
    if task.call.answer is not None:
        assert failure.evidence["answer_digest"] == task.call.answer.digest
    assert len(simulator.ledger()) == 1


def test_a_broken_contract_is_told_place_by_place(simulator: SimulatorAddress) -> None:
    simulator.script({"kind": "wrong_schema"})

    failure = failure_of(a_task(simulator.url))

    assert failure.sentence.startswith("the answer breaks brief.Claims@1: ")
    assert len(failure.evidence) >= 2


def test_a_repair_is_shown_the_fault_and_the_earlier_words(simulator: SimulatorAddress) -> None:
    memory = Memory()
    simulator.script({"kind": "not_json"})
    first = a_task(simulator.url, memory=memory)
    failure = failure_of(first)
    assert first.call is not None and first.call.answer is not None
    tried = Tried(attempt="A", code=failure.code, sentence=failure.sentence, artifact=first.call.answer)

    second = a_task(simulator.url, memory=memory, tried=(tried,))
    assert isinstance(model.run(second), Claims)

    assert second.call is not None and second.call.request is not None
    asked = second.artifacts.get(second.call.request).decode()
    assert "the answer is no JSON" in asked and "Here is what I found" in asked


def test_a_reviewer_objects_at_the_line_that_the_prompt_numbered(simulator: SimulatorAddress) -> None:
    memory = Memory()
    draft = Draft(
        title="Acks",
        slug="acks",
        description="How Celery acknowledges messages, and what happens if a worker is killed in between.",
        body="Celery acknowledges early.\n\n<script>alert(1)</script>",
        citations=(),
        confidence=0.5,
    )
    ref = memory.put(draft.model_dump_json().encode(), "application/json", Draft.contract)
    item = ContextItem(name="draft", source="draft", contract=Draft.contract, artifact=ref)
    task = a_task(
        simulator.url,
        "google",
        output=Verdict.contract,
        context=(item,),
        memory=memory,
        subproblem="This is a security review: object to active content.",
        role="You review for security.",
    )

    verdict = model.run(task)

    assert isinstance(verdict, Verdict) and verdict.decision is Decision.OBJECT
    assert "<script>" in draft.render().splitlines()[verdict.findings[0].line - 1]


def test_nothing_is_sent_for_a_model_without_a_price(simulator: SimulatorAddress) -> None:
    task = a_task(simulator.url)
    assert task.handoff.route is not None
    route = task.handoff.route.model_copy(update={"model": "claude-of-tomorrow-99"})
    task.handoff = task.handoff.model_copy(update={"route": route})

    assert failure_of(task).code is Code.UNPRICED
    assert task.call is not None and not task.call.sent
    assert simulator.ledger() == []


def test_nothing_is_sent_once_the_attempt_is_stopped(simulator: SimulatorAddress) -> None:
    task = a_task(simulator.url)
    task.stopped.set()

    assert failure_of(task).code is Code.INTERRUPTED
    assert task.call is not None and not task.call.sent
    assert simulator.ledger() == []


def test_nothing_is_sent_where_the_material_is_missing_or_of_another_shape(
    simulator: SimulatorAddress,
) -> None:
    memory = Memory()
    gone = ArtifactRef(digest=digest_of(b"gone"), size_bytes=4)
    odd = memory.put(b'{"no": "draft"}', "application/json", Draft.contract)
    newer = ContextItem(name="draft", source="d", contract="no.Such@1", artifact=odd)
    items = {
        ContextItem(name="document", source="d", artifact=gone): Code.BROKEN_HANDOFF,
        ContextItem(name="draft", source="d", contract=Draft.contract, artifact=odd): Code.BROKEN_HANDOFF,
        newer: Code.UNKNOWN_CONTRACT,
    }
    for item, code in items.items():
        task = a_task(simulator.url, context=(item,), memory=memory)
        assert failure_of(task).code is code
        assert task.call is not None and not task.call.sent
    assert simulator.ledger() == []


def test_each_account_is_asked_by_its_own_key() -> None:
    with running_simulator(config={"accounts": {"simulated-second": "second"}}) as simulator:
        for account in ("default", "second"):
            task = a_task(simulator.url)
            assert task.handoff.route is not None
            route = task.handoff.route.model_copy(update={"account": account})
            task.handoff = task.handoff.model_copy(update={"route": route})
            model.run(task)
            assert task.call is not None and task.call.account == account

        assert [row["account"] for row in simulator.ledger()] == ["default", "second"]


def test_a_vendor_that_is_away_was_not_asked_and_costs_nothing() -> None:
    task = a_task("http://127.0.0.1:9")

    assert failure_of(task).code is Code.NOT_SENT
    assert task.call is not None and not task.call.sent and task.call.cost_nano_usd == 0
    assert task.call.signal is not None and task.call.signal.kind is ResponseKind.SILENT


def test_a_vendor_without_access_is_unavailable() -> None:
    task = a_task(None)

    failure = failure_of(task)

    assert failure.code is Code.VENDOR_UNAVAILABLE
    assert "start the simulator" in failure.sentence
    assert task.call is not None and not task.call.sent
