"""Options that several commands share."""

import getpass
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=200, help="How many entries a page has.")]
Cursor = Annotated[
    str | None, typer.Option("--cursor", help="Where the next page begins, as the last page said.")
]
Actor = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="In whose name; by default the user of the operating system."),
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, or the first characters of it.")]


def actor_or_user(name: str | None) -> str:
    """The name that is written down as who did it."""
    return name or getpass.getuser()
