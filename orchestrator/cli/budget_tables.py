"""How budgets, shares, spending caps and changes are shown."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table

from orchestrator.cli.screen import age, span, table, text

if TYPE_CHECKING:
    from orchestrator.reads.budgets import BudgetRead, Dimension
    from orchestrator.reads.caps import CapRead
    from orchestrator.reads.changes import ChangeRead
    from orchestrator.reads.shares import SharesRead


def budgets_shown(budgets: "Iterable[BudgetRead]") -> Group:
    """Each budget under a line that says whether it is open; all stand under one row of headings."""
    parts = (part for budget in budgets for part in ("", _heading(budget), _dimensions(budget)))
    return Group(_columns(show_header=True), *parts)


def _heading(budget: "BudgetRead") -> str:
    closed = ""
    if budget.closed_until:
        left = max((budget.closed_until - datetime.now(UTC)).total_seconds(), 0.0)
        until = f"{budget.closed_until.astimezone():%H:%M:%S}"
        closed = f"[red]closed for {span(left)}, until {until}: {text(budget.closed_why)}[/]"
    return f"[bold]{text(budget.key)}[/]  {closed or '[green]open[/]'}, {budget.in_flight} in flight"


def _columns(show_header: bool) -> Table:
    numbers = ("limit", "left", "reserved")
    made = table("budget", *numbers, "declared, and what the vendor said", right=numbers)
    made.show_header = show_header
    for column, width in zip(made.columns, (20, 11, 11, 9), strict=False):
        column.min_width = width
    return made


def _dimensions(budget: "BudgetRead") -> Table:
    made = _columns(show_header=False)
    for each in budget.dimensions:
        made.add_row(
            f"  {_words(each.dimension)}",
            f"{each.limit:,.0f}",
            f"{each.level:,.0f}",
            f"{each.reserved:,.0f}" if each.reserved else "",
            "; ".join(_remarks(budget, each)),
        )
    return made


def _words(dimension: str) -> str:
    if dimension == "concurrency":
        return "calls at once"
    name, _, per_day = dimension.partition("_per_")
    return f"{name.replace('_', ' ')}/{'day' if per_day else 'min'}"


def _remarks(budget: "BudgetRead", of: "Dimension") -> Iterator[str]:
    if of.limit != of.declared:
        yield f"declared {of.declared:,.0f}"
    if of.dimension == "concurrency" and budget.ceiling:
        yield _CEILINGS[budget.ceiling]
    if of.burst_seconds != of.declared_burst_seconds:
        yield f"burst {of.burst_seconds:.3g} s of {of.declared_burst_seconds:.3g} s"
    if of.seen_at:
        left = "" if of.seen_remaining is None else f"{of.seen_remaining:,.0f} left"
        limit = "" if of.seen_limit is None else f"of {of.seen_limit:,.0f}"
        yield f"{' '.join(filter(None, (left, limit)))} said {age(of.seen_at)}"


_CEILINGS = {
    "steady": "lowered, since the vendor was overloaded",
    "probing": "one call at a time, until one is answered",
    "starting": "rising again from a pause",
}


def shares_shown(shares: "SharesRead") -> Table:
    """Floors and weights, a line for each kind."""
    made = table("shares", "")
    for kind in ("purpose", "lane", "priority"):
        floors = [f"{each.name} {each.fraction:.3g}" for each in shares.floors if each.kind == kind]
        if floors:
            made.add_row(f"floors by {kind}", text(", ".join(floors)))
    weights = [f"{each.tenant} {each.weight:.3g}" for each in shares.weights]
    made.add_row(
        "weights", text(", ".join([*weights, "every other tenant 1" if weights else "every tenant 1"]))
    )
    return made


def caps_shown(caps: "Iterable[CapRead]") -> Table:
    columns = ("limit", "spent", "may be spent by what runs", "parked")
    listing = table("cap of", "per", *columns, right=columns)
    for each in caps:
        listing.add_row(
            text(f"{each.scope} {each.name}".strip()),
            each.period,
            f"${each.limit_usd:,.2f}",
            f"${each.spent_usd:,.4f}",
            f"${each.reserved_usd:,.4f}",
            str(each.parked or ""),
        )
    return listing


def changes_shown(changes: "Iterable[ChangeRead]") -> Table:
    listing = table("when", "by", "what", "from", "to", "why")
    for each in changes:
        words = (each.by, each.what, each.old, each.new, each.reason)
        listing.add_row(f"{each.at.astimezone():%Y-%m-%d %H:%M:%S}", *map(text, words))
    return listing
