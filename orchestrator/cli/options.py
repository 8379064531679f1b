"""Options that several commands share."""

import getpass
import math
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=200, help="How many entries a page has.")]
Cursor = Annotated[
    str | None, typer.Option("--cursor", help="Where the next page begins, as the last page said.")
]
Actor = Annotated[
    str | None,
    typer.Option(
        "--as", "--by", metavar="NAME", help="In whose name; by default the user of the operating system."
    ),
]
Reason = Annotated[str, typer.Option("--reason", "--why", help="Why, for whoever asks later.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, or the first characters of it.")]


def actor_or_user(name: str | None) -> str:
    """The name that is written down as who did it."""
    return getpass.getuser() if name is None else name


def number(given: str) -> float:
    """A finite number, for options and arguments; “nan” and “inf” are none."""
    try:
        read = float(given)
    except ValueError:
        read = math.nan
    if not math.isfinite(read):
        raise typer.BadParameter(f"“{given}” is no number")
    return read
