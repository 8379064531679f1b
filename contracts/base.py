"""The two base classes of everything that crosses a seam."""

import re
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict

UNKEPT = re.compile("[\x00\ud800-\udfff]")
"""What no database keeps in a text: NUL, and half of a surrogate pair."""


def _kept(value: object) -> object:
    return UNKEPT.sub("\ufffd", value) if isinstance(value, str) else value


Told = Annotated[str, BeforeValidator(_kept)]
"""Words from outside that the ledger keeps: what it cannot keep of them is replaced, since the work is paid for."""

Fact = Told | int | float | bool
"""What a fact in a summary may be: small, and readable without a contract."""


class Contract(BaseModel):
    """Immutable typed data; an unknown field is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Payload(Contract):
    """The full typed output of an operation. It is kept as an artifact; what crosses the seam is its
    summary, which the worker compresses out of the methods below."""

    contract: ClassVar[str]
    """The name and version under which the catalog knows this payload, such as ``brief.Draft@1``."""

    def headline(self) -> str:
        """One sentence that says what was produced."""
        raise NotImplementedError(f"{type(self).__name__} has no headline")

    def render(self) -> str:
        """The payload as text for a model or a person; line numbers of findings count its lines."""
        return self.model_dump_json(indent=1)

    def stated_confidence(self) -> float | None:
        """The author's own confidence, 0 to 1, or None where the payload is exact."""
        return None

    def stated_questions(self) -> tuple[str, ...]:
        """What the payload leaves open."""
        return ()

    def facts(self) -> dict[str, Fact]:
        """The few figures and names that deciders, pages and people need without opening the artifact."""
        return {}
