"""Switches: what is paused or killed, as read from the rows that say so; what cannot be read stops everything."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from typing import Any

LATEST = 32_503_680_000.0
"""The year 3000: a moment behind it is none that anybody meant."""
CLOCK_SLACK_SECONDS = 86400.0
"""So far a database's clock may have been set back since a row was written."""


class Scope(StrEnum):
    """What a switch can hold."""

    FLEET = "fleet"
    LANE = "lane"
    VENDOR = "vendor"
    TENANT = "tenant"
    WORKFLOW = "workflow"


@dataclass(frozen=True)
class Work:
    """What a switch may hold, by its names; None where it has none of the kind."""

    lane: str | None = None
    vendor: str | None = None
    tenant: str | None = None
    workflow: str | None = None


@dataclass(frozen=True)
class Switch:
    """One row that could be read."""

    scope: Scope
    name: str
    """Empty for the fleet."""
    kills: bool
    by: str
    why: str
    at: float
    until: float | None

    @property
    def words(self) -> str:
        return called(self.scope, self.name)

    def holds(self, work: Work) -> bool:
        names = {
            Scope.LANE: work.lane,
            Scope.VENDOR: work.vendor,
            Scope.TENANT: work.tenant,
            Scope.WORKFLOW: work.workflow,
        }
        return self.scope is Scope.FLEET or names[self.scope] == self.name

    def stands(self, at: float) -> bool:
        return self.until is None or self.until > at

    @property
    def sentence(self) -> str:
        """Who holds it since when, why, and how it ends."""
        did = "killed" if self.kills else "paused"
        until = f" until {_clock(self.until)}" if self.until is not None else ""
        command = f"`fleet resume {' '.join(filter(None, (self.scope, self.name)))}`"
        return f"{self.words} is {did} by {self.by} since {_clock(self.at)}{until}: {self.why}; {command}"


@dataclass(frozen=True)
class Standing:
    """All switches as they stand at one moment."""

    switches: tuple[Switch, ...] = ()
    """Those in force."""
    over: tuple[Switch, ...] = ()
    """Those whose time has passed: they hold nothing any more."""
    broken: tuple[str, ...] = ()
    """A sentence for each row that cannot be read. With any, the whole fleet counts as killed."""

    def holder(self, work: Work) -> str | None:
        """Why this work is held, the widest reason first; None where it is free."""
        if self.broken:
            return self.broken[0]
        held = next((switch for switch in self.switches if switch.holds(work)), None)
        return held.sentence if held else None

    def held_scope(self, work: Work) -> str | None:
        """What is paused that holds this work, in words that do not change while it stands."""
        if self.broken:
            return called(Scope.FLEET, "")
        return next((switch.words for switch in self.switches if switch.holds(work)), None)

    def names(self, scope: Scope) -> list[str]:
        """What is held of a scope."""
        return [switch.name for switch in self.switches if switch.scope is scope]

    @property
    def all_stopped(self) -> bool:
        return bool(self.broken or self.names(Scope.FLEET))


def read(rows: Iterable[Any], at: float) -> Standing:
    """The standing at this moment. A row of an unknown scope, without the name that its scope needs, or with
    a moment that makes no sense is broken: nobody can say what it was to hold."""
    found, broken = [], []
    for row in rows:
        problem = _problem(row, at)
        if problem:
            broken.append(
                f"the whole fleet is stopped, as the pause “{row.scope} {row.name}”".rstrip(" ”")
                + f"” cannot be read: {problem}; `fleet resume {row.scope} {row.name}".rstrip()
                + "` removes it"
            )
        else:
            found.append(
                Switch(Scope(row.scope), row.name, bool(row.kills), row.by, row.why, row.at, row.until)
            )
    widest_first = sorted(found, key=lambda switch: (list(Scope).index(switch.scope), switch.name))
    return Standing(
        switches=tuple(switch for switch in widest_first if switch.stands(at)),
        over=tuple(switch for switch in widest_first if not switch.stands(at)),
        broken=tuple(broken),
    )


def called(scope: str, name: str) -> str:
    """What a scope is called in a sentence."""
    return f"{scope} {name}" if name else f"the {scope}"


def skipped(words: str) -> str:
    """What is written down of a tick that made no job since this is paused."""
    return f"skipped: {words} is paused"


def _problem(row: Any, at: float) -> str:
    """What is wrong with a row; the statements of the door hold the same against it."""
    if row.scope not in set(Scope):
        return f"there is no scope {row.scope} (known are: {', '.join(Scope)})"
    if (row.scope == Scope.FLEET) == bool(row.name):
        return "the fleet has no name" if row.name else f"it names no {row.scope}"
    if not _is_moment(row.at, 0.0, at + CLOCK_SLACK_SECONDS):
        return f"it stands since {row.at}, which is no moment before now"
    if row.until is not None and not _is_moment(row.until, row.at, LATEST):
        return f"it ends at {row.until}, which is no moment after its begin"
    return ""


def _is_moment(value: Any, earliest: float, latest: float) -> bool:
    return isinstance(value, int | float) and isfinite(value) and earliest <= value <= latest


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
