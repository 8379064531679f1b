"""Others: one process of threads that call the vendor by its SDK, as one would without a fleet.

``python -m tests.bench.pacing.callers '{…}'`` calls until a moment, then prints how many calls failed for good.
"""

import itertools
import json
import os
import sys
import threading
import time
from dataclasses import dataclass

import anthropic

SYSTEM = "Say something about the item."
SHAPE = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Plan:
    """What one process does."""

    url: str
    model: str
    max_output_tokens: int
    threads: int
    first_item: int
    until: float
    """Epoch seconds."""
    reserve_per_minute: float | None = None
    """Where set, the cap of each answer is taken from a bucket of so many tokens before the call, and nothing is
    given back: the scheme of OpenAI's cookbook."""


class Bucket:
    """Tokens of one minute, refilled continuously; whoever takes waits until there are enough."""

    def __init__(self, per_minute: float) -> None:
        self._rate = per_minute / 60
        self._most = per_minute
        self._level = per_minute
        self._at = time.monotonic()
        self._lock = threading.Lock()

    def take(self, tokens: float) -> None:
        with self._lock:
            self._refill()
            if self._level < tokens:
                time.sleep((tokens - self._level) / self._rate)
                self._refill()
            self._level -= tokens

    def _refill(self) -> None:
        now = time.monotonic()
        self._level = min(self._most, self._level + (now - self._at) * self._rate)
        self._at = now


def say(client: anthropic.Anthropic, model: str, max_output_tokens: int, item: int | str) -> None:
    """One call for one item. Raises what the SDK raises."""
    client.messages.create(
        model=model,
        max_tokens=max_output_tokens,
        system=SYSTEM,
        messages=[{"role": "user", "content": f'<document name="item">\n{item}\n</document>'}],
        output_config={"format": {"type": "json_schema", "schema": SHAPE}},
    )


def client_of(url: str) -> anthropic.Anthropic:
    """A client that retries as the SDK does by itself."""
    return anthropic.Anthropic(api_key="bench", base_url=f"{url}/anthropic", timeout=60)


def main(plan: Plan) -> None:
    client = client_of(plan.url)
    bucket = Bucket(plan.reserve_per_minute) if plan.reserve_per_minute else None
    items = itertools.count(plan.first_item)
    failed = itertools.count()

    def work() -> None:
        while time.time() < plan.until:
            item = next(items)
            if bucket:
                bucket.take(plan.max_output_tokens)
            try:
                say(client, plan.model, plan.max_output_tokens, item)
            except anthropic.APIError:
                next(failed)

    for _ in range(plan.threads):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(max(0.0, plan.until - time.time()))
    sys.stdout.write(f"{next(failed)}\n")
    sys.stdout.flush()
    os._exit(0)  # calls under way are of no interest any more


if __name__ == "__main__":
    main(Plan(**json.loads(sys.argv[1])))
