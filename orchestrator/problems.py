"""What upstream and people are told when something is refused: one sentence each, with its HTTP status."""

from collections.abc import Mapping, Sequence
from typing import Any

MOST_FAULTS = 8

ID = r"^[0-9A-Za-z]{1,26}$"
WORD = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
KEY = r"^[\x21-\x7e]+$"
LONGEST_KEY = 200

SHAPES = {
    ID: "an id has letters and digits only, at most 26",
    WORD: "it has letters, digits, dots, dashes and underscores only, and begins with a letter or digit",
    KEY: f"a key has printable ASCII characters without spaces, at most {LONGEST_KEY}",
    r"^[a-z0-9][a-z0-9._-]*$": (
        "a name has lower-case letters, digits, dots, dashes and underscores, at most 64, "
        "and begins with a letter or digit"
    ),
    r"^sha256:[0-9a-f]{64}$": "a digest is “sha256:” and 64 hexadecimal digits",
}
"""What a text has to look like, by its regular expression, for whoever reads none."""


class Problem(Exception):
    """A refusal that changed nothing."""

    status = 400
    title = "refused"


class Malformed(Problem):
    """The body breaks its contract."""

    status = 422
    title = "the request breaks its contract"


class NotFound(Problem):
    status = 404
    title = "not found"


class Conflict(Problem):
    status = 409
    title = "conflicts with what is already there"


class TooLarge(Problem):
    status = 413
    title = "too large"


class Forbidden(Problem):
    status = 403
    title = "not allowed"


def faults(errors: Sequence[Mapping[str, Any]], root: str = "") -> str:
    """Pydantic's errors as one sentence that names each field under `root` and what was expected of it."""
    true = [error for error in errors if not _is_consequence(error)]
    told = [_fault(error, root) for error in true[:MOST_FAULTS]]
    more = len(true) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _is_consequence(error: Mapping[str, Any]) -> bool:
    """Pydantic counts only the entries that were valid: too few of those is no fault of its own."""
    if error["type"] != "too_short" or not isinstance(error["input"], list | tuple):
        return False
    return len(error["input"]) >= int(error["ctx"]["min_length"])


def _fault(error: Mapping[str, Any], root: str) -> str:
    if error["type"] == "json_invalid":
        return f"the body is not JSON: {error['ctx']['error']} at character {error['loc'][-1]}"
    place = ".".join(str(part) for part in (root, *error["loc"]) if part != "") or "the body"
    return f"{place}: {_expected(error)}"


def _expected(error: Mapping[str, Any]) -> str:
    match error["type"]:
        case "missing":
            return "it is missing"
        case "extra_forbidden":
            return "no such field is known"
        case "too_short":
            return f"it needs at least {error['ctx']['min_length']} and has {error['ctx']['actual_length']}"
        case "string_pattern_mismatch" if error["ctx"]["pattern"] in SHAPES:
            return SHAPES[error["ctx"]["pattern"]]
        case _:
            message = str(error["msg"]).removeprefix("Value error, ")
            return f"{message[:1].lower()}{message[1:]}"
