"""`fleet effect`: what a person found where nobody knew whether something was changed."""

import json
from typing import Annotated

import typer

from orchestrator.cli.link import fleet
from orchestrator.cli.options import Actor, AsJson, actor_or_user
from orchestrator.cli.screen import console, show_json

app = typer.Typer(help="Effects whose end nobody knew.", no_args_is_help=True)


@app.callback()
def default() -> None:
    """Effects whose end nobody knew."""


@app.command()
def settle(
    key: Annotated[str, typer.Argument(metavar="KEY", help="As the dead letter or the escalation names it.")],
    applied: Annotated[
        bool, typer.Option("--applied/--not-applied", help="Whether the change is there.", show_default=False)
    ],
    reason: Annotated[str, typer.Option("--reason", "--why", help="Where you looked, and what you found.")],
    result: Annotated[
        str | None,
        typer.Option(
            "--result", metavar="JSON", help="With --applied: what it came to, as its step delivers it."
        ),
    ] = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Say whether an effect was applied whose worker never said so. One that was counts as applied; one that was not
    is applied by the next replay.

    Example: fleet effect settle sha256:3c5f… --not-applied --reason "the ledger of the bank has no such transfer"
    """
    settled = fleet().settle_effect(key, applied, actor_or_user(actor), reason, _data(result))
    if as_json:
        return show_json(settled)
    then = "counts as applied" if applied else "counts as not applied, and a replay applies it"
    return console().print(
        f"the effect on {settled.target} {then}", highlight=False, markup=False, soft_wrap=True
    )


def _data(given: str | None) -> dict[str, object] | None:
    if given is None:
        return None
    try:
        read = json.loads(given)
    except ValueError as error:
        raise typer.BadParameter(f"--result is no JSON: {error}") from None
    if not isinstance(read, dict):
        raise typer.BadParameter("--result is no JSON object")
    return read
