"""`fleet diagnose`: what the fleet is short of, and what mends it."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from orchestrator.cli.link import fleet
from orchestrator.cli.options import AsJson
from orchestrator.cli.screen import console, show_json, span, table, text

if TYPE_CHECKING:
    from orchestrator.reads.diagnosis import DiagnosisRead

MINUTE_SECONDS = 60.0


def diagnose(
    minutes: Annotated[float, typer.Option("--minutes", min=1, max=1440, help="The trailing window.")] = 15.0,
    as_json: AsJson = False,
) -> None:
    """Say what the fleet is short of (budget, workers, approvals, good answers), and what mends it.

    Example: fleet diagnose --minutes 60
    """
    read = fleet().diagnosis(minutes * MINUTE_SECONDS)
    if as_json:
        return show_json(read)
    out = console()
    out.print(f"[bold]the last {span(read.window_seconds)}:[/] {text(read.verdict)}")
    for number, found in enumerate(read.findings, start=1):
        out.print(f"\n{number}. {text(found.sentence)}")
        out.print(f"   [bold]fix:[/] {text(found.advice)}")
    if read.findings:
        out.print()
        out.print(findings_table(read))
    return None


def findings_table(read: "DiagnosisRead") -> Table:
    """The findings by weight, with the numbers they rest on."""
    figures = ("lost", "of all lost", "waiting", "longest")
    made = table("", "cause", "where", *figures, "fix", right=figures)
    for number, found in enumerate(read.findings, start=1):
        made.add_row(
            f"{number}.",
            found.cause,
            text(found.where),
            span(found.seconds_lost),
            f"{found.share:.0%}",
            str(found.waiting),
            span(found.longest_seconds) if found.longest_seconds else "",
            found.fix,
        )
    return made
