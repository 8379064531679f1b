"""Who is asked really, who is simulated, and who not at all; and what it costs."""

import os
import threading
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from contracts.failures import Code, HandlerFailure
from contracts.reports import Usage
from tests.integration.test_vendors_answers import WHOLE
from tests.integration.test_vendors_twin import a_request, twin_on_a_socket
from workers.pricing import cost
from workers.settings import WorkerSettings
from workers.vendors.access import Access, Unavailable, Vendors, access_to, vendors_for

VENDORS = ("anthropic", "openai", "google")
SIMULATOR = "http://127.0.0.1:9000"
AT = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    aliases = {str(field.validation_alias) for field in WorkerSettings.model_fields.values()}
    for name in [name for name in os.environ if name.partition("__")[0] in aliases]:
        monkeypatch.delenv(name)


def settings(simulate: tuple[str, ...] = (), **told: str | None) -> WorkerSettings:
    return WorkerSettings.model_validate({"FLEET_SIMULATE": simulate, **told})


def test_with_nothing_set_every_vendor_is_simulated() -> None:
    told = settings(FLEET_SIMULATOR_URL=SIMULATOR + "/")

    addresses = {name: access_to(name, "default", told) for name in VENDORS}

    assert addresses == {
        "anthropic": Access((SecretStr("simulated-default"),), f"{SIMULATOR}/anthropic", True),
        "openai": Access((SecretStr("simulated-default"),), f"{SIMULATOR}/openai/v1", True),
        "google": Access((SecretStr("simulated-default"),), f"{SIMULATOR}/gemini", True),
    }


@pytest.mark.parametrize("name", VENDORS)
def test_with_nothing_set_and_no_simulator_the_sentence_says_what_to_do(name: str) -> None:
    access = access_to(name, "default", settings())

    assert isinstance(access, Unavailable) and "start the simulator, or set" in access.sentence


def test_with_one_real_vendor_the_others_are_unavailable() -> None:
    told = settings(FLEET_SIMULATOR_URL=SIMULATOR, OPENAI_API_KEY="sk-1")

    assert access_to("openai", "default", told) == Access((SecretStr("sk-1"),), None, False)
    assert isinstance(access_to("anthropic", "default", told), Unavailable)
    assert isinstance(access_to("google", "default", told), Unavailable)


def test_a_vendor_named_for_simulation_is_simulated_beside_real_ones() -> None:
    told = settings(("google",), FLEET_SIMULATOR_URL=SIMULATOR, OPENAI_API_KEY="sk-1")

    google = access_to("google", "default", told)

    assert isinstance(google, Access) and google.simulated
    assert isinstance(access_to("anthropic", "default", told), Unavailable)


def test_a_vendor_that_is_both_real_and_named_for_simulation_is_refused() -> None:
    told = settings(("openai",), FLEET_SIMULATOR_URL=SIMULATOR, OPENAI_API_KEY="sk-1")

    assert isinstance(access_to("openai", "default", told), Unavailable)


def test_an_address_without_a_key_is_a_real_access() -> None:
    told = settings(ANTHROPIC_BASE_URL="http://gateway")

    assert access_to("anthropic", "default", told) == Access((SecretStr("none"),), "http://gateway", False)


def test_an_empty_key_is_no_key() -> None:
    told = settings(FLEET_SIMULATOR_URL=SIMULATOR, OPENAI_API_KEY="", GEMINI_API_KEY=" ")

    openai = access_to("openai", "default", told)

    assert isinstance(openai, Access) and openai.simulated


def test_google_is_reached_with_either_of_its_keys() -> None:
    for told in (settings(GEMINI_API_KEY="k"), settings(GOOGLE_API_KEY="k", GEMINI_API_KEY="other")):
        assert access_to("google", "default", told) == Access((SecretStr("k"),), None, False)


def test_keys_with_commas_between_are_keys_of_one_account() -> None:
    told = settings(OPENAI_API_KEY=" sk-1, sk-2,,")

    assert access_to("openai", "default", told) == Access((SecretStr("sk-1"), SecretStr("sk-2")), None, False)


def test_a_suffix_names_a_further_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY__SECOND", "sk-3,sk-4")
    monkeypatch.setenv("GEMINI_API_KEY__EU_WEST", "g-1")
    told = settings(ANTHROPIC_API_KEY="sk-1", ANTHROPIC_BASE_URL="http://gateway")

    second = access_to("anthropic", "second", told)

    assert second == Access((SecretStr("sk-3"), SecretStr("sk-4")), "http://gateway", False)
    assert access_to("anthropic", "default", told) == Access((SecretStr("sk-1"),), "http://gateway", False)
    assert access_to("google", "eu-west", told) == Access((SecretStr("g-1"),), None, False)


