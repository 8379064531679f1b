"""The workflow: a declared plan, made of few words."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, model_validator

from contracts.base import Contract
from contracts.purposes import Purpose


class Join(StrEnum):
    """When a step may start, seen from the instances of one step it needs."""

    ALL = "all"
    """Every instance delivered."""
    ANY = "any"
    """The first delivered: a quorum of one, and the rest is cancelled."""
    BEST_EFFORT = "best_effort"
    """Every instance ended and at least one delivered; what is missing is named in the handoff."""


class Quorum(Contract):
    """So many instances delivered; who is missing then is named in the handoff."""

    quorum: int = Field(ge=1)
    rest: Literal["cancel", "leave"] = "cancel"
    """What becomes of those that have not started by then and that nothing else needs. What runs finishes."""


Need = Join | Quorum


class Ending(StrEnum):
    """What becomes of a subtask that cannot deliver."""

    DEAD = "dead"
    """A dead letter, kept whole."""
    SKIP = "skip"
    """The branch is left out; a best-effort join names it as missing. Who is left with nothing by that dies of it."""


class PlanAgain(Contract):
    """From where a step is planned again whose effect found the world changed since the state it was built on."""

    step: str
    """The step that reads the state. It and what was done behind it gets a new round, approvals included."""
    most: int = Field(default=5, ge=1, le=20)
    """After so many rounds it ends as the step's `loop` says."""


class OnTrouble(Contract):
    """What a step does when it loops, is cut or fails. There is no default: nothing by accident."""

    loop: Ending
    """Its attempts or revisions are used up."""
    cut: Literal["repair", "dead", "skip"]
    """Its answer was cut or broke its contract: one repair that is shown the fault, or an ending."""
    fail: Ending
    """It failed in a way that trying again does not change."""
    substitute: str | None = None
    """The standby step that takes its place once it has ended badly; written as ``fail: {substitute: step}``."""
    stale: PlanAgain | None = None
    """The state it was built on has changed since; only for steps with an effect."""

    @model_validator(mode="before")
    @classmethod
    def _substituted(cls, given: Any) -> Any:
        """A branch that is substituted has failed, and leaves its dead letter."""
        if isinstance(given, dict) and isinstance(given.get("fail"), dict):
            declared = given["fail"]
            if set(declared) != {"substitute"}:
                raise ValueError("fail is dead, skip or {substitute: step}")
            return {**given, "fail": Ending.DEAD, "substitute": declared["substitute"]}
        return given


class Revise(Contract):
    """A bounded edge back: objections make new subtasks of this step and of its reviewers, never a cycle."""

    objections_of: tuple[str, ...] = Field(min_length=1)
    """The reviewing steps whose verdicts are heard, together, once all are in."""
    most: int = Field(ge=0, le=5)


class Approval(Contract):
    """A person decides here."""

    of: str
    """The step whose output is approved; the answer is bound to that output's digest."""
    question: str
    expires_hours: float = Field(default=72, gt=0)
    """After this the request lapses; silence never approves."""


class ReplayClass(StrEnum):
    """What doing an effect twice would do to the world, and so what follows an end that nobody knows."""

    READ_ONLY = "read_only"
    """Nothing: it is simply done again."""
    IDEMPOTENT = "idempotent"
    """Nothing more than doing it once: the world is read first, and what is missing is done."""
    COMPENSABLE = "compensable"
    """Something that can be made good: the world is read first."""
    UNSAFE = "unsafe"
    """Harm: it is never done again by itself, and a person decides."""


class Effect(Contract):
    """What this step does to the world."""

    target: str
    """The logical target; ``{tenant}``, ``{portfolio}`` and ``{job}`` are filled in."""
    subject: str = ""
    """The part of the target that changes, where that is less than all of it; facts of what was approved are filled
    in by name, such as ``{slug}``. One effect at a time changes a subject."""
    replay_class: ReplayClass = ReplayClass.IDEMPOTENT
    disposable: bool = False
    """A target that may be thrown away needs no approval."""
    approved_by: str | None = None
    """The approval step that must have approved exactly what is handed to this one."""


class Step(Contract):
    """A node of the plan."""

    lane: str | None = None
    """None for an approval, which is nobody's lane."""
    operation: str | None = None
    """Which of the lane's operations; may be left out where the lane has one."""
    for_each: str | None = None
    """``inputs.<field>`` (a list) or a step: one subtask per item."""
    needs: dict[str, Need] = Field(default_factory=dict)
    ask: str = ""
    """The subproblem; ``{inputs.<field>}`` is filled in."""
    give: dict[str, str] = Field(default_factory=dict)
    """Context by name: ``item``, ``inputs.<field>``, ``origin.<step>`` or a needed step."""
    success: tuple[str, ...] = ()
    purpose: Purpose | None = None
    """Only where it differs from the job's: review or coordination."""
    independent_of: tuple[str, ...] = ()
    """Steps whose vendor this one's must differ from; ``origin.<step>`` names a step of the linked job."""
    sealed_with: tuple[str, ...] = ()
    """Verdicts of these steps and this one stay sealed until all are in."""
    revise: Revise | None = None
    approval: Approval | None = None
    effect: Effect | None = None
    trouble: OnTrouble | None = None
    standby: bool = False
    """It starts only where a step that names it as its substitute has ended badly, and then takes its place."""


class Stops(Contract):
    """Where a job of this workflow ends by itself, however much there still is to do. Each has its own sentence."""

    subtasks: int = Field(default=5_000, ge=1)
    """In all, revisions included; a job that would begin with more is refused."""
    rounds: int = Field(default=12, ge=1)
    """Of any step, whoever asks for another."""
    depth: int = Field(default=12, ge=1)
    """Jobs in one chain, each made out of the one before: reviewed, reopened or replayed."""
    hours: float = Field(default=30 * 24.0, gt=0)
    """From its acceptance. A pause does not stop this clock."""
    usd: float = Field(default=1000.0, gt=0)
    """Spent by its attempts. What was granted before it is seen still finishes."""
    subtask_hours: float = Field(default=7 * 24.0, gt=0)
    """From when a subtask first was ready, while no worker has it."""
    subtask_usd: float = Field(default=100.0, gt=0)
    """Spent by one subtask's attempts: then it is not tried again, on no rung of its lane's ladder."""

    def enforced(self) -> tuple[str, ...]:
        """What holds for every job, a sentence each."""
        return (
            f"at most {self.subtasks:,} subtasks and {self.rounds} rounds of a step",
            f"at most {self.depth} jobs in one chain of reviews, reopenings and replays",
            f"a job ends after {self.hours:g} h, and a subtask {self.subtask_hours:g} h after it was first ready",
            f"a job that has spent {self.usd:,.2f} USD starts nothing more, and a subtask that has spent "
            f"{self.subtask_usd:,.2f} USD is not tried again",
        )


class Workflow(Contract):
    """A declared plan: steps, what they need, and what happens when they do not deliver."""

    workflow: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    revision: int = Field(ge=1)
    title: str
    inputs: str
    """The contract of the job's inputs."""
    result: str
    """The step whose summary is the job's outcome."""
    internal: bool = False
    """Made by the clock only; refused from upstream."""
    stops: Stops = Stops()
    steps: dict[str, Step] = Field(min_length=1)

    def principal_of(self, standby: str) -> str | None:
        """The step that this one stands by for."""
        return next(
            (
                name
                for name, step in self.steps.items()
                if step.trouble and step.trouble.substitute == standby
            ),
            None,
        )

    def substitute_of(self, step: str) -> str | None:
        trouble = self.steps[step].trouble
        return trouble.substitute if trouble else None
