"""`fleet drill`: escalations, drills among them, and the note that somebody heard."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from orchestrator.cli.link import fleet
from orchestrator.cli.options import Actor, AsJson, Cursor, Limit, actor_or_user
from orchestrator.cli.screen import age, console, more, show_json, table, text

NAMED = "NAME"


class _Drills(TyperGroup):
    """What is no command is the name of a drill."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        named = bool(args) and args[0] not in self.commands and not args[0].startswith("-")
        return super().resolve_command(ctx, [NAMED, *args] if named else args)


app = typer.Typer(
    cls=_Drills,
    help="Escalations and their drills: is a person reached? `fleet drill NAME` has one done now.",
    invoke_without_command=True,
)


@app.callback()
def default(context: typer.Context, as_json: AsJson = False) -> None:
    """Escalations and their drills: is a person reached? Without a command they are listed."""
    if context.invoked_subcommand is None:
        listing(as_json=as_json)


@app.command("list")
def listing(
    open_only: Annotated[bool, typer.Option("--open", help="Only those that nobody took note of.")] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List escalations, the newest first.

    Example: fleet drill list --open
    """
    page = fleet().escalations(open_only, limit, cursor)
    if as_json:
        return show_json(page)
    if not page.items:
        return console().print("no escalation yet")
    calls = table("id", "route", "", "opened", "heard by", "what")
    for call in page.items:
        kind, heard = "drill" if call.drill else "real", call.acknowledged_by or ""
        calls.add_row(call.id, text(call.route), kind, age(call.opened_at), text(heard), text(call.sentence))
    console().print(calls)
    if unheard := next((call.id for call in page.items if not call.acknowledged_by), None):
        console().print(f"to say that you heard one: `fleet drill acknowledge {unheard}`", style="dim")
    return more(page.next_cursor, "fleet drill list", {"open": open_only})


@app.command(NAMED, hidden=True)
def begin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which drill, as the catalog's ticks name it.")],
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Have a drill done now that the clock does on schedule: the way to a person is walked for real.

    Example: fleet drill escalation
    """
    job = fleet().drill(name, actor_or_user(actor))
    if as_json:
        return show_json(job)
    heard = "`fleet drill list` shows whether somebody has heard it"
    told = f"drill {name} is under way as job {job.id}; {heard}"
    return console().print(text(told), soft_wrap=True)


@app.command()
def acknowledge(
    call: Annotated[str, typer.Argument(metavar="ID", help="The escalation's id.")],
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Say that you have heard an escalation.

    Example: fleet drill acknowledge 01JD5Q2XB0C8R4N1T6WQ9ZK3FM --as grace
    """
    read = fleet().acknowledge(call, actor_or_user(actor))
    if as_json:
        return show_json(read)
    return console().print(f"{read.id} was heard by {text(read.acknowledged_by)}")
