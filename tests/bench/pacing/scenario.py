"""A scenario: what the vendor enforces, what the catalog says of it, what is asked, and what is to be reached."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """How a scenario is run and what is measured."""

    STEADY = "steady"
    """More work than the limit allows; measured over some time after the first burst is used up."""
    LEARNING = "learning"
    """As steady, with a first stretch in which something unknown is learned and measured apart."""
    OVERLOAD = "overload"
    """As steady, with a minute in which the vendor refuses everything as overloaded."""
    CLOSED = "closed"
    """As steady, with one refusal that names a minute, and the orchestrator killed meanwhile."""
    URGENT = "urgent"
    """One and a half times as much work as the limit allows, a part of it urgent, a part maintenance."""
    COST = "cost"
    """No vendor at all: the same work with and without a budget."""
    REPLAY = "replay"
    """Many thousand dead letters run again."""
    CAP = "cap"
    """Concurrent first calls against a tiny cap in money."""


@dataclass(frozen=True)
class Account:
    """A vendor's group of models, as catalog, worker and simulator name it."""

    vendor: str
    group: str
    model: str
    wire: str
    """The simulator's name for the vendor."""


HAIKU = Account("anthropic", "haiku", "claude-haiku-5-5", "anthropic")
SOL = Account("openai", "sol", "gpt-6.1-sol", "openai")
FLASH = Account("google", "flash", "gemini-3.8-flash", "gemini")

BIG = {
    "requests_per_minute": 10_000,
    "input_tokens_per_minute": 10_000_000,
    "output_tokens_per_minute": 300_000,
}
"""Output binds, at about 14 answers of 350 tokens a second: what two cores carry beside simulator and ledger."""


@dataclass(frozen=True)
class Scenario:
    """One row of the measurement. Token limits are per minute, as the simulator enforces them."""

    name: str
    says: str
    """What is measured, in one sentence."""
    kind: Kind = Kind.STEADY
    account: Account = HAIKU
    limits: Mapping[str, float] = field(default_factory=lambda: BIG)
    binding: str = "output_tokens"
    """The dimension that is used up first."""
    enforced: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of the simulator's limits, such as a hidden burst."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """Further limits in the catalog, such as the vendor's burst."""
    mean_tokens: float = 350
    cv: float = 1.0
    prompt_tokens: int = 160
    """About what a prompt takes; this much is the load lane's frame and schema, the rest is made up."""
    max_output_tokens: int = 4096
    latency_seconds: float = 1.5
    slots: int = 64
    """Attempts at the same time, over all worker processes."""
    settle_seconds: float = 30
    """From the first call until the measurement begins: bursts are used up, estimates are learned."""
    seconds: float = 60
    """What is measured."""
    least_use: float | None = None
    """Of the binding limit, as a share; for OpenAI the useful share of it."""
    most_refused: float | None = 0
    """429s of the vendor per 1,000 calls, from the first call on."""
    by_name_only: bool = False
    """Whether it is run only where ``--only`` names it."""
    per_worker_count: bool = True
    """Whether it is run for every number of worker processes, or for the largest only."""

    @property
    def limit(self) -> float:
        """The binding limit per minute."""
        return self.limits[f"{self.binding}_per_minute"]

    @property
    def calls_per_second(self) -> float:
        """How many calls the binding limit is taken to allow, were every estimate right."""
        each = {
            "requests": 1,
            "output_tokens": self.mean_tokens,
            "tokens": self.mean_tokens + self.prompt_tokens,
        }
        return self.limit / each[self.binding] / 60
