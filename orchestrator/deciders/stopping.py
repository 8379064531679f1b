"""Stopping: where a job, or one of its subtasks, ends by itself, by which rule and with which numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from contracts.failures import Code
from contracts.reports import NANO
from contracts.states import SubtaskState
from contracts.workflows import Stops, Workflow
from orchestrator.deciders.nodes import Node, Planned, name_of
from orchestrator.deciders.planning import source_of

HOUR_SECONDS = 3600.0
MOST_NAMED = 3
OLD = (SubtaskState.READY, SubtaskState.PARKED)
"""Who ages: what a worker holds has a deadline of its own, and a question to a person lapses by its own rule."""


@dataclass(frozen=True)
class Stop:
    """A rule that ends a job."""

    code: Code
    rule: str
    lasting: str = ""
    """What is the same of the rule whenever it is asked again, where that is not all of it."""

    def told_in(self, why: str) -> bool:
        """Whether this says that the rule ended something, so that it is told once."""
        return (self.lasting or self.rule) in why

    def why(self, workflow: Workflow, nodes: Sequence[Node]) -> str:
        """With what was under way."""
        open_ = [node for node in nodes if not node.ended]
        begun = [node for node in open_ if node.state is not SubtaskState.WAITING]
        named = begun or open_
        if not named:
            return self.rule
        names = [_name(workflow, node) for node in named[:MOST_NAMED]]
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        how = "under way" if begun else "not begun"
        return f"{self.rule} with {', '.join(names)}{more} {how}"


@dataclass(frozen=True)
class Clocks:
    """What a job has behind it, as its row says."""

    created_at: float
    deadline: float | None
    spent_nano_usd: int


def stop_at(stops: Stops, created_at: float, deadline: float | None) -> float:
    """When time alone ends a job: at its deadline or its age, whichever comes first."""
    old = created_at + stops.hours * HOUR_SECONDS
    return old if deadline is None else min(old, deadline)


def subtask_stop_at(stops: Stops, ready_at: float) -> float:
    """When a subtask has waited for too long."""
    return ready_at + stops.subtask_hours * HOUR_SECONDS


def stopped(stops: Stops, clocks: Clocks, at: float) -> Stop | None:
    """The rule that ends this job now, if any."""
    if clocks.deadline is not None and at >= clocks.deadline:
        return Stop(Code.TOO_LATE, f"its deadline of {moment(clocks.deadline)} passed")
    if at >= clocks.created_at + stops.hours * HOUR_SECONDS:
        return Stop(Code.STOPPED, f"it reached the age at which its workflow ends it, {stops.hours:g} h,")
    if clocks.spent_nano_usd >= stops.usd * NANO:
        spent = clocks.spent_nano_usd / NANO
        lasting = f"USD of the {stops.usd:,.2f} at which its workflow ends it"
        return Stop(Code.STOPPED, f"it spent {spent:,.2f} {lasting}", lasting)
    return None


def overgrown(workflow: Workflow, nodes: Sequence[Node], planned: Sequence[Planned]) -> Stop | None:
    """The rule that forbids these further subtasks, if any."""
    stops = workflow.stops
    if not planned:
        return None
    last = max(planned, key=lambda plan: plan.round)
    if last.round > stops.rounds:
        return Stop(
            Code.STOPPED,
            f"{last.step} would go into round {last.round}, and its workflow allows {stops.rounds},",
        )
    if len(nodes) + len(planned) > stops.subtasks:
        return Stop(
            Code.STOPPED,
            f"it has {len(nodes)} subtasks and would get {len(planned)} more, and its workflow allows "
            f"{stops.subtasks},",
        )
    return None


def aged(stops: Stops, node: Node, at: float) -> str | None:
    """Why a subtask ends that has waited for too long."""
    if node.state not in OLD or node.stop_at is None or at < node.stop_at:
        return None
    return f"it was first ready {stops.subtask_hours:g} h ago, the age at which its workflow ends a subtask"


def spent_out(stops: Stops, spent_nano_usd: int) -> str | None:
    """Why a subtask that failed is not tried again, if its attempts have spent too much."""
    if spent_nano_usd < stops.subtask_usd * NANO:
        return None
    spent = spent_nano_usd / NANO
    return f"it spent {spent:,.2f} USD of the {stops.subtask_usd:,.2f} at which its workflow tries a subtask no more"


def too_many(workflow: Workflow, count: int) -> str | None:
    """Why a job that would begin with so many subtasks is refused."""
    if count <= workflow.stops.subtasks:
        return None
    return (
        f"inputs: {workflow.workflow} would begin with {count:,} subtasks, and allows "
        f"{workflow.stops.subtasks:,} in all (stops.subtasks)"
    )


def too_deep(workflow: Workflow, jobs_before: int) -> str | None:
    """Why a job is refused that stands at the end of such a chain."""
    if jobs_before + 1 <= workflow.stops.depth:
        return None
    return (
        f"origin: {jobs_before} jobs stand before it in its chain, and {workflow.workflow} allows "
        f"{workflow.stops.depth} in all (stops.depth)"
    )


def moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _name(workflow: Workflow, node: Node) -> str:
    return name_of(node.step, node.item, node.round, source_of(workflow, node.step) is not None)
