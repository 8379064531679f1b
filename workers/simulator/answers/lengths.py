"""Lengths a prompt demands of a field, such as "a description of 50 to 300 characters"."""

import re
from dataclasses import dataclass

_FIELDS = "title|description|slug|summary|headline"
_GAP = rf"(?:(?!\b(?:{_FIELDS})\b)[^.;]){{0,80}}?"
_UNIT = r"(?:[^.;\d]{0,30}?char)?"
_RANGE = re.compile(
    rf"\b({_FIELDS})\b{_GAP}\b(\d+)\s*(?:to|and|-|–|up to)\s*(\d+)\s*(?:char|letters|signs)", re.IGNORECASE
)
_MOST = re.compile(
    rf"\b({_FIELDS})\b{_GAP}(?:at most|no more than|not more than|up to|maximum of|max\.?|under|below|"
    rf"longer than)\s+(\d+)\b{_UNIT}",
    re.IGNORECASE,
)
_LEAST = re.compile(
    rf"\b({_FIELDS})\b{_GAP}(?:at least|no less than|minimum of|shorter than)\s+(\d+)\b{_UNIT}", re.IGNORECASE
)


@dataclass(frozen=True)
class Length:
    """In characters."""

    least: int = 0
    most: int | None = None

    def __str__(self) -> str:
        if self.most is None:
            return f"at least {self.least} characters"
        return f"{self.least} to {self.most} characters" if self.least else f"at most {self.most} characters"


def stated_lengths(instructions: str) -> dict[str, Length]:
    """Field name to the length it must have; white space of the instructions is folded already."""
    found: dict[str, Length] = {}
    for name, least in _LEAST.findall(instructions):
        found[name.lower()] = Length(int(least), found.get(name.lower(), Length()).most)
    for name, most in _MOST.findall(instructions):
        found[name.lower()] = Length(found.get(name.lower(), Length()).least, int(most))
    for name, least, most in _RANGE.findall(instructions):
        found[name.lower()] = Length(int(least), int(most))
    return found
