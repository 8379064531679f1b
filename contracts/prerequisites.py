"""The prerequisite: something work may lack, and the workflow that supplies it."""

import re
from typing import Any

from pydantic import Field, JsonValue

from contracts.base import Contract

SUBJECT = "{subject}"
"""Where the inputs name what lacks it."""


class Prerequisite(Contract):
    """What a handler may report as missing. One job supplies it for all who lack it of one subject."""

    prerequisite: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=100)
    supplied_by: str
    """The workflow of the job that is made; its result is handed to those who waited for it."""
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    """That job's inputs; ``{subject}`` is filled in."""

    max_cost_usd: float | None = Field(default=None, gt=0)
    """What each such job may cost; beside the stops of its workflow, without one."""
    most_open: int = Field(default=100, ge=1)
    """So many of these jobs are under way at once for one tenant; who lacks more comes back when one has ended."""

    def inputs_for(self, subject: str) -> dict[str, Any]:
        """The inputs of the job that supplies it to this subject."""
        return {name: _filled(value, subject) for name, value in self.inputs.items()}

    def placeholders(self) -> set[str]:
        """Everything in the inputs that looks as if it were filled in."""
        return set(re.findall(r"\{\w*\}", str(self.inputs)))


def _filled(value: Any, subject: str) -> Any:
    match value:
        case str():
            return value.replace(SUBJECT, subject)
        case list():
            return [_filled(entry, subject) for entry in value]
        case dict():
            return {name: _filled(entry, subject) for name, entry in value.items()}
        case _:
            return value
