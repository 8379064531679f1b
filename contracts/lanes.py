"""The lane: a kind of worker, with its card. One file of the catalog each."""

from enum import StrEnum

from pydantic import Field, model_validator

from contracts.base import Contract


class Regime(StrEnum):
    """How a lane spends its time, which decides the pool its workers need."""

    WAITING = "waiting"
    """On sockets: a pool of threads."""
    COMPUTING = "computing"
    """On the processor: a pool of processes."""
    UPKEEP = "upkeep"
    """On the ledger itself: the fleet's own maintenance worker."""


class Tier(StrEnum):
    """The capability that a lane names; the cheapest that meets its standard."""

    CHEAP = "cheap"
    MID = "mid"
    FRONTIER = "frontier"


class Right(StrEnum):
    """What a lane may do to the world."""

    READ_ONLY = "read_only"
    EFFECT = "effect"
    CARRY = "carry"
    """It carries batches of other lanes' requests to their vendors, and asks nothing for itself."""
    LIMITS = "limits"
    """It asks vendors what they allow their accounts, with keys for that alone."""


class Operation(Contract):
    """One thing a lane can do: the code that does it, and what comes out."""

    handler: str
    output: str
    """The contract of the payload it makes."""


class Model(Contract):
    """The model a lane works with, and its caps for one attempt."""

    vendor: str
    group: str
    name: str
    tier: Tier
    max_output_tokens: int = Field(ge=1)
    expected_output_tokens: int = Field(ge=1)
    """What an answer usually takes; reserved at dispatch, corrected at the report."""
    timeout_seconds: float = Field(gt=0, le=600)
    batch: bool = False
    """Whether maintenance may go by its vendor's batches, which take up to a day and cost half."""


