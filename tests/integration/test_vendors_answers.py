"""Answers as the three vendors give them, read by the real SDKs from a real socket."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from contracts.failures import Code
from contracts.limits import ResponseKind
from contracts.reports import Usage
from tests.integration.test_vendors_twin import Twin, a_request, adapter, twin_on_a_socket
from workers.vendors.port import ModelAnswer, Stop, VendorFailure

VENDORS = ("anthropic", "openai", "google")
WORD = '{"word": "yes"}'
ALIKE = Usage(input_tokens=160, cached_input_tokens=50, output_tokens=7)
WRITTEN = ALIKE.model_copy(update={"cache_written_input_tokens": 100})
USED = {"anthropic": WRITTEN, "openai": WRITTEN, "google": ALIKE}
"""Google does not say what it wrote to its cache."""


@pytest.fixture
def twin() -> Iterator[Twin]:
    with twin_on_a_socket() as twin:
        yield twin


def claude(stop: str | None = "end_turn", text: str = WORD) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "a-model",
        "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": text}],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 100,
            "cache_read_input_tokens": 50,
            "output_tokens": 7,
        },
    }


def gpt(status: str = "completed", reason: str | None = None, part: Any = None) -> dict[str, Any]:
    part = part or {"type": "output_text", "text": WORD, "annotations": []}
    return {
        "id": "resp_1",
        "object": "response",
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": "a-model",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "id": "m_1", "role": "assistant", "status": status, "content": [part]},
        ],
        "usage": {
            "input_tokens": 160,
            "input_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 100},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": 167,
        },
    }


def gemini(reason: str | None = "STOP") -> dict[str, Any]:
    parts = [{"text": "hm", "thought": True}, {"text": WORD}]
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}
    return {
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": 150,
            "toolUsePromptTokenCount": 10,
            "cachedContentTokenCount": 50,
            "candidatesTokenCount": 4,
            "thoughtsTokenCount": 3,
            "totalTokenCount": 167,
        },
        "modelVersion": "a-model",
        "responseId": "g_1",
    }


WHOLE: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "anthropic": (claude(), {"request-id": "req_1"}, "req_1"),
    "openai": (gpt(), {"x-request-id": "req_1"}, "req_1"),
    "google": (gemini(), {}, "g_1"),
}


def asked(vendor: str, twin: Twin) -> ModelAnswer:
    return adapter(vendor, twin.address).ask(a_request())


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_whole_answer_comes_with_its_usage_and_its_body(twin: Twin, vendor: str) -> None:
    body, headers, request_id = WHOLE[vendor]
    twin.answers(200, body, headers)

    answer = asked(vendor, twin)

    assert answer.text == WORD
    assert answer.stop is Stop.COMPLETE
    assert answer.usage == USED[vendor]
    assert answer.vendor_request_id == request_id
    assert twin.reply.endswith(answer.body) and answer.body


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_request_carries_the_attempt_the_schema_and_the_limit(twin: Twin, vendor: str) -> None:
    twin.answers(200, WHOLE[vendor][0])

    asked(vendor, twin)

    (seen,) = twin.seen
    assert seen.headers["x-fleet-attempt"] == "01ATTEMPT"
    path, schema, limit = {
        "anthropic": (
            "/anthropic/v1/messages",
            lambda: seen.body["output_config"]["format"]["schema"],
            lambda: seen.body["max_tokens"],
        ),
        "openai": (
            "/openai/v1/responses",
            lambda: seen.body["text"]["format"]["schema"],
            lambda: seen.body["max_output_tokens"],
        ),
        "google": (
            "/gemini/v1beta/models/a-model:generateContent",
            lambda: seen.body["generationConfig"]["responseJsonSchema"],
            lambda: seen.body["generationConfig"]["maxOutputTokens"],
        ),
    }[vendor]
    assert seen.path == path
    assert schema() == a_request().schema
    assert limit() == 100
    if vendor == "openai":
        assert seen.body["text"]["format"]["strict"] is True
        assert seen.body["store"] is False


@pytest.mark.parametrize(("repeated", "marked"), [(1, False), (200, True)])
def test_claude_is_asked_to_cache_a_system_text_that_is_long_enough(
    twin: Twin, repeated: int, marked: bool
) -> None:
    twin.answers(200, WHOLE["anthropic"][0])
    request = replace(a_request(), system="You say one word, then stop. " * repeated)

    adapter("anthropic", twin.address).ask(request)

    (block,) = twin.seen[0].body["system"]
    assert block["text"] == request.system
    assert block.get("cache_control") == ({"type": "ephemeral"} if marked else None)
    assert "cache_control" not in twin.seen[0].body["messages"][0]


STOPS = {
    "claude cut": ("anthropic", claude("max_tokens"), Stop.CUT),
    "claude context full": ("anthropic", claude("model_context_window_exceeded"), Stop.CUT),
    "claude refusal": ("anthropic", claude("refusal"), Stop.REFUSED),
    "claude pause": ("anthropic", claude("pause_turn"), Stop.CUT),
    "claude new word": ("anthropic", claude("a_word_of_tomorrow"), Stop.CUT),
    "claude no word": ("anthropic", claude(None), Stop.CUT),
    "gpt cut": ("openai", gpt("incomplete", "max_output_tokens"), Stop.CUT),
    "gpt filter": ("openai", gpt("incomplete", "content_filter"), Stop.REFUSED),
    "gpt new word": ("openai", gpt("incomplete", "steered"), Stop.CUT),
    "gpt refusal": ("openai", gpt(part={"type": "refusal", "refusal": "No."}), Stop.REFUSED),
    "gemini cut": ("google", gemini("MAX_TOKENS"), Stop.CUT),
    "gemini new word": ("google", gemini("A_WORD_OF_TOMORROW"), Stop.CUT),
    "gemini no word": ("google", gemini(None), Stop.CUT),
    **{
        f"gemini {reason}": ("google", gemini(reason), Stop.REFUSED)
        for reason in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")
    },
}


@pytest.mark.parametrize(("vendor", "body", "stop"), STOPS.values(), ids=STOPS.keys())
def test_the_stop_reason_is_told_and_what_was_used_is_counted(
    twin: Twin, vendor: str, body: dict[str, Any], stop: Stop
) -> None:
    twin.answers(200, body)

    answer = asked(vendor, twin)

    assert answer.stop is stop
    assert answer.usage == USED[vendor]


def test_a_prompt_that_gemini_blocks_is_a_refusal_without_text(twin: Twin) -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 12}}
    twin.answers(200, blocked)

    answer = asked("google", twin)

    assert (answer.text, answer.stop) == ("", Stop.REFUSED)
    assert answer.usage == Usage(input_tokens=12)


def test_no_candidate_and_no_reason_is_an_empty_answer_of_unknown_price(twin: Twin) -> None:
    twin.answers(200, {})

    answer = asked("google", twin)

    assert (answer.text, answer.stop, answer.usage) == ("", Stop.COMPLETE, None)


@pytest.mark.parametrize(
    ("code", "expected", "kind"),
    [
        ("server_error", Code.VENDOR_ERROR, ResponseKind.ERROR),
        ("server_is_overloaded", Code.OVERLOADED, ResponseKind.OVERLOADED),
        (None, Code.VENDOR_ERROR, ResponseKind.ERROR),
    ],
)
def test_a_response_that_failed_under_status_200_is_a_failure(
    twin: Twin, code: str | None, expected: Code, kind: ResponseKind
) -> None:
    error = {"code": code, "message": "Words that may change."} if code else None
    twin.answers(200, {**gpt("failed"), "output": [], "usage": None, "error": error})

    with pytest.raises(VendorFailure) as raised:
        asked("openai", twin)

    assert raised.value.failure.code is expected
    assert raised.value.signal.kind is kind
