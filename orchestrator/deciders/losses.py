"""Losses: what a diagnosis is made from. Figures measured over one trailing window, as plain values."""

from dataclasses import dataclass, field
from enum import StrEnum

from contracts.failures import CATEGORY_OF, Category, Code
from contracts.lanes import Tier
from contracts.purposes import Purpose


class Cause(StrEnum):
    """What the fleet is short of."""

    BUDGET = "budget"
    """What a vendor account allows."""
    WORKERS = "workers"
    APPROVALS = "approvals"
    RETRIES = "retries"
    """Of good answers: work is done, fails and is done again."""
    HOLD = "hold"
    """Something other than an account's limit holds work back, such as a cap or a switch."""
    DELIVERY = "delivery"
    """Slots are free and nothing is held, and yet work waits: the orchestrator or the broker is slow or away."""


@dataclass(frozen=True)
class Wait:
    """Subtasks of one lane that waited for one thing, and longer than pacing lets them by design."""

    cause: Cause
    """As measured: budget where an account was refused, hold where it is parked or at a spending cap, workers
    where neither is known."""
    lane: str
    purpose: Purpose
    scope: str | None
    """The vendor and group it draws on, as ``vendor/group``; None for a lane without a model."""
    count: int
    seconds: float
    """Waited inside the window, together."""
    longest_seconds: float
    """The longest single wait, its part before the window included."""
    still: int = 0
    """How many of them are waiting at this moment."""
    held_by: str = ""
    """What dispatch wrote down as the reason; only what still waits has one."""
    cap: str = ""
    """The spending cap that holds it, as ``scope/name/period``."""


@dataclass(frozen=True)
class LaneLoad:
    """One lane, and the live workers that serve it."""

    workers: int = 0
    slots: int = 0
    """Of these workers; those of several lanes are counted in each of them."""
    busy: float = 0.0
    """How many of the slots were taken: on average over the window, or at this moment where that is more."""
    returned: int = 0
    """Attempts that were granted and that nobody claimed in time."""
    tier: Tier | None = None
    repeatable: bool = False
    """Whether equal questions to this lane may be given equal answers."""


@dataclass(frozen=True)
class Allowance:
    """What all accounts of one vendor allow one group of models."""

    keys: tuple[str, ...]
    """The accounts' budgets."""
    dimensions: tuple[str, ...]
    """By what is left of each, the scarcest first."""
    limits: dict[str, float]
    """By dimension: per minute, per day or at once, summed over the accounts."""
    declared_calls: float = 0.0
    """How many calls at once were declared; that fewer are let through is the answer to an overloaded vendor."""
    closed: str = ""
    """Why, where every account is closed at this moment."""


@dataclass(frozen=True)
class Spent:
    """Attempts that ended alike inside the window."""

    lane: str
    purpose: Purpose
    attempts: int
    worker_seconds: float
    scope: str | None = None
    vendor: str | None = None
    code: Code | None = None
    """The failure; None for what went well."""
    input_tokens: int = 0
    cached_tokens: int = 0
    """Of the input, what the vendor read from its cache."""
    output_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def wasted(self) -> bool:
        """Whether the work has to be done again. A judgement, such as “no evidence”, is an answer, and so is that
        something is not finished yet, or missing."""
        if self.code is None or self.code is Code.UNFINISHED:
            return False
        return CATEGORY_OF[self.code] not in (Category.JUDGEMENT, Category.PREREQUISITE)


@dataclass(frozen=True)
class Questions:
    """What one step of one workflow asks people."""

    where: str
    """As ``workflow/step``."""
    waiting: int
    """Unanswered for longer than a person may take."""
    seconds: float
    """Waited inside the window, together, by those and by the ones that were answered in it."""
    longest_seconds: float
    answers: int = 0
    """Of the last days."""
    approved: int = 0
    """Of these answers."""
    median_seconds: float | None = None
    """From question to answer; None without answers."""


@dataclass(frozen=True)
class Measured:
    """One window."""

    window_seconds: float
    granted: int
    """Attempts granted in it."""
    backoff_seconds: float = 0.0
    """Waited between tries."""
    waits: tuple[Wait, ...] = ()
    lanes: dict[str, LaneLoad] = field(default_factory=dict)
    allowances: dict[str, Allowance] = field(default_factory=dict)
    """By scope, as ``vendor/group``."""
    spent: tuple[Spent, ...] = ()
    questions: tuple[Questions, ...] = ()
