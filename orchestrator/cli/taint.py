"""`fleet taint`: a result that was found wrong."""

from typing import Annotated

import typer

from orchestrator.cli.link import fleet
from orchestrator.cli.options import Actor, AsJson, actor_or_user
from orchestrator.cli.screen import console, show_json


def taint(
    subtask: Annotated[
        str, typer.Argument(metavar="SUBTASK", help="The subtask's id, or the first characters of it.")
    ],
    why: Annotated[str, typer.Option("--why", "--reason", help="What is wrong with its result.")],
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Mark a result as wrong, and everything that was built on it.

    Its answer is not given again and no effect is built on it any more; what was made of it stays as it is.

    Example: fleet taint 01JD5Q2X --why "the source was withdrawn"
    """
    marked = fleet().taint(subtask, actor_or_user(actor), why)
    if as_json:
        return show_json(marked)
    return console().print(
        f"{marked.cause} is marked as wrong, with all that was built on it: {marked.results} result(s) in "
        f"{marked.jobs} job(s), {marked.effects} applied effect(s) among them; `{marked.replay}` shows what making "
        f"them anew would do"
        + ("; what was applied stands until somebody takes it down" if marked.effects else ""),
        highlight=False,
        soft_wrap=True,
    )
