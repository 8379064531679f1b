"""What a vendor says it allows an account: the real SDK over real sockets, and who has the key to ask."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.account_limits import AccountLimits, Allowed
from contracts.failures import Code, HandlerFailure
from contracts.handoffs import ContextItem
from contracts.limits import Dimension
from tests.doubles import Bench
from tests.integration.simulator_callers import anthropic_client
from tests.integration.simulator_process import SimulatorAddress, running_simulator
from tests.integration.test_vendors_twin import Twin, twin_on_a_socket
from workers.handlers import limits
from workers.settings import WorkerSettings
from workers.task import Task
from workers.vendors.access import Vendors, limits_readable

HAIKU, SONNET = "claude-haiku-5-5", "claude-sonnet-5-5"
CONFIG = {
    "latency": {"first_token_seconds": 0, "tokens_per_second": 0},
    "accounts": {"sk-second": "second", "simulated-second": "second"},
    "admin_keys": {"sk-admin": "default", "sk-admin-second": "second"},
    "groups": {HAIKU: "haiku", "claude-haiku-5": "haiku", SONNET: "sonnet"},
    "limits": {
        "anthropic/haiku": {"requests_per_minute": 50, "input_tokens_per_minute": 30_000},
        "anthropic/second/haiku": {"requests_per_minute": 70},
    },
}
ACCOUNTS = (("anthropic", "default"), ("anthropic", "my-second"), ("openai", "default"))


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorAddress]:
    with running_simulator(config=CONFIG) as address:
        yield address


@pytest.fixture
def twin() -> Iterator[Twin]:
    with twin_on_a_socket() as twin:
        yield twin


def settings(**told: object) -> WorkerSettings:
    return WorkerSettings.model_validate({"*_KEY__*": (), **told})


def administered(address: str, key: str = "sk-admin") -> WorkerSettings:
    return settings(ANTHROPIC_ADMIN_KEY=key, ANTHROPIC_BASE_URL=address)


def task(tmp_path: Path, told: WorkerSettings, account: str = "anthropic/default") -> Task:
    made = Bench(tmp_path).task(ContextItem(name="account", source="the job", value=account))
    made.settings = told
    return made


def requests_of(allowed: tuple[Allowed, ...], model: str) -> float:
    (found,) = [each for each in allowed if model in each.models and each.dimension is Dimension.REQUESTS]
    return found.value


def test_the_limits_of_an_account_are_read_by_its_groups_of_models(simulator: SimulatorAddress) -> None:
    client, simulated = Vendors(administered(f"{simulator.url}/anthropic")).limits("anthropic", "default")
    allowed = client.read("01ATTEMPT")

    assert not simulated
    assert {(each.dimension, each.value) for each in allowed if HAIKU in each.models} == {
        (Dimension.REQUESTS, 50),
        (Dimension.INPUT_TOKENS, 30_000),
        (Dimension.OUTPUT_TOKENS, 90_000),
    }
    assert {each.models for each in allowed} == {(HAIKU, "claude-haiku-5"), (SONNET,)}


def test_each_account_is_asked_with_its_own_key(simulator: SimulatorAddress) -> None:
    further = {"ANTHROPIC_ADMIN_KEY__SECOND": "sk-admin-second"}
    told = settings(
        ANTHROPIC_BASE_URL=f"{simulator.url}/anthropic",
        ANTHROPIC_ADMIN_KEY="sk-admin",
        **{"*_KEY__*": tuple(further.items())},
    )
    vendors = Vendors(told)
    assert requests_of(vendors.limits("anthropic", "default")[0].read("a"), HAIKU) == 50
    assert requests_of(vendors.limits("anthropic", "second")[0].read("b"), HAIKU) == 70


def test_without_any_key_the_simulator_is_asked_and_says_so(
    simulator: SimulatorAddress, tmp_path: Path
) -> None:
    told = settings(FLEET_SIMULATOR_URL=simulator.url)
    read = limits.read(task(tmp_path, told, "anthropic/second"))

    assert (read.simulated, requests_of(read.allowed, HAIKU)) == (True, 70)
    assert read.headline().startswith("anthropic/second (simulated): ")


def test_a_reading_is_no_call_in_the_books_of_the_vendor(simulator: SimulatorAddress) -> None:
    simulator.reset()
    Vendors(settings(FLEET_SIMULATOR_URL=simulator.url)).limits("anthropic", "default")[0].read("a")
    assert (simulator.ledger(), simulator.totals()) == ([], {})


def test_a_model_that_no_setting_names_is_listed_once_it_was_asked() -> None:
    with running_simulator() as simulator:
        client, _ = Vendors(settings(FLEET_SIMULATOR_URL=simulator.url)).limits("anthropic", "default")
        assert client.read("a") == ()
        anthropic_client(simulator).messages.create(
            model=SONNET, max_tokens=10, messages=[{"role": "user", "content": "hello"}]
        )
        assert {each.models for each in client.read("b")} == {(SONNET,)}


def test_a_key_that_may_not_read_limits_is_an_answer(simulator: SimulatorAddress, tmp_path: Path) -> None:
    read = limits.read(task(tmp_path, administered(f"{simulator.url}/anthropic", "sk-of-models")))

    assert read == AccountLimits(
        vendor="anthropic",
        account="default",
        simulated=False,
        refused="its key does not allow to read limits: anthropic answered 401 (authentication_error)",
    )


@pytest.mark.parametrize(("status", "code"), [(500, Code.VENDOR_ERROR), (529, Code.OVERLOADED)])
def test_what_else_goes_wrong_is_typed_and_asked_once(
    twin: Twin, tmp_path: Path, status: int, code: Code
) -> None:
    twin.answers(status, {"type": "error", "error": {"type": "api_error", "message": "no"}})
    with pytest.raises(HandlerFailure) as failed:
        limits.read(task(tmp_path, administered(twin.address)))
    assert failed.value.failure.code is code
    (seen,) = twin.seen
    assert seen.path == "/v1/organizations/rate_limits?group_type=model_group"
    assert "sk-admin" in (seen.headers.get("x-api-key") or seen.headers["authorization"])


@pytest.mark.parametrize(
    "body", [{"data": [{"limits": [{"type": "requests_per_minute"}]}]}, {"data": "none"}, b"<html>"]
)
def test_a_list_that_cannot_be_read_changes_nothing(twin: Twin, tmp_path: Path, body: object) -> None:
    twin.answers(200, body)
    with pytest.raises(HandlerFailure) as failed:
        limits.read(task(tmp_path, administered(twin.address)))
    assert failed.value.failure.code is Code.VENDOR_ERROR


def test_what_limits_no_model_and_what_is_zero_is_left_out(twin: Twin, tmp_path: Path) -> None:
    listed = [
        {"type": "requests_per_minute", "value": 0},
        {"type": "enqueued_requests", "value": 9},
        {"type": "output_tokens_per_minute", "value": 8000},
    ]
    entries = [{"models": [HAIKU], "limits": listed}, {"models": None, "limits": listed}]
    twin.answers(200, {"data": entries, "next_page": None})
    read = limits.read(task(tmp_path, administered(twin.address)))
    assert read.allowed == (Allowed(models=(HAIKU,), dimension=Dimension.OUTPUT_TOKENS, value=8000),)


@pytest.mark.parametrize(
    ("told", "readable"),
    [
        ({}, ()),
        ({"FLEET_SIMULATOR_URL": "http://s"}, ("anthropic/default", "anthropic/my-second")),
        ({"ANTHROPIC_API_KEY": "sk-1"}, ()),
        ({"ANTHROPIC_BASE_URL": "http://gateway"}, ()),
        ({"OPENAI_API_KEY": "sk-1", "FLEET_SIMULATOR_URL": "http://s"}, ()),
        ({"ANTHROPIC_ADMIN_KEY": " "}, ()),
        ({"ANTHROPIC_ADMIN_KEY": "sk-admin"}, ("anthropic/default",)),
        ({"ANTHROPIC_ADMIN_KEY": "sk-admin", "FLEET_SIMULATE": ("anthropic",)}, ()),
        ({"*_KEY__*": (("ANTHROPIC_ADMIN_KEY__MY_SECOND", "sk-admin"),)}, ("anthropic/my-second",)),
    ],
)
def test_who_has_the_key_to_ask(told: dict[str, object], readable: tuple[str, ...]) -> None:
    assert limits_readable(ACCOUNTS, settings(**told)) == readable


def test_an_admin_key_is_a_real_access_beside_which_nothing_is_simulated_unasked() -> None:
    told = settings(ANTHROPIC_ADMIN_KEY="sk-admin", FLEET_SIMULATOR_URL="http://s")
    with pytest.raises(HandlerFailure, match="set ANTHROPIC_API_KEY"):
        Vendors(told).vendor("anthropic", "default")
    with pytest.raises(HandlerFailure, match="does not tell what it allows"):
        Vendors(told).limits("openai", "default")