def test_an_account_without_a_key_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY__SECOND", "g-1")
    monkeypatch.setenv("GOOGLE_API_KEY__THIRD", " ")
    told = settings(FLEET_SIMULATOR_URL=SIMULATOR, OPENAI_BASE_URL="http://gateway")

    for vendor, account, variables in (
        ("google", "default", "GOOGLE_API_KEY or GEMINI_API_KEY"),
        ("google", "third", "GOOGLE_API_KEY__THIRD or GEMINI_API_KEY__THIRD"),
        ("openai", "second", "OPENAI_API_KEY__SECOND"),
    ):
        assert access_to(vendor, account, told) == Unavailable(
            f"{vendor} has no key for its account “{account}”: set {variables}"
        )


def test_a_further_account_alone_makes_its_vendor_real(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY__SECOND", "sk-2")
    told = settings(FLEET_SIMULATOR_URL=SIMULATOR)

    assert access_to("openai", "second", told) == Access((SecretStr("sk-2"),), None, False)
    assert isinstance(access_to("anthropic", "default", told), Unavailable)


def test_the_simulator_is_told_which_account_is_meant() -> None:
    told = settings(FLEET_SIMULATOR_URL=SIMULATOR)

    second = access_to("openai", "second", told)

    assert second == Access((SecretStr("simulated-second"),), f"{SIMULATOR}/openai/v1", True)


@pytest.mark.parametrize("name", VENDORS)
def test_the_keys_of_an_account_are_used_in_turn(name: str) -> None:
    variable, base_url = {
        "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
        "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
        "google": ("GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
    }[name]
    with twin_on_a_socket() as twin:
        twin.answers(200, WHOLE[name][0])
        vendors = Vendors(settings(**{variable: "key-1,key-2", base_url: twin.address}))
        for _ in range(3):
            vendors.vendor(name, "default")[0].ask(a_request())

    header = "x-goog-api-key" if name == "google" else "authorization"
    assert [seen.headers[header].removeprefix("Bearer ") for seen in twin.seen] == ["key-1", "key-2", "key-1"]


def test_an_unknown_name_lists_the_known_ones() -> None:
    for access in (
        access_to("mistral", "default", settings()),
        access_to("openai", "default", settings(("gogle",))),
    ):
        assert isinstance(access, Unavailable)
        assert "known are: anthropic, google, openai" in access.sentence


def test_a_client_is_built_once_for_all_threads() -> None:
    vendors = Vendors(settings(FLEET_SIMULATOR_URL=SIMULATOR))
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(vendors.vendor("openai", "default"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8 and len({id(vendor) for vendor, _ in found}) == 1
    assert all(simulated for _, simulated in found)


def test_equal_settings_share_their_vendors() -> None:
    assert vendors_for(settings(OPENAI_API_KEY="a")) is vendors_for(settings(OPENAI_API_KEY="a"))
    assert vendors_for(settings(OPENAI_API_KEY="a")) is not vendors_for(settings(OPENAI_API_KEY="b"))


def test_cached_input_is_cheaper_than_the_rest() -> None:
    usage = Usage(input_tokens=1000, cached_input_tokens=400, output_tokens=100)

    nano_usd, price_version = cost("anthropic", "claude-haiku-5-5", usage, AT)

    # 600 at 0.10, 400 at 0.01 and 100 at 0.50 dollars a million.
    assert nano_usd == 60_000 + 4_000 + 50_000
    assert price_version == "genai-prices 0.2.3"


def test_input_that_is_written_to_a_cache_costs_more_than_the_rest() -> None:
    usage = Usage(
        input_tokens=1000, cached_input_tokens=400, cache_written_input_tokens=200, output_tokens=100
    )

    # 400 at 0.10, 400 at 0.01, 200 at 0.125 and 100 at 0.50 dollars a million.
    assert cost("anthropic", "claude-haiku-5-5", usage, AT)[0] == 40_000 + 4_000 + 25_000 + 50_000


def test_a_cache_that_counts_more_than_came_in_is_priced_as_far_as_that_goes() -> None:
    lying = Usage(input_tokens=1000, cached_input_tokens=900, cache_written_input_tokens=900)

    assert cost("anthropic", "claude-haiku-5-5", lying, AT)[0] == 9_000 + 12_500


@pytest.mark.parametrize(("vendor", "model"), [("openai", "gpt-of-tomorrow"), ("mistral", "a-model")])
def test_what_has_no_price_is_refused(vendor: str, model: str) -> None:
    with pytest.raises(HandlerFailure) as raised:
        cost(vendor, model, Usage(), AT)

    assert raised.value.failure.code is Code.UNPRICED
