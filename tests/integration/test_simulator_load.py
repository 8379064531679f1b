"""What measurements of pacing ask of the simulator: wanted lengths, hidden bursts, others, lies, timed faults."""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from tests.integration.simulator_callers import (
    EVERY_WAY_TO_ASK,
    Ask,
    Findings,
    ask_gemini,
    document,
    openai_client,
)
from tests.integration.simulator_process import SimulatorAddress, running_simulator

AT_ONCE: dict[str, Any] = {"latency": {"first_token_seconds": 0, "tokens_per_second": 0}}
LOAD = {"mean_output_tokens": 200, "cv": 1.0}
THREE_AT_ONCE = {"requests_per_minute": 60, "hidden_burst_seconds": 3}


CLIENT = httpx2.Client(timeout=20)


class Text(BaseModel):
    text: str


@pytest.fixture(scope="module")
def loaded() -> Iterator[SimulatorAddress]:
    limits = {
        "openai": {"requests_per_minute": 60_000, "tokens_per_minute": 60_000_000},
        "anthropic": {"requests_per_minute": 60_000, "output_tokens_per_minute": 60_000_000},
    }
    with running_simulator(config=AT_ONCE | {"load": LOAD, "limits": limits}) as simulator:
        yield simulator


@contextmanager
def limited(**limits: object) -> Iterator[SimulatorAddress]:
    with running_simulator(config=AT_ONCE | {"limits": {"default": limits}}) as simulator:
        yield simulator


def post(simulator: SimulatorAddress, text: str = "hello", max_tokens: int = 8000) -> httpx2.Response:
    return CLIENT.post(
        f"{simulator.url}/anthropic/v1/messages",
        json={"model": "m", "max_tokens": max_tokens, "messages": [{"role": "user", "content": text}]},
        headers={"x-api-key": "key"},
    )


def lengths(simulator: SimulatorAddress, count: int) -> list[int]:
    return [post(simulator, document("item", f"n{n}")).json()["usage"]["output_tokens"] for n in range(count)]


@pytest.mark.parametrize("ask", EVERY_WAY_TO_ASK)
@pytest.mark.parametrize("shape", [Text, Findings])
def test_loaded_answers_fit_the_schema(
    loaded: SimulatorAddress, ask: Ask[BaseModel], shape: type[BaseModel]
) -> None:
    assert ask(loaded, document("item", "one"), shape)


def test_lengths_are_spread_around_the_wanted_mean_and_the_same_for_the_same_seed(
    loaded: SimulatorAddress,
) -> None:
    found = lengths(loaded, 400)

    # Sampling error of a log-normal of cv 1 over 400 draws is 5 % of the mean; four times that is allowed.
    assert statistics.mean(found) == pytest.approx(200, rel=0.2)
    assert statistics.stdev(found) / statistics.mean(found) == pytest.approx(1.0, abs=0.4)
    assert lengths(loaded, 5) == found[:5]
    with running_simulator(seed=8, config=AT_ONCE | {"load": LOAD}) as other:
        assert lengths(other, 5) != found[:5]


def test_the_callers_cap_cuts_a_longer_answer_and_a_larger_cap_gets_the_whole(
    loaded: SimulatorAddress,
) -> None:
    item = document("item", "cut me")
    whole = post(loaded, item).json()
    small = post(loaded, item, max_tokens=whole["usage"]["output_tokens"] - 1).json()
    again = post(loaded, f"# Tried before\n\nThe model stopped before its answer was whole.\n\n{item}").json()

    assert (small["stop_reason"], small["usage"]["output_tokens"]) == (
        "max_tokens",
        whole["usage"]["output_tokens"] - 1,
    )
    assert again["stop_reason"] == "end_turn"
    assert again["usage"]["output_tokens"] == whole["usage"]["output_tokens"]


