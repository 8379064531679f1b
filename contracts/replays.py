"""The replay: ended work run again as new, linked jobs; what is selected, by whom, why and how fast."""

from enum import StrEnum
from typing import Any, Self

from pydantic import AwareDatetime, Field, JsonValue, model_validator

from contracts.base import Contract

MOST_IDS = 1000
"""More than these are selected by a filter."""
MOST_OPEN = 50
"""How many jobs of one replay are open at once, unless its request says otherwise."""


class ReplayState(StrEnum):
    RUNNING = "running"
    """In: opened. Out: nothing waits and nothing is open, or it is aborted."""
    DONE = "done"
    """Every item has its end, whether good or bad."""
    ABORTED = "aborted"
    """Nothing more is released; what was released goes on to its own end."""


class ItemState(StrEnum):
    WAITING = "waiting"
    RELEASED = "released"
    """Its new job is under way."""
    DONE = "done"
    FAILED = "failed"
    """Its new job failed or was cancelled; the replay does not take it up again."""
    REFUSED = "refused"
    """It could not be released, for a reason of its own."""
    ABORTED = "aborted"


class Selection(Contract):
    """Which ended work: ids, or a filter of at least one word. A filter finds the jobs of dead letters that nobody
    discarded and no replay has taken up yet, except cancelled jobs and those that are done and have applied an effect
    that nobody found wrong."""

    ids: tuple[str, ...] = Field(default=(), max_length=MOST_IDS)
    """Jobs or subtasks. A subtask is made anew with everything behind it."""
    signature: str | None = Field(default=None, max_length=71)
    """The digest of dead letters of one kind; the API takes how it begins, too."""
    lane: str | None = Field(default=None, max_length=64)
    category: str | None = Field(default=None, max_length=64)
    code: str | None = Field(default=None, max_length=64)
    tenant: str | None = Field(default=None, max_length=64)
    workflow: str | None = Field(default=None, max_length=64)
    since: AwareDatetime | None = None
    """Died then or later."""
    until: AwareDatetime | None = None
    """Died before then."""
    paused: str | None = Field(
        default=None, max_length=110, pattern=r"^(fleet|(lane|vendor|tenant|workflow) \S.*)$"
    )
    """What was held, as ``fleet`` or ``lane draft``: what its deadline or its age ended meanwhile. What is held still
    waits, and goes on by itself when it may."""
    downstream_of: str | None = Field(default=None, max_length=26)
    """A subtask whose result was wrong: every job that it stands in, that took it over or that was built on it."""

    @model_validator(mode="after")
    def _selects_one_way(self) -> Self:
        named = [bool(self.ids), self.downstream_of is not None, bool(self.filter())]
        if not any(named):
            listing = ", ".join(name for name in type(self).model_fields)
            raise ValueError(f"an empty selection selects nothing; name at least one of {listing}")
        if sum(named) > 1:
            raise ValueError("select by ids, by downstream_of or by a filter, one of the three at a time")
        return self

    def filter(self) -> dict[str, Any]:
        """The words of the filter that are set."""
        return {
            name: value for name, value in self if name not in ("ids", "downstream_of") and value is not None
        }


class ReplayRequest(Contract):
    """The body of ``POST /v1/replays``."""

    selection: Selection
    requested_by: str = Field(min_length=1, max_length=100)
    reason: str = Field(default="", max_length=500)
    """Needed to open a replay, not to look at what it would do."""
    approved_by: str | None = Field(default=None, min_length=1, max_length=100)
    """Somebody else than the requester, where a step could harm if it were done twice."""
    edit: tuple[dict[str, JsonValue], ...] | None = Field(default=None, min_length=1, max_length=100)
    """A JSON Patch (RFC 6902) of each job's inputs."""
    from_step: str | None = Field(default=None, min_length=1, max_length=64)
    """This step and everything behind it is made anew, although it was done."""
    per_minute: float | None = Field(default=None, gt=0, le=100_000)
    """At most so many jobs are released in a minute."""
    most_open: int = Field(default=MOST_OPEN, ge=1, le=1000)
    """At most so many of its jobs are under way at once."""
    again: bool = False
    """Go on although a later job of a selected one's chain of replays is under way, was done or has applied an
    effect, or although a job that is named by its id is done and what it applied stands. What ended otherwise needs
    no such word."""
    dry_run: bool = True
    """Only say what would be done."""


class AbortRequest(Contract):
    """The body of ``POST /v1/replays/{id}/abort``."""

    by: str = Field(min_length=1, max_length=100)
    why: str = Field(min_length=3, max_length=500)
    cancel: bool = False
    """Cancel what was released and is still open, too; also of a replay that was aborted before."""
