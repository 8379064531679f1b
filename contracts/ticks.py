"""Ticks: what the clock makes work of, and when."""

from pydantic import Field

from contracts.base import Contract, Fact


class Tick(Contract):
    """One job of the clock. Its cadence stands in `beat_schedule.py`; a slot is a multiple of it."""

    tick: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    look: str
    """The look that finds out, without a token, whether there is anything to do."""
    workflow: str
    """The workflow of the job that does it."""
    reason: str
    portfolio: str = "fleet"
    drill: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9-]*$")
    """The name by which a person may have it done at any time, where it only exercises a path."""
    settings: dict[str, Fact] = Field(default_factory=dict)
    """Parameters of the look, in the units their names say."""