def test_the_ledger_says_what_each_vendor_counted(loaded: SimulatorAddress) -> None:
    loaded.reset()
    usage = post(loaded, document("item", "counted")).json()["usage"]
    openai_client(loaded).responses.create(model="m", input="a" * 80, max_output_tokens=4096)
    ask_gemini(loaded, document("item", "counted"), Text)
    at_anthropic, at_openai, at_gemini = loaded.ledger()

    assert at_anthropic["counted"] == {
        "requests": 1,
        "input_tokens": usage["input_tokens"],
        "output_tokens": usage["output_tokens"],
    }
    assert at_openai["counted"] == {"requests": 1, "tokens": 4096}
    assert at_gemini["counted"] == {"requests": 1, "input_tokens": at_gemini["input_tokens"]}


def test_a_hidden_burst_refuses_what_the_headers_allowed() -> None:
    with limited(**THREE_AT_ONCE) as simulator:
        answers = [post(simulator) for _ in range(9)]
        refused = next(each for each in answers if each.status_code == 429)

        assert [each.status_code for each in answers[:3]] == [200] * 3
        assert int(answers[2].headers["anthropic-ratelimit-requests-remaining"]) > 50
        assert refused.headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert simulator.ledger()[answers.index(refused)]["counted"] == {}


def test_another_consumer_takes_its_share_of_what_comes_in() -> None:
    with limited(requests_per_minute=60, burst_seconds=1, others_share=0.8) as simulator:
        first, refused = post(simulator), post(simulator)

        assert (first.status_code, refused.status_code) == (200, 429)
        assert first.headers["anthropic-ratelimit-requests-limit"] == "60"
        # The whole rate would need one second for the next request, the fifth of it that is left needs five.
        assert int(refused.headers["retry-after"]) in (4, 5)


@pytest.mark.parametrize(
    ("headers", "remaining"),
    [("full", "6"), ("empty", "0"), ("none", None), ("garbled", "-1")],
)
def test_headers_lie_are_garbled_or_stay_away(headers: str, remaining: str | None) -> None:
    with limited(requests_per_minute=6, burst_seconds=60, headers=headers) as simulator:
        answer = post(simulator)

        assert answer.status_code == 200
        assert answer.headers.get("anthropic-ratelimit-requests-remaining") == remaining
        assert "request-id" in answer.headers


def test_an_unknown_word_for_headers_ends_the_process_at_once() -> None:
    with pytest.raises(RuntimeError), limited(headers="polite"):
        pass


def test_an_overload_lasts_from_its_beginning_to_its_end(loaded: SimulatorAddress) -> None:
    loaded.reset()
    announced = time.monotonic()
    loaded.script({"kind": "overload", "times": None, "from_seconds": 1, "until_seconds": 2})
    _until(loaded, 529)
    begun = time.monotonic() - announced
    _until(loaded, 200)
    over = time.monotonic() - announced

    assert begun >= 1
    assert over >= 2
    assert loaded.scripted() == []


def _until(simulator: SimulatorAddress, status: int) -> httpx2.Response:
    """The first answer of this status; the test's own timeout ends the wait for one that never comes."""
    while (answer := post(simulator)).status_code != status:
        time.sleep(0.02)
    return answer


def test_a_capacity_of_calls_at_work_overloads_only_what_is_beyond_it() -> None:
    slow = {"latency": {"first_token_seconds": 1.0, "tokens_per_second": 0, "jitter": 0}}
    with running_simulator(config=slow) as simulator:
        simulator.script({"kind": "overload", "times": None, "until_seconds": 60, "at_work": 2})
        with ThreadPoolExecutor(5) as pool:
            statuses = [each.status_code for each in pool.map(lambda _: post(simulator), range(5))]

    assert sorted(statuses) == [200, 200, 529, 529, 529]


def test_a_refusal_can_come_at_a_moment_and_name_a_minute(loaded: SimulatorAddress) -> None:
    loaded.reset()
    announced = time.monotonic()
    loaded.script({"kind": "rate_limited", "retry_after": 60, "from_seconds": 1})
    refused = _until(loaded, 429)

    assert time.monotonic() - announced >= 1
    assert refused.headers["retry-after"] == "60"
    assert post(loaded).status_code == 200
