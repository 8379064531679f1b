"""`fleet budgets`: what each vendor account allows, and what is left of it."""

from orchestrator.cli.link import fleet
from orchestrator.cli.options import AsJson
from orchestrator.cli.screen import console, show_json, table, text


def budgets(as_json: AsJson = False) -> None:
    """Show what each vendor account allows, what is left of it now, and what is reserved.

    Example: fleet budgets
    """
    page = fleet().budgets()
    if as_json:
        return show_json(page)
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
    return console().print(listing)
