"""Nodes: the subtasks of one job, as the deciders see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.artifacts import ArtifactRef
from contracts.base import Fact
from contracts.states import SUBTASK_ENDS, SubtaskState
from contracts.verdicts import Decision


@dataclass(frozen=True)
class Delivered:
    """What deciders know of an accepted output: never its bytes."""

    contract: str
    text: str
    output: ArtifactRef
    decision: Decision | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Node:
    """One subtask."""

    id: str
    step: str
    item: int
    round: int
    state: SubtaskState
    vendor: str | None = None
    lane: str | None = None
    """The lane it is in now, as soon as that may be another than its step's."""
    delivered: Delivered | None = None
    """Set once its report was accepted; while its state is still `reported`, it is sealed."""
    why: str = ""
    created_at: float = 0.0
    sealed_at: float | None = None
    gate_seconds: float = 0.0
    asks: str | None = None
    """The question to a person for which it is parked on a rung of its lane's ladder."""
    built_on: int | None = None
    """Which version of what an effect changes it was handed, where the effect is planned again from here."""
    stop_at: float | None = None
    """When it will have waited for too long."""

    @property
    def ended(self) -> bool:
        return self.state in SUBTASK_ENDS

    @property
    def sealed(self) -> bool:
        return self.state is SubtaskState.REPORTED and self.delivered is not None


@dataclass(frozen=True)
class Planned:
    """A subtask that does not exist yet."""

    step: str
    item: int
    round: int


def name_of(step: str, item: int, round_: int, mapped: bool) -> str:
    """What people call it: ``draft``, ``draft#2``, ``research[3]``."""
    return f"{step}{f'[{item + 1}]' if mapped else ''}{f'#{round_}' if round_ > 1 else ''}"


def current(nodes: list[Node], step: str) -> list[Node]:
    """The nodes of a step that count: for every item the one of the latest round."""
    latest: dict[int, Node] = {}
    for node in nodes:
        if node.step == step and (node.item not in latest or node.round > latest[node.item].round):
            latest[node.item] = node
    return [latest[item] for item in sorted(latest)]
