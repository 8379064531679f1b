"""`fleet tax`: the share of all work that keeps the machine coherent."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from orchestrator.cli.link import fleet
from orchestrator.cli.options import AsJson
from orchestrator.cli.screen import console, money, show_json, span, table

if TYPE_CHECKING:
    from orchestrator.reads.tax import TaxRead

HOUR_SECONDS = 3600.0


def tax(
    hours: Annotated[float, typer.Option("--hours", min=0.01, help="The trailing window.")] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Show the autonomy tax: everything but feature work over everything, from the ledger.

    Example: fleet tax --hours 168
    """
    read = fleet().tax(hours * HOUR_SECONDS)
    if as_json:
        return show_json(read)
    console().print(f"the last {span(read.window_seconds)}" + (", money simulated" if read.simulated else ""))
    console().print(tax_table(read))
    for lane, saved in read.saved.items():
        console().print(
            f"saved in lane {lane}: {money(saved.usd, saved.simulated)} and {saved.tokens:,} tokens, by "
            f"{saved.answers} answers of before"
        )
    return None


def tax_table(read: "TaxRead") -> Table:
    """Purposes down, units across, the tax at the foot."""
    units = ("jobs", "worker-seconds", "tokens", "money")
    made = table("purpose", *units, right=units)
    for purpose, spent in read.purposes.items():
        made.add_row(
            purpose, str(spent.jobs), f"{spent.seconds:.1f}", f"{spent.tokens:,}", f"${spent.usd:.4f}"
        )
    shares = (read.tax.jobs, read.tax.seconds, read.tax.tokens, read.tax.usd)
    made.add_row("tax", *("–" if share is None else f"{share:.1%}" for share in shares), style="bold")
    return made
