"""`fleet budgets`: what each vendor account allows, what is left of it, and what may be spent."""

from typing import Annotated

import typer

from orchestrator.cli import tuning
from orchestrator.cli.budget_tables import budgets_shown, caps_shown, shares_shown
from orchestrator.cli.link import fleet
from orchestrator.cli.options import Actor, AsJson, Reason, actor_or_user, number
from orchestrator.cli.screen import console, show_json

app = typer.Typer(
    help="Budgets: what each vendor account allows, what is left of it, and what may be spent.",
    invoke_without_command=True,
)


@app.callback()
def default(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what each vendor account allows, what is left of it now and what is reserved, the shares that are kept
    for kinds of work, and the spending caps.

    Example: fleet budgets
    """
    if context.invoked_subcommand is not None:
        return None
    client = fleet()
    page, shares, caps = client.budgets(), client.shares(), client.spending_caps()
    if as_json:
        parts = {"shares": shares.model_dump(mode="json"), "caps": caps.model_dump(mode="json")["items"]}
        return show_json(page.model_dump(mode="json") | parts)
    out = console()
    out.print(budgets_shown(page.items))
    closed = next((budget.key for budget in page.items if budget.closed_until), None)
    if closed:
        opening = f'`fleet budgets open {closed} --reason "…"`'
        out.print(f"\nonce its cause is mended: {opening}, or wait until it opens by itself", style="dim")
    out.print()
    out.print(shares_shown(shares))
    if caps.items:
        out.print("\n[bold]spending caps[/]")
        out.print(caps_shown(caps.items))
    return None


app.command("set", context_settings=tuning.NUMBERS)(tuning.set_)
app.command("open")(tuning.open_)
app.command(context_settings=tuning.NUMBERS)(tuning.floor)
app.command(context_settings=tuning.NUMBERS)(tuning.weight)
app.command()(tuning.changes)


@app.command()
def cap(
    scope: Annotated[str, typer.Argument(metavar="SCOPE", help="fleet, tenant, lane, purpose or job.")],
    reason: Reason,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Which of them; nothing for the fleet, the id of a job.")
    ] = "",
    per: Annotated[str, typer.Option("--per", help="day (in UTC) or total; a job's cap is total.")] = "total",
    usd: Annotated[
        float | None, typer.Option("--usd", parser=number, help="How many dollars may be spent.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the cap.")] = False,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Set, raise, lower or remove a spending cap.

    At the cap work is parked with its reason; what runs finishes. Once there is room, parked work goes on.
    Example: fleet budgets cap tenant acme --per day --usd 5 --reason "trial month"
    """
    if remove == (usd is not None):
        raise typer.BadParameter("say either --usd or --remove")
    client = fleet()
    if scope == "job":
        name = client.job(name).id
    caps = client.set_spending_cap(scope, name, per, usd, actor_or_user(actor), reason)
    if as_json:
        return show_json(caps)
    if scope == "job":
        return console().print(
            f"job {name} " + (f"may spend ${usd:,.2f}" if usd is not None else "has no cap")
        )
    return console().print(caps_shown(caps.items) if caps.items else "no spending caps")
