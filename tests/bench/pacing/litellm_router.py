"""Others: one process that calls the vendor through LiteLLM's router, which keeps its limits in Redis.

``python -m tests.bench.pacing.litellm_router '{…}'`` calls until a moment and prints how many failed for good.
"""

import asyncio
import itertools
import json
import os
import sys
import time
from dataclasses import dataclass

import litellm
import openai
from litellm.types.router import RouterRateLimitError

from tests.bench.pacing.callers import SHAPE, SYSTEM

NAME = "load"
LEAST_WAIT_SECONDS = 1.0
"""After the router itself has refused a call, and said no time to wait."""


@dataclass(frozen=True)
class Plan:
    """What one process does."""

    url: str
    model: str
    max_output_tokens: int
    calls: int
    """At the same time."""
    first_item: int
    until: float
    """Epoch seconds."""
    redis_url: str
    tokens_per_minute: int
    """Input and output together, the only kind of token limit that the router knows."""


def router_of(plan: Plan) -> litellm.Router:
    """A router over one deployment, by the strategy that counts its tokens in Redis. It retries by itself."""
    deployment = {
        "model_name": NAME,
        "litellm_params": {
            "model": f"anthropic/{plan.model}",
            "api_base": f"{plan.url}/anthropic",
            "api_key": "bench",
            "tpm": plan.tokens_per_minute,
            "timeout": 60,
        },
    }
    return litellm.Router([deployment], redis_url=plan.redis_url, routing_strategy="usage-based-routing-v2")


async def main(plan: Plan) -> None:
    router = router_of(plan)
    items = itertools.count(plan.first_item)
    failed = itertools.count()

    async def work() -> None:
        item = next(items)
        while time.time() < plan.until:
            try:
                await _say(router, plan, item)
            except RouterRateLimitError as refused:  # nothing was sent: the same item waits
                await asyncio.sleep(max(refused.cooldown_time, LEAST_WAIT_SECONDS))
                continue
            except openai.OpenAIError:  # LiteLLM's own errors are all of this kind
                next(failed)
            item = next(items)

    working = [asyncio.ensure_future(work()) for _ in range(plan.calls)]
    await asyncio.wait(working, timeout=max(0.0, plan.until - time.time()))
    sys.stdout.write(f"{next(failed)}\n")
    sys.stdout.flush()
    os._exit(0)  # calls under way are of no interest any more


async def _say(router: litellm.Router, plan: Plan, item: int) -> None:
    await router.acompletion(
        NAME,
        [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": f'<document name="item">\n{item}\n</document>'},
        ],
        max_tokens=plan.max_output_tokens,
        output_config={"format": {"type": "json_schema", "schema": SHAPE}},
    )


if __name__ == "__main__":
    asyncio.run(main(Plan(**json.loads(sys.argv[1]))))
