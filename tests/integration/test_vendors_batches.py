"""The three vendors' batches: the real SDKs over real sockets, against the simulator and against a scripted twin."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from contracts.failures import Code
from tests.integration.simulator_callers import anthropic_client
from tests.integration.simulator_process import SimulatorAddress, running_simulator
from tests.integration.test_vendors_twin import Twin, twin_on_a_socket
from workers.settings import WorkerSettings
from workers.vendors.access import Vendors
from workers.vendors.port import (
    BatchVendor,
    Billing,
    Ended,
    ModelAnswer,
    ModelRequest,
    Stop,
    VendorFailure,
)
from workers.vendors.schemas import strict

MODELS = {"anthropic": "claude-sonnet-5-5", "openai": "gpt-6.1-sol", "google": "gemini-3.8-flash"}
NAMES = tuple(f"attempt-{number}" for number in range(4))
AT_ONCE = {"seconds": 0}


class Word(BaseModel):
    word: str


@pytest.fixture
def twin() -> Iterator[Twin]:
    with twin_on_a_socket() as twin:
        yield twin


def requests(vendor: str, names: tuple[str, ...] = NAMES) -> list[ModelRequest]:
    return [
        ModelRequest(
            model=MODELS[vendor],
            system="You answer with one word.",
            prompt=f"What is the word of {name}?",
            schema=strict(Word.model_json_schema()),
            schema_name="word",
            max_output_tokens=200,
            timeout_seconds=5.0,
            attempt=name,
        )
        for name in names
    ]


def batches(simulator: SimulatorAddress, vendor: str) -> BatchVendor:
    client, simulated = Vendors(WorkerSettings(FLEET_SIMULATOR_URL=simulator.url)).batches(vendor, "default")
    assert simulated
    return client


def at_twin(twin: Twin, vendor: str) -> BatchVendor:
    variables = {
        "anthropic": {"ANTHROPIC_API_KEY": SecretStr("k"), "ANTHROPIC_BASE_URL": twin.address},
        "openai": {"OPENAI_API_KEY": SecretStr("k"), "OPENAI_BASE_URL": twin.address},
        "google": {"GEMINI_API_KEY": SecretStr("k"), "GOOGLE_GEMINI_BASE_URL": twin.address},
    }
    return Vendors(WorkerSettings(**variables[vendor])).batches(vendor, "default")[0]


def simulator_with(**settings: Any) -> Any:
    slow_limits = {"default": {"requests_per_minute": 1, "burst_seconds": 60}}
    return running_simulator(errors="none", config={"batches": AT_ONCE | settings, "limits": slow_limits})


def ended(client: BatchVendor, batch: str) -> Ended:
    found = client.look(batch)
    assert found is not None
    return found


def failures(found: Ended) -> dict[str, VendorFailure]:
    return {name: each for name, each in found.results.items() if isinstance(each, VendorFailure)}


@pytest.mark.parametrize("vendor", MODELS)
def test_every_request_comes_back_under_its_own_name(vendor: str) -> None:
    with simulator_with() as simulator:
        client = batches(simulator, vendor)
        batch = client.submit(requests(vendor), "submitter")
        found = ended(client, batch.id)
        rows = simulator.ledger()
    assert set(found.results) == set(NAMES)
    for each in found.results.values():
        assert isinstance(each, ModelAnswer)
        assert each.stop is Stop.COMPLETE
        assert each.usage is not None
        assert each.usage.output_tokens > 0
        assert Word.model_validate_json(each.text).word
        assert json.loads(each.body)
    # More than live calls allow in a minute: a batch draws on a pool of its own.
    assert [row["attempt"] for row in rows] == list(NAMES)
    assert {row["batch"] for row in rows} == {batch.id}
    assert all(row["counted"] == {} and row["kind"] == "ok" for row in rows)


@pytest.mark.parametrize("vendor", MODELS)
def test_a_batch_is_under_way_until_its_time_has_passed(vendor: str) -> None:
    with simulator_with(seconds=100, speed_up=200) as simulator:
        client = batches(simulator, vendor)
        batch = client.submit(requests(vendor), "submitter")
        assert client.look(batch.id) is None
        assert simulator.ledger() == []
        deadline = time.monotonic() + 10
        while (found := client.look(batch.id)) is None and time.monotonic() < deadline:
            time.sleep(0.1)
    assert found is not None
    assert set(found.results) == set(NAMES)


@pytest.mark.parametrize("vendor", ["anthropic", "openai"])
def test_the_vendor_says_when_it_gives_up(vendor: str) -> None:
    with simulator_with() as simulator:
        batch = batches(simulator, vendor).submit(requests(vendor), "submitter")
    assert batch.expires_at is not None
    assert 86_000 < batch.expires_at.timestamp() - time.time() < 87_000


@pytest.mark.parametrize("vendor", MODELS)
def test_what_expires_costs_nothing_and_may_be_tried_again(vendor: str) -> None:
    with simulator_with(expired=0.5) as simulator:
        client = batches(simulator, vendor)
        many = tuple(f"attempt-{number}" for number in range(12))
        found = ended(client, client.submit(requests(vendor, many), "submitter").id)
        rows = simulator.ledger()
    late = failures(found)
    assert 0 < len(late) < 12
    assert len(rows) == 12 - len(late)
    for failure in late.values():
        assert (failure.failure.code, failure.billing) == (Code.TIMEOUT, Billing.NOT_BILLED)


@pytest.mark.parametrize("vendor", MODELS)
def test_a_batch_that_is_late_as_a_whole_expires_as_a_whole(vendor: str) -> None:
    with simulator_with(seconds=10, expires_seconds=1, speed_up=100) as simulator:
        client = batches(simulator, vendor)
        batch = client.submit(requests(vendor), "submitter")
        time.sleep(0.05)
        found = ended(client, batch.id)
        assert simulator.ledger() == []
    codes = {found.results.get(name, found.rest).failure.code for name in NAMES}  # type: ignore[union-attr]
    assert codes == {Code.TIMEOUT}


@pytest.mark.parametrize("vendor", MODELS)
def test_what_the_vendor_could_not_answer_is_its_error_and_not_billed(vendor: str) -> None:
    with simulator_with(errored=1) as simulator:
        client = batches(simulator, vendor)
        found = ended(client, client.submit(requests(vendor), "submitter").id)
    assert set(failures(found)) == set(NAMES)
    for failure in failures(found).values():
        assert (failure.failure.code, failure.billing) == (Code.VENDOR_ERROR, Billing.NOT_BILLED)
        assert json.loads(failure.body)


def test_what_was_cancelled_was_interrupted() -> None:
    with simulator_with(seconds=1000, speed_up=1) as simulator:
        client = batches(simulator, "anthropic")
        batch = client.submit(requests("anthropic"), "submitter")
        anthropic_client(simulator, "simulated-default").messages.batches.cancel(batch.id)
        found = ended(client, batch.id)
    assert {failure.failure.code for failure in failures(found).values()} == {Code.INTERRUPTED}
    assert set(found.results) == set(NAMES)


@pytest.mark.parametrize("vendor", MODELS)
def test_a_full_pool_refuses_the_whole_batch(vendor: str) -> None:
    with simulator_with(seconds=1000, queued_requests=5) as simulator:
        client = batches(simulator, vendor)
        client.submit(requests(vendor), "submitter")
        with pytest.raises(VendorFailure) as refused:
            client.submit(requests(vendor), "submitter")
    assert refused.value.failure.code is Code.RATE_LIMITED
    assert refused.value.billing is Billing.NOT_BILLED


@pytest.mark.parametrize("vendor", MODELS)
def test_a_connection_that_breaks_at_the_submission_leaves_it_open_what_it_cost(vendor: str) -> None:
    with simulator_with() as simulator:
        simulator.script({"kind": "reset"})
        with pytest.raises(VendorFailure) as broken:
            batches(simulator, vendor).submit(requests(vendor), "submitter")
    assert (broken.value.failure.code, broken.value.billing) == (Code.VENDOR_ERROR, Billing.AMBIGUOUS)


@pytest.mark.parametrize("vendor", MODELS)
def test_a_refused_submission_says_what_it_meant(vendor: str) -> None:
    with simulator_with() as simulator:
        simulator.script({"kind": "unauthorised"}, {"kind": "spend_limit"})
        codes = []
        for _ in range(2):
            with pytest.raises(VendorFailure) as refused:
                batches(simulator, vendor).submit(requests(vendor), "submitter")
            codes.append(refused.value.failure.code)
    assert codes == [Code.UNAUTHORISED, Code.SPEND_LIMIT]


@pytest.mark.parametrize("vendor", MODELS)
def test_a_batch_that_nobody_knows_is_a_failed_look(vendor: str) -> None:
    unknown = "batches/unknown" if vendor == "google" else "unknown"
    with simulator_with() as simulator, pytest.raises(VendorFailure) as failed:
        batches(simulator, vendor).look(unknown)
    assert failed.value.failure.code is Code.BAD_REQUEST


def test_a_request_that_openai_found_wrong_is_told_from_an_error_of_its_own(twin: Twin) -> None:
    told = {"id": "batch_1", "object": "batch", "endpoint": "/v1/responses", "input_file_id": "file-1"}
    told |= {"completion_window": "24h", "status": "completed", "created_at": 1, "error_file_id": "file-2"}
    wrong = {"status_code": 400, "request_id": "r", "body": {"error": {"code": None, "type": "x"}}}
    lines = [
        {"custom_id": "a", "response": wrong, "error": None},
        {"custom_id": "b", "response": None, "error": {"code": "batch_cancelled", "message": "m"}},
        {"custom_id": "c", "response": {"status_code": 200, "body": {"nothing": 1}}, "error": None},
    ]
    twin.answers_in_turn(told, "\n".join(json.dumps(line) for line in lines).encode())
    found = failures(ended(at_twin(twin, "openai"), "batch_1"))
    assert [found[name].failure.code for name in "abc"] == [
        Code.BAD_REQUEST,
        Code.INTERRUPTED,
        Code.VENDOR_ERROR,
    ]
    assert found["c"].billing is Billing.AMBIGUOUS


def test_a_batch_that_openai_refused_as_a_whole_says_why_for_all_of_it(twin: Twin) -> None:
    told = {"id": "batch_1", "object": "batch", "endpoint": "/v1/responses", "input_file_id": "file-1"}
    told |= {"completion_window": "24h", "status": "failed", "created_at": 1}
    twin.answers(200, told | {"errors": {"object": "list", "data": [{"code": "billing_not_active"}]}})
    found = ended(at_twin(twin, "openai"), "batch_1")
    assert found.results == {}
    assert found.rest.failure.code is Code.SPEND_LIMIT
    assert found.rest.billing is Billing.NOT_BILLED


def test_an_overloaded_member_of_a_gemini_batch_is_an_overload(twin: Twin) -> None:
    answers = {"inlinedResponses": [{"metadata": {"key": "a"}, "error": {"code": 14, "message": "busy"}}]}
    output = {"inlinedResponses": answers}
    twin.answers(200, {"name": "batches/1", "metadata": {"state": "BATCH_STATE_SUCCEEDED", "output": output}})
    found = ended(at_twin(twin, "google"), "batches/1")
    assert failures(found)["a"].failure.code is Code.OVERLOADED
    assert found.rest.billing is Billing.AMBIGUOUS
