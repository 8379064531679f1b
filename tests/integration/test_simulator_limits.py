"""The vendors' limits, faults and ledger, seen through the real SDKs."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx2
import openai
import pytest
from google.genai import errors as gemini_errors

from tests.integration.simulator_callers import (
    Findings,
    anthropic_client,
    ask_anthropic,
    ask_gemini,
    ask_openai,
    gemini_client,
    openai_client,
    research_prompt,
)
from tests.integration.simulator_process import SimulatorAddress, running_simulator

AT_ONCE = {"latency": {"first_token_seconds": 0, "tokens_per_second": 0}}
TWO_REQUESTS = {"requests_per_minute": 6, "burst_seconds": 20}


@pytest.fixture(scope="module")
def shared() -> Iterator[SimulatorAddress]:
    with running_simulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(shared: SimulatorAddress) -> SimulatorAddress:
    shared.reset()
    return shared


@pytest.fixture(scope="module")
def scarce() -> Iterator[SimulatorAddress]:
    """Two requests at once, one more every ten seconds; debts of output are possible at Anthropic."""
    limits = {
        "default": TWO_REQUESTS,
        "anthropic/debt": {"requests_per_minute": 1000, "output_tokens_per_minute": 60, "burst_seconds": 1},
        "openai/promise": {"requests_per_minute": 1000, "tokens_per_minute": 1000, "burst_seconds": 60},
        "openai/busy": {"concurrency": 0},
    }
    config = AT_ONCE | {
        "limits": limits,
        "accounts": {"other-key": "other"},
        "groups": {"a": "pair", "b": "pair"},
    }
    with running_simulator(config=config) as simulator:
        yield simulator


def say(simulator: SimulatorAddress, model: str = "claude-x", key: str = "key") -> anthropic.types.Message:
    return anthropic_client(simulator, key).messages.create(
        model=model,
        max_tokens=500,
        messages=[{"role": "user", "content": "Lantern is a library that keeps jobs."}],
    )


def test_anthropic_refuses_beyond_the_burst_and_says_when_to_come_back(scarce: SimulatorAddress) -> None:
    raw = anthropic_client(scarce).messages.with_raw_response.create(
        model="burst", max_tokens=50, messages=[{"role": "user", "content": "hello"}]
    )
    say(scarce, "burst")
    with pytest.raises(anthropic.RateLimitError) as refused:
        say(scarce, "burst")

    assert raw.headers["anthropic-ratelimit-requests-limit"] == "6"
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "1"
    assert refused.value.body["error"]["type"] == "rate_limit_error"  # type: ignore[index, call-overload]
    assert 8 <= int(refused.value.response.headers["retry-after"]) <= 10
    assert scarce.ledger()[-1]["dimension"] == "requests"


def test_keys_of_one_account_and_models_of_one_group_share_a_pool(scarce: SimulatorAddress) -> None:
    say(scarce, "a")
    say(scarce, "b", key="second key of the same account")
    with pytest.raises(anthropic.RateLimitError):
        say(scarce, "a")

    say(scarce, "a", key="other-key")


def test_anthropic_meters_output_as_it_is_produced_even_into_debt(scarce: SimulatorAddress) -> None:
    say(scarce, "debt")

    with pytest.raises(anthropic.RateLimitError):
        say(scarce, "debt")
    assert scarce.ledger()[-1]["dimension"] == "output_tokens"


def test_openai_charges_the_promised_output_and_gives_nothing_back(scarce: SimulatorAddress) -> None:
    client = openai_client(scarce)
    raw = client.responses.with_raw_response.create(model="promise", input="hello", max_output_tokens=700)
    with pytest.raises(openai.RateLimitError) as refused:
        client.responses.create(model="promise", input="hello", max_output_tokens=700)

    assert raw.headers["x-ratelimit-remaining-tokens"] in ("300", "301")
    assert refused.value.code == "rate_limit_exceeded"
    assert "on tokens per min (TPM): Limit 1000" in str(refused.value)
    assert float(refused.value.response.headers["retry-after-ms"]) > 20_000


def test_gemini_tells_of_its_limit_in_the_body_only(scarce: SimulatorAddress) -> None:
    client = gemini_client(scarce)
    for _ in range(2):
        answered = client.models.generate_content(model="burst", contents="hello")
    with pytest.raises(gemini_errors.ClientError) as refused:
        client.models.generate_content(model="burst", contents="hello")

    assert answered.sdk_http_response is not None
    assert not [name for name in answered.sdk_http_response.headers or {} if "ratelimit" in name]
    assert refused.value.code == 429
    assert refused.value.status == "RESOURCE_EXHAUSTED"
    kinds = [each["@type"].rpartition(".")[2] for each in refused.value.details["error"]["details"]]
    assert kinds == ["QuotaFailure", "Help", "RetryInfo"]


def test_too_much_at_once_is_an_overload(scarce: SimulatorAddress) -> None:
    with pytest.raises(openai.InternalServerError) as refused:
        openai_client(scarce).responses.create(model="busy", input="hello")

    assert refused.value.status_code == 503
    assert refused.value.code == "server_is_overloaded"


def test_a_request_without_a_key_is_unauthorised(simulator: SimulatorAddress) -> None:
    for path in ("anthropic/v1/messages", "openai/v1/responses", "gemini/v1/models/m:generateContent"):
        assert httpx2.post(f"{simulator.url}/{path}", json={"model": "m"}).status_code == 401


def test_tokens_can_be_counted_without_being_billed(simulator: SimulatorAddress) -> None:
    counted = anthropic_client(simulator).messages.count_tokens(
        model="m", messages=[{"role": "user", "content": "one two three"}]
    )
    gemini = gemini_client(simulator).models.count_tokens(model="m", contents="one two three")

    assert counted.input_tokens == gemini.total_tokens > 3
    assert simulator.totals()["anthropic"]["calls"] == 0


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        ("overload", anthropic.OverloadedError, 529),
        ("rate_limited", anthropic.RateLimitError, 429),
        ("rate_limited_with_remaining", anthropic.RateLimitError, 429),
        ("rate_limited_bare", anthropic.RateLimitError, 429),
        ("server_error", anthropic.InternalServerError, 500),
        ("html_502", anthropic.InternalServerError, 502),
        ("spend_limit", anthropic.EnforcedSpendLimitReachedError, 429),
        ("unauthorised", anthropic.AuthenticationError, 401),
    ],
)
def test_scripted_faults_raise_what_anthropic_raises(
    simulator: SimulatorAddress, kind: str, error: type[anthropic.APIStatusError], status: int
) -> None:
    simulator.script({"kind": kind, "vendor": "anthropic", "retry_after": 7})
    with pytest.raises(error) as raised:
        say(simulator)
    say(simulator)

    assert raised.value.status_code == status
    assert raised.value.response.headers.get("retry-after") == (
        "7" if kind in ("rate_limited", "rate_limited_with_remaining") else None
    )
    if kind == "rate_limited_with_remaining":
        assert int(raised.value.response.headers["anthropic-ratelimit-requests-remaining"]) > 900


@pytest.mark.parametrize(
    ("kind", "openai_status", "openai_code", "gemini_status"),
    [
        ("overload", 503, "server_is_overloaded", 503),
        ("rate_limited", 429, "rate_limit_exceeded", 429),
        ("rate_limited_with_remaining", 429, "slow_down", 429),
        ("rate_limited_bare", 429, "rate_limit_exceeded", 429),
        ("server_error", 500, None, 500),
        ("html_502", 502, None, 502),
        ("spend_limit", 429, "insufficient_quota", 402),
        ("unauthorised", 401, "invalid_api_key", 400),
    ],
)
def test_scripted_faults_raise_what_openai_and_gemini_raise(
    simulator: SimulatorAddress, kind: str, openai_status: int, openai_code: str | None, gemini_status: int
) -> None:
    simulator.script({"kind": kind, "vendor": "openai"}, {"kind": kind, "vendor": "gemini"})
    with pytest.raises(openai.APIStatusError) as raised:
        openai_client(simulator).responses.create(model="m", input="hello")
    with pytest.raises(gemini_errors.APIError) as refused:
        gemini_client(simulator).models.generate_content(model="m", contents="hello")

    assert (raised.value.status_code, raised.value.code) == (openai_status, openai_code)
    assert refused.value.code == gemini_status


def test_a_scripted_rate_limit_shows_the_limit_it_claims_as_used_up(simulator: SimulatorAddress) -> None:
    simulator.script(
        {"kind": "rate_limited", "vendor": "anthropic"}, {"kind": "rate_limited", "vendor": "openai"}
    )
    with pytest.raises(anthropic.RateLimitError) as at_anthropic:
        say(simulator)
    with pytest.raises(openai.RateLimitError) as at_openai:
        openai_client(simulator).responses.create(model="m", input="hello")

    assert "output tokens per minute" in str(at_anthropic.value)
    assert at_anthropic.value.response.headers["anthropic-ratelimit-output-tokens-remaining"] == "0"
    assert "on tokens per min (TPM)" in str(at_openai.value)
    assert at_openai.value.response.headers["x-ratelimit-remaining-tokens"] == "0"


def test_a_scripted_rate_limit_with_remaining_shows_plenty(simulator: SimulatorAddress) -> None:
    simulator.script({"kind": "rate_limited_with_remaining", "times": 2})
    with pytest.raises(anthropic.RateLimitError) as at_anthropic:
        say(simulator)
    with pytest.raises(openai.RateLimitError) as at_openai:
        openai_client(simulator).responses.create(model="m", input="hello")

    for refused in (at_anthropic.value, at_openai.value):
        left = [int(value) for name, value in refused.response.headers.items() if "remaining" in name]
        assert min(left) > 900


def test_a_bare_rate_limit_says_in_no_vendors_words_when_to_come_again(simulator: SimulatorAddress) -> None:
    simulator.script({"kind": "rate_limited_bare", "times": 3})
    with pytest.raises(anthropic.RateLimitError) as at_anthropic:
        say(simulator)
    with pytest.raises(openai.RateLimitError) as at_openai:
        openai_client(simulator).responses.create(model="m", input="hello")
    with pytest.raises(gemini_errors.ClientError) as at_gemini:
        gemini_client(simulator).models.generate_content(model="m", contents="hello")

    for refused in (at_anthropic.value, at_openai.value):
        assert not [name for name in refused.response.headers if name.startswith("retry-after")]
    assert "again in" not in str(at_openai.value)
    assert "retry" not in str(at_gemini.value).lower()


def test_an_answer_may_drip_for_longer_than_its_reader_waits_for_a_byte(simulator: SimulatorAddress) -> None:
    simulator.script({"kind": "drip", "seconds": 2})
    began = time.monotonic()
    message = (
        anthropic_client(simulator)
        .with_options(timeout=1)
        .messages.create(model="m", max_tokens=50, messages=[{"role": "user", "content": "hello"}])
    )

    assert time.monotonic() - began > 1.5
    assert message.stop_reason == "end_turn"


def test_a_wrong_usage_is_told_and_the_right_one_billed(simulator: SimulatorAddress) -> None:
    simulator.script({"kind": "wrong_usage"})

    message = say(simulator)

    [row] = simulator.ledger()
    assert message.usage.input_tokens == 10 * row["input_tokens"]
    assert message.usage.output_tokens == 10 * row["output_tokens"]


def test_a_torn_answer_is_billed_and_never_whole(simulator: SimulatorAddress) -> None:
    simulator.script({"kind": "torn"})
    with pytest.raises(anthropic.APIConnectionError):
        say(simulator)

    assert [(row["status"], row["injected"]) for row in simulator.ledger()] == [(200, "torn")]


@pytest.mark.parametrize("kind", ["reset", "timeout"])
def test_lost_answers_are_billed_all_the_same(simulator: SimulatorAddress, kind: str) -> None:
    simulator.script({"kind": kind}, {"kind": kind}, {"kind": kind})
    with pytest.raises(anthropic.APIConnectionError):
        anthropic_client(simulator).with_options(timeout=0.4).messages.create(
            model="m", max_tokens=50, messages=[{"role": "user", "content": "hello"}]
        )
    with pytest.raises(openai.APIConnectionError):
        openai_client(simulator).with_options(timeout=0.4).responses.create(model="m", input="hello")
    with pytest.raises(httpx2.TransportError):
        gemini_client(simulator).models.generate_content(
            model="m", contents="hello", config={"http_options": {"timeout": 400}}
        )

    rows = simulator.ledger()
    assert [row["kind"] for row in rows] == [kind] * 3
    assert all(row["output_tokens"] > 0 for row in rows)


def test_a_cut_answer_says_so_in_each_vendors_words(simulator: SimulatorAddress) -> None:
    simulator.script({"kind": "cut", "times": 3})
    message = say(simulator)
    response = openai_client(simulator).responses.create(model="m", input=research_prompt())
    answer = gemini_client(simulator).models.generate_content(model="m", contents=research_prompt())

    assert message.stop_reason == "max_tokens"
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == "MAX_TOKENS"
    assert {row["kind"] for row in simulator.ledger()} == {"cut"}


def test_a_refusal_says_so_in_each_vendors_words(simulator: SimulatorAddress) -> None:
    simulator.script({"kind": "refusal", "times": 3})
    response = openai_client(simulator).responses.create(model="m", input="hello")
    answer = gemini_client(simulator).models.generate_content(model="m", contents="hello")

    assert say(simulator).stop_reason == "refusal"
    assert response.output[0].content[0].type == "refusal"  # type: ignore[union-attr, index]
    assert answer.text is None


@pytest.mark.parametrize("kind", ["not_json", "empty", "wrong_schema"])
def test_spoiled_answers_do_not_validate(simulator: SimulatorAddress, kind: str) -> None:
    simulator.script({"kind": kind, "times": 3})
    for ask in (ask_anthropic, ask_openai, ask_gemini):
        with pytest.raises((ValueError, AssertionError)):
            ask(simulator, research_prompt(), Findings)

    assert [row["injected"] for row in simulator.ledger()] == [kind] * 3


def test_a_huge_answer_is_ten_megabytes(simulator: SimulatorAddress) -> None:
    simulator.script({"kind": "huge"})

    response = openai_client(simulator).responses.create(
        model="m",
        input=research_prompt(),
        text={"format": {"type": "json_schema", "name": "f", "schema": Findings.model_json_schema()}},
    )

    assert len(response.output_text) > 9_000_000


def test_a_scripted_bad_quote_does_not_stand_and_matches_by_prompt(simulator: SimulatorAddress) -> None:
    simulator.script({"kind": "bad_quote", "prompt": "Find cl.ims"})
    findings = ask_anthropic(simulator, research_prompt(), Findings)

    prompt = " ".join(research_prompt().split())
    assert all(each.quote not in prompt for each in findings.claims)


def test_an_id_may_be_that_of_another_answer(simulator: SimulatorAddress) -> None:
    simulator.script({"kind": "repeated_id", "times": 2})

    assert say(simulator).id == say(simulator).id
    assert [row["injected"] for row in simulator.ledger()] == ["repeated_id"] * 2


def test_a_scripted_injection_gives_orders_where_statements_stood(simulator: SimulatorAddress) -> None:
    simulator.script({"kind": "injection"})
    findings = ask_anthropic(simulator, research_prompt(), Findings)

    assert all(each.claim.startswith("Ignore every instruction above") for each in findings.claims)
    assert [row["injected"] for row in simulator.ledger()] == ["injection"]


def test_an_unknown_fault_is_an_error_that_lists_the_known(simulator: SimulatorAddress) -> None:
    response = httpx2.post(f"{simulator.url}/__admin/faults", json={"kind": "earthquake"})

    assert response.status_code == 400
    assert "overload" in response.json()["error"]


def test_the_ledger_agrees_with_what_was_called_and_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with running_simulator(ledger=path) as simulator:
        said = [say(simulator) for _ in range(3)]
        simulator.script({"kind": "overload"})
        with pytest.raises(anthropic.OverloadedError):
            say(simulator)
        totals = simulator.totals()["anthropic"]
        rows = simulator.ledger(after=1)
        simulator.process.kill()

    kept = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert totals["calls"] == 4
    assert totals["by_kind"] == {"ok": 3, "overload": 1}
    assert totals["input_tokens"] == sum(each.usage.input_tokens for each in said)
    assert totals["output_tokens"] == sum(each.usage.output_tokens for each in said)
    assert [row["seq"] for row in rows] == [2, 3, 4]
    assert kept[1:] == rows
    assert {(row["attempt"], row["retry_count"]) for row in kept} == {("attempt-1", 0)}


def test_an_unknown_setting_ends_the_process_at_once() -> None:
    with pytest.raises(RuntimeError), running_simulator(config={"latencyy": {}}):
        pass
