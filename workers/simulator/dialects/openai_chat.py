"""OpenAI's older Chat Completions; limits, headers and errors are those of the Responses API."""

import time
from typing import Any

from workers.simulator.call import Call, Inbound
from workers.simulator.dialects.dialect import Wire, joined_text
from workers.simulator.dialects.openai import REFUSAL, OpenAIDialect, call_of, entered
from workers.simulator.failure import Produced


class OpenAIChatDialect(OpenAIDialect):
    """``POST /chat/completions``."""

    def read(self, inbound: Inbound) -> Call:
        key, body = entered(inbound, "messages")
        told = [each for each in body["messages"] if each.get("role") in ("system", "developer")]
        asked = [each for each in body["messages"] if each.get("role") not in ("system", "developer")]
        form = (body.get("response_format") or {}).get("json_schema") or {}
        return call_of(
            inbound,
            key,
            "\n".join(joined_text(each.get("content")) for each in told),
            "\n\n".join(joined_text(each.get("content")) for each in asked),
            form.get("schema"),
            body.get("max_completion_tokens") or body.get("max_tokens"),
        )

    def answer(self, produced: Produced) -> Wire:
        refused = produced.stop == "refused"
        message = {
            "role": "assistant",
            "content": None if refused else produced.text,
            "refusal": REFUSAL if refused else None,
        }
        finish = {"end": "stop", "cut": "length", "refused": "stop"}[produced.stop]
        body: dict[str, Any] = {
            "id": f"chatcmpl-{produced.id}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": produced.model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
            "usage": {
                "prompt_tokens": produced.input_tokens,
                "completion_tokens": produced.output_tokens,
                "total_tokens": produced.input_tokens + produced.output_tokens,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
        }
        return Wire(200, body)
