"""Who is asked really, who is simulated, and who not at all; and what it costs."""

import threading
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from contracts.failures import Code, HandlerFailure
from contracts.reports import Usage
from workers.pricing import cost
from workers.settings import WorkerSettings
from workers.vendors.access import Access, Unavailable, Vendors, access_to, vendors_for

VENDORS = ("anthropic", "openai", "google")
SIMULATOR = "http://127.0.0.1:9000"
AT = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in WorkerSettings.model_fields.values():
        monkeypatch.delenv(str(field.validation_alias), raising=False)


def settings(simulate: tuple[str, ...] = (), **told: str | None) -> WorkerSettings:
    return WorkerSettings.model_validate({"FLEET_SIMULATE": simulate, **told})


def test_with_nothing_set_every_vendor_is_simulated() -> None:
    told = settings(FLEET_SIMULATOR_URL=SIMULATOR + "/")

    addresses = {name: access_to(name, told) for name in VENDORS}

    assert addresses == {
        "anthropic": Access(SecretStr("simulated"), f"{SIMULATOR}/anthropic", True),
        "openai": Access(SecretStr("simulated"), f"{SIMULATOR}/openai/v1", True),
        "google": Access(SecretStr("simulated"), f"{SIMULATOR}/gemini", True),
    }


@pytest.mark.parametrize("name", VENDORS)
def test_with_nothing_set_and_no_simulator_the_sentence_says_what_to_do(name: str) -> None:
    access = access_to(name, settings())

    assert isinstance(access, Unavailable) and "start the simulator, or set" in access.sentence


def test_with_one_real_vendor_the_others_are_unavailable() -> None:
    told = settings(FLEET_SIMULATOR_URL=SIMULATOR, OPENAI_API_KEY="sk-1")

    assert access_to("openai", told) == Access(SecretStr("sk-1"), None, False)
    assert isinstance(access_to("anthropic", told), Unavailable)
    assert isinstance(access_to("google", told), Unavailable)


def test_a_vendor_named_for_simulation_is_simulated_beside_real_ones() -> None:
    told = settings(("google",), FLEET_SIMULATOR_URL=SIMULATOR, OPENAI_API_KEY="sk-1")

    google = access_to("google", told)

    assert isinstance(google, Access) and google.simulated
    assert isinstance(access_to("anthropic", told), Unavailable)


def test_a_vendor_that_is_both_real_and_named_for_simulation_is_refused() -> None:
    told = settings(("openai",), FLEET_SIMULATOR_URL=SIMULATOR, OPENAI_API_KEY="sk-1")

    assert isinstance(access_to("openai", told), Unavailable)


def test_an_address_without_a_key_is_a_real_access() -> None:
    told = settings(ANTHROPIC_BASE_URL="http://gateway")

    assert access_to("anthropic", told) == Access(SecretStr("none"), "http://gateway", False)


def test_an_empty_key_is_no_key() -> None:
    told = settings(FLEET_SIMULATOR_URL=SIMULATOR, OPENAI_API_KEY="", GEMINI_API_KEY=" ")

    openai = access_to("openai", told)

    assert isinstance(openai, Access) and openai.simulated


def test_google_is_reached_with_either_of_its_keys() -> None:
    for told in (settings(GEMINI_API_KEY="k"), settings(GOOGLE_API_KEY="k", GEMINI_API_KEY="other")):
        assert access_to("google", told) == Access(SecretStr("k"), None, False)


def test_an_unknown_name_lists_the_known_ones() -> None:
    for access in (access_to("mistral", settings()), access_to("openai", settings(("gogle",)))):
        assert isinstance(access, Unavailable)
        assert "known are: anthropic, google, openai" in access.sentence


def test_a_client_is_built_once_for_all_threads() -> None:
    vendors = Vendors(settings(FLEET_SIMULATOR_URL=SIMULATOR))
    found = []
    threads = [threading.Thread(target=lambda: found.append(vendors.vendor("openai"))) for _ in range(8)]
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


@pytest.mark.parametrize(("vendor", "model"), [("openai", "gpt-of-tomorrow"), ("mistral", "a-model")])
def test_what_has_no_price_is_refused(vendor: str, model: str) -> None:
    with pytest.raises(HandlerFailure) as raised:
        cost(vendor, model, Usage(), AT)

    assert raised.value.failure.code is Code.UNPRICED
