"""How long a simulated answer takes."""

from math import exp
from random import Random

from workers.simulator.settings import Latency


def seconds_for(latency: Latency, output_tokens: int, chance: Random) -> float:
    """Time to the first token and time to write the rest, with log-normal jitter."""
    writing = output_tokens / latency.tokens_per_second if latency.tokens_per_second > 0 else 0.0
    jitter = exp(chance.gauss(0.0, latency.jitter)) if latency.jitter > 0 else 1.0
    return min(latency.max_seconds, (latency.first_token_seconds + writing) * jitter)
