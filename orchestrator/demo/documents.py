"""The documents of the demo: what the distributions installed here say of themselves. Real, and everywhere."""

import re
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import PackageNotFoundError, distribution, requires

QUESTION = "What does this fleet stand on, and what does each part do for it?"
FIRST = ("celery", "kombu", "sqlalchemy", "pydantic", "anthropic", "openai", "google-genai", "redis")
"""What the fleet leans on most; the other direct requirements follow."""
SHORTEST, LONGEST = 1_000, 200_000
"""Characters of a description of decent length. A longer one is left out, since none is cut."""
DISTRIBUTION = "tuesday-fleet"


@dataclass(frozen=True)
class Description:
    """One distribution's own words."""

    name: str
    version: str
    text: str


def descriptions(most: int) -> list[Description]:
    """Up to so many, those named first before the others."""
    found = (_described(name) for name in dict.fromkeys((*FIRST, *_required())))
    return [each for each in found if each is not None][:most]


def _required() -> list[str]:
    """The names of the direct requirements, in the order in which they are declared."""
    stated = [line for line in requires(DISTRIBUTION) or [] if "extra ==" not in line]
    return [re.split(r"[^A-Za-z0-9_.-]", line, maxsplit=1)[0].lower() for line in stated]


def _described(name: str) -> Description | None:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    text = _body(found.metadata)
    if not SHORTEST <= len(text) <= LONGEST:
        return None
    return Description(name, found.version, text)


def _body(metadata: object) -> str:
    """The long description, which stands in the body or, in old metadata, in a header."""
    assert isinstance(metadata, Message)
    return str(metadata.get_payload() or metadata.get("Description") or "").strip()