class Rung(Contract):
    """One rung of a lane's ladder: the one thing that is different from here on. What lower rungs gave is kept."""

    richer: bool = False
    """More of what there is: everything that was tried, and what `give` names of the job."""
    give: dict[str, str] = Field(default_factory=dict)
    """Context by name, as steps give it; only on a richer rung. A step that has not delivered gives nothing."""
    narrower: str | None = Field(default=None, min_length=3, max_length=2000)
    """Added to the subproblem, so that less is asked."""
    model: Model | None = None
    """Another model, of this vendor or of another."""
    lane: str | None = None
    """A peer lane, one of whose operations makes the same output."""
    human: str | None = Field(default=None, min_length=3, max_length=500)
    """A question to a person, who allows one more try with a note of theirs or ends it."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> "Rung":
        words = [self.richer, self.narrower, self.model, self.lane, self.human]
        if sum(bool(word) for word in words) != 1:
            raise ValueError("a rung says exactly one of richer, narrower, model, lane and human")
        if self.give and not self.richer:
            raise ValueError("only a richer rung gives more context")
        return self

    def told(self) -> str:
        """What it changes, in a few words."""
        if self.model:
            return f"model {self.model.name} of {self.model.vendor}"
        if self.lane:
            return f"lane {self.lane}"
        if self.human:
            return "a person"
        return "a narrower task" if self.narrower else "richer context"


class Attempts(Contract):
    """How often a subtask of this lane may be tried."""

    most: int = Field(default=4, ge=1, le=20)
    """Attempts that ran, whatever came of them; on each rung of its ladder anew."""
    repairs: int = Field(default=1, ge=0, le=3)
    """Of these, attempts after an answer that was cut or broke its contract."""
    crashes: int = Field(default=3, ge=1, le=10)
    """Lost leases after which the subtask is taken to kill its workers. What is lost together with others
    counts none of them, and is suspected when that happens again."""
    limited: int = Field(default=50, ge=1, le=1000)
    """Attempts that a limit or an overload turned away, that came before something was finished or supplied, or
    that were lost together with others, which are no tries; then the subtask ends as its step says of loops."""
    backoff_seconds: float = Field(default=1.0, gt=0)
    """Before the second attempt; doubled for each further one."""
    backoff_cap_seconds: float = Field(default=60.0, gt=0)


class Lane(Contract):
    """A lane's card. What is enforced without any prompt is derived from it by `enforced`."""

    lane: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    revision: int = Field(ge=1)
    job: str
    owner: str
    kpi: str
    definition_of_done: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    evidence: tuple[str, ...]
    stopping_rule: str
    maximum_damage: str
    bottleneck: str
    """What justifies a lane of its own: domain isolation, parallel work or a compliance boundary."""
    regime: Regime
    right: Right = Right.READ_ONLY
    operations: dict[str, Operation] = Field(min_length=1)
    model: Model | None = None
    attempts: Attempts = Attempts()
    ladder: tuple[Rung, ...] = Field(default=(), max_length=6)
    """What is changed, one thing after the other, when judgement fails or an answer could not be repaired."""
    deadline_seconds: float = Field(default=300.0, gt=0)
    """How long one attempt may run, however diligently it beats."""
    instructions: str = ""
    """The lane's standing instructions to its model."""
    repeatable: bool = False
    """Whether the same question on the same material may be answered as it was before in the same tenant.
    What names one job must not matter to its answers: its ids, its portfolio, its step and its purpose."""
    repeatable_for_hours: float = Field(default=24.0, gt=0)
    """How long an answer is given again."""

    def enforced(self) -> tuple[str, ...]:
        """What holds for this lane whatever any prompt says, a sentence each."""
        outputs = ", ".join(sorted({operation.output for operation in self.operations.values()}))
        rules = [
            f"its output is checked against {outputs} before anything downstream may see it",
            f"at most {self.attempts.most} attempts, {self.attempts.repairs} of them to repair an answer, "
            f"and {self.attempts.crashes} crashes",
            f"at most {self.attempts.limited} attempts turned away by a limit or an overload, which are no tries",
            *self._climbing(),
            f"an attempt that runs longer than {self.deadline_seconds:g} s is taken away from its worker",
            "how long its subtasks may wait, and how large, old, deep and dear a job may grow, is bounded by the "
            "workflow's `stops`",
            "while it, its vendor, the tenant, the workflow or the fleet is paused, nothing of it starts",
            "it reports and never decides what happens next",
        ]
        if self.right is not Right.EFFECT:
            rules.append("it holds no effect right: a handoff of this lane never carries an effect grant")
        else:
            rules.append(
                "an effect needs a grant with a key, an intent written before and a result after; "
                "the same key is never applied twice"
            )
        if self.model:
            rules.append(
                f"it calls {self.model.name} of {self.model.vendor} and nothing else{self._but()}, "
                "one request an attempt"
            )
            rules.append(
                f"at most {self.model.max_output_tokens} output tokens an attempt, reserved from the budget "
                f"{self.model.vendor}/{self.model.group} before the call"
            )
            if self.model.batch:
                rules.append(
                    f"maintenance may go by a batch of {self.model.vendor}, once; what comes back without an "
                    "answer is asked live"
                )
        elif self.right is Right.CARRY:
            rules.append(
                "it hands other lanes' requests to their vendors, each under its own attempt, and a batch at "
                "most once; it asks no model for itself"
            )
        elif self.right is Right.LIMITS:
            rules.append("it reads the limits of accounts with keys of their own, and calls no model")
        else:
            rules.append("it holds no vendor key and calls no model")
        if self.repeatable:
            rules.append(
                "a question that was asked before in the same tenant, with the same material, is answered as it "
                f"was then for {self.repeatable_for_hours:g} h, without a request"
            )
        return tuple(rules)

    def _climbing(self) -> tuple[str, ...]:
        if not self.ladder:
            return ()
        rungs = ", then ".join(rung.told() for rung in self.ladder)
        return (
            f"when judgement fails or an answer could not be repaired: {rungs}; each for as many attempts and "
            "repairs again, and then no further",
        )

    def _but(self) -> str:
        """The models that its ladder names besides its own."""
        others = [f"{rung.model.name} of {rung.model.vendor}" for rung in self.ladder if rung.model]
        return f" but, where its ladder says so, {', '.join(others)}" if others else ""
