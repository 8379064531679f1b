"""The board: a job's steps and how far each is, drawn from its events."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.spinner import Spinner
from rich.text import Text

from orchestrator.cli.screen import span, state, table

if TYPE_CHECKING:
    from orchestrator.reads.events import EventRead
    from orchestrator.reads.outcomes import JobRead
    from orchestrator.reads.subtasks import SubtaskLine

_SHOWN = ("running", "submitted", "dispatched", "reported", "ready", "parked", "dead", "skipped", "cancelled")
"""States that are counted on the board, in this order; what waits for its needs is what is left."""


_UNTOLD = {"waiting", "ready", "dispatched", "running"}
"""Moves into these say nothing that the state itself does not."""


@dataclass
class Step:
    """One step's subtasks by name, with the state each is in."""

    states: dict[str, str] = field(default_factory=dict)
    began_at: float | None = None
    ended_at: float | None = None
    said: str = ""

    def seconds(self, now: float) -> float | None:
        return None if self.began_at is None else (self.ended_at or now) - self.began_at


@dataclass
class Board:
    """Steps in the order of the plan. An event of an unknown subtask makes it read the job anew."""

    read: Callable[[], "JobRead"]
    clock: Callable[[], float] = time.monotonic
    steps: dict[str, Step] = field(default_factory=dict)
    step_of: dict[str, str] = field(default_factory=dict)
    job_state: str = ""

    def hear(self, event: "EventRead") -> None:
        """Takes one event in."""
        if event.subtask is None:
            self.job_state = event.new or self.job_state
            return
        if event.subtask not in self.step_of:
            self._learn(self.read().subtasks)
        step = self.steps.get(self.step_of.get(event.subtask, ""))
        if step is None or event.new is None:
            return
        step.states[event.subtask] = event.new
        if event.new not in _UNTOLD:
            step.said = event.sentence or step.said
        self._time(step)

    def _learn(self, subtasks: "tuple[SubtaskLine, ...]") -> None:
        for line in subtasks:
            self.step_of[line.name] = line.step
            self.steps.setdefault(line.step, Step()).states.setdefault(line.name, "waiting")

    def _time(self, step: Step) -> None:
        states = set(step.states.values())
        if step.began_at is None and states & {"ready", "dispatched", "running", "parked"}:
            step.began_at = self.clock()
        over = states <= {"done", "dead", "skipped", "cancelled"}
        step.ended_at = self.clock() if over else None

    def __rich__(self) -> RenderableType:
        made, now = table("step", "", "time", "last", right=["time"]), self.clock()
        for name, step in self.steps.items():
            seconds = step.seconds(now)
            made.add_row(name, _counts(step), "" if seconds is None else span(seconds), _short(step.said))
        spinner = Spinner("dots", Text(self.job_state.replace("_", " ") or "accepted", style="bold"))
        return Group(made, spinner)


def _counts(step: Step) -> str:
    counts = Counter(step.states.values())
    others = "".join(f"  {counts[word]} {state(word)}" for word in _SHOWN if counts[word])
    return f"{counts['done']}/{len(step.states)}{others}"


def _short(sentence: str, most: int = 70) -> Text:
    return Text(sentence if len(sentence) <= most else sentence[: most - 1] + "…", style="dim")
