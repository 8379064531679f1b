"""The payloads of the fleet's own upkeep."""

from typing import ClassVar

from pydantic import Field

from contracts.base import Contract, Fact, Payload


class Inputs(Contract):
    """What a job of the clock is about: what the tick's look found."""

    contract: ClassVar[str] = "upkeep.Inputs@1"

    tick: str
    slot: str
    found: dict[str, Fact] = Field(default_factory=dict)
    subjects: tuple[str, ...] = Field(default=(), max_length=200)
    """Ids of the jobs or subtasks it is about."""


class Findings(Payload):
    """What a pass of upkeep found, and what it opened because of it."""

    contract: ClassVar[str] = "upkeep.Findings@1"

    sentence: str
    found: dict[str, Fact] = Field(default_factory=dict)
    subjects: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    """Ids of jobs or escalations that this pass opened."""

    def headline(self) -> str:
        return self.sentence

    def facts(self) -> dict[str, Fact]:
        return dict(self.found) | {"subjects": len(self.subjects), "opened": len(self.opened)}
