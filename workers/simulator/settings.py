"""What a run of the simulator can be told: accounts, groups, limits, latency, load, seeded errors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from workers.simulator.telling import Telling


@dataclass(frozen=True)
class Limits:
    """What one (vendor, account, group) may use. Only the dimensions its vendor meters are looked at."""

    requests_per_minute: float = 1_000
    input_tokens_per_minute: float = 450_000
    output_tokens_per_minute: float = 90_000
    tokens_per_minute: float = 540_000
    """Input and output together; the only token dimension OpenAI has."""
    burst_seconds: float = 60
    """How much of an unused rate can be saved up. Vendors do not publish theirs."""
    hidden_burst_seconds: float | None = None
    """A second, shorter burst that is enforced as well. No header tells of it, until it refuses: then they show
    nothing left of what ran out, or the refusal would be taken for an overload."""
    others_share: float = 0
    """What another consumer of the same account takes of each rate, 0 to 1; headers name the whole limit."""
    concurrency: int | None = None
    """How many requests may be at work at once before the vendor calls itself overloaded."""
    headers: str = Telling.TRUE
    """What the headers about limits say; a word of ``Telling``."""

    def __post_init__(self) -> None:
        if self.headers not in list(Telling):
            raise ValueError(f"headers knows no {self.headers}; it knows {', '.join(Telling)}")
        if not 0 <= self.others_share < 1:
            raise ValueError(f"others_share is at least 0 and below 1, not {self.others_share}")


@dataclass(frozen=True)
class Latency:
    """How long an answer takes."""

    first_token_seconds: float = 0.15
    tokens_per_second: float = 3_000
    """0 means at once."""
    jitter: float = 0.3
    """Standard deviation of the logarithm of the time."""
    max_seconds: float = 30


@dataclass(frozen=True)
class Load:
    """Answers of a wanted length instead of plausible ones: a prompt's documents and the seed decide how long
    its answer wants to be, log-normally spread, and the caller's cap cuts what is longer."""

    mean_output_tokens: float = 0
    """0: no load; answers are what the prompt asks for."""
    cv: float = 1
    """The lengths' standard deviation over their mean."""


@dataclass(frozen=True)
class Errors:
    """How often a simulated model or vendor errs, 0 to 1 per call (``bad_quote``: per claim)."""

    bad_quote: float = 0.08
    short_description: float = 1.0
    cut: float = 0.03
    overload: float = 0.03


@dataclass(frozen=True)
class Batches:
    """How batches go. Their requests take nothing from the limits of live calls."""

    seconds: float = 600
    """How long a batch takes at its vendor."""
    speed_up: float = 100
    """So many of the vendor's seconds pass in one of ours."""
    expires_seconds: float = 86_400
    """At its vendor, too; what takes longer expires as a whole."""
    queued_requests: int = 100_000
    """How many an account may have waiting at once."""
    expired: float = 0
    """How often a request of a batch expires, 0 to 1."""
    errored: float = 0

    def __post_init__(self) -> None:
        if self.speed_up <= 0:
            raise ValueError(f"speed_up is above 0, not {self.speed_up}")


NO_ERRORS = Errors(bad_quote=0, short_description=0, cut=0, overload=0)


@dataclass(frozen=True)
class Settings:
    """Everything; each part has a default, an unknown key is an error."""

    seed: int = 7
    accounts: Mapping[str, str] = field(default_factory=dict)
    """API key to account; a key that is not listed belongs to the account ``default``."""
    admin_keys: Mapping[str, str] = field(default_factory=dict)
    """Admin key to the account whose limits it may read; ``simulated-admin-NAME`` may read those of the account
    that the key ``simulated-NAME`` belongs to."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Model to the group whose limits it shares; a model that is not listed is its own group."""
    limits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Overrides of ``Limits`` under ``default``, ``VENDOR``, ``VENDOR/GROUP`` or ``VENDOR/ACCOUNT/GROUP``;
    the more special wins field by field."""
    latency: Latency = field(default_factory=Latency)
    load: Load = field(default_factory=Load)
    errors: Errors = field(default_factory=Errors)
    batches: Batches = field(default_factory=Batches)

    @classmethod
    def read(cls, path: Path) -> "Settings":
        """Settings from a JSON file. Raises ``ValueError`` for a key nobody reads."""
        return cls.of(json.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Settings":
        """Settings from plain data; ``errors`` may also be the word ``none``."""
        settings: Settings = _filled(cls, given)
        errors = given.get("errors", {})
        return replace(
            settings,
            latency=_filled(Latency, given.get("latency", {})),
            load=_filled(Load, given.get("load", {})),
            batches=_filled(Batches, given.get("batches", {})),
            errors=NO_ERRORS if errors == "none" else _filled(Errors, errors),
            limits={name: _overrides(values) for name, values in settings.limits.items()},
        )

    def account_of(self, key: str) -> str:
        return self.accounts.get(key, "default")

    def group_of(self, model: str) -> str:
        return self.groups.get(model, model)

    def limits_of(self, vendor: str, account: str, group: str) -> Limits:
        """The limits of one pool, from the general overrides to the special ones."""
        merged: dict[str, Any] = {}
        for name in ("default", vendor, f"{vendor}/{group}", f"{vendor}/{account}/{group}"):
            merged |= self.limits.get(name, {})
        return Limits(**merged)


def _overrides(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Some fields of ``Limits``, looked at before the first call asks for them."""
    _filled(Limits, given)
    return given


def _checked(shape: type[Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    known = [each.name for each in fields(shape)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"{shape.__name__} knows no {', '.join(unknown)}; it knows {', '.join(known)}")
    return given


def _filled(shape: type[Any], given: Mapping[str, Any]) -> Any:
    return shape(**_checked(shape, given))
