"""`fleet budgets`: what each vendor account allows, what is left of it, and what may be spent."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from orchestrator.cli.link import fleet
from orchestrator.cli.options import AsJson, actor_or_user
from orchestrator.cli.screen import console, show_json, table, text

if TYPE_CHECKING:
    from orchestrator.reads.budgets import BudgetRead
    from orchestrator.reads.caps import CapRead
    from orchestrator.reads.paging import Page

app = typer.Typer(
    help="Budgets: what each vendor account allows, what is left of it, and what may be spent.",
    invoke_without_command=True,
)


@app.callback()
def default(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what each vendor account allows, what is left of it now and what is reserved, and the spending caps.

    Example: fleet budgets
    """
    if context.invoked_subcommand is not None:
        return None
    client = fleet()
    page, caps = client.budgets(), client.spending_caps()
    if as_json:
        return show_json(page.model_dump(mode="json") | {"caps": caps.model_dump(mode="json")["items"]})
    out = console()
    out.print(_budgets(page))
    if caps.items:
        out.print("\n[bold]spending caps[/]")
        out.print(_caps(caps))
    return None


@app.command()
def cap(
    scope: Annotated[str, typer.Argument(metavar="SCOPE", help="fleet, tenant, lane, purpose or job.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever asks later.")],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Which of them; nothing for the fleet, the id of a job.")
    ] = "",
    per: Annotated[str, typer.Option("--per", help="day (in UTC) or total; a job's cap is total.")] = "total",
    usd: Annotated[float | None, typer.Option("--usd", help="How many dollars may be spent.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the cap.")] = False,
    by: Annotated[
        str | None,
        typer.Option(
            "--by", metavar="NAME", help="Who says so; by default the user of the operating system."
        ),
    ] = None,
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
    caps = client.set_spending_cap(scope, name, per, usd, actor_or_user(by), reason)
    if as_json:
        return show_json(caps)
    if scope == "job":
        return console().print(
            f"job {name} " + (f"may spend ${usd:,.2f}" if usd is not None else "has no cap")
        )
    return console().print(_caps(caps) if caps.items else "no spending caps")


def _budgets(page: "Page[BudgetRead]") -> Table:
    listing = table("budget", "of", "limit", "left", "reserved", "state", right=["limit", "left", "reserved"])
    for budget in page.items:
        closed = (
            f"closed until {budget.closed_until.astimezone():%H:%M:%S}: {budget.closed_why}"
            if budget.closed_until
            else "open"
        )
        for number, each in enumerate(budget.dimensions):
            name, _, per_day = each.dimension.partition("_per_")
            per = "" if name == "concurrency" else " a day" if per_day else " a minute"
            listing.add_row(
                text(budget.key) if number == 0 else "",
                name.replace("_", " "),
                f"{each.limit:,.0f}{per}",
                f"{each.level:,.0f}",
                f"{each.reserved:,.0f}" if each.reserved else "",
                text(closed) if number == 0 else "",
            )
    return listing


def _caps(page: "Page[CapRead]") -> Table:
    columns = ("limit", "spent", "may be spent by what runs", "parked")
    listing = table("cap of", "per", *columns, right=columns)
    for each in page.items:
        listing.add_row(
            text(f"{each.scope} {each.name}".strip()),
            each.period,
            f"${each.limit_usd:,.2f}",
            f"${each.spent_usd:,.4f}",
            f"${each.reserved_usd:,.4f}",
            str(each.parked or ""),
        )
    return listing
