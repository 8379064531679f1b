"""`fleet explain`: why, what happened, what it waits for."""

from typing import Annotated

import typer

from orchestrator.cli.link import fleet
from orchestrator.cli.options import AsJson
from orchestrator.cli.screen import card, console, kin, money, saved, show_json, table, text


def explain(
    subject: Annotated[
        str, typer.Argument(metavar="JOB|SUBTASK", help="An id, or the first characters of it.")
    ],
    as_json: AsJson = False,
) -> None:
    """Explain a job or a subtask: why it exists, what happened in order, what it waits for, what it cost.

    Example: fleet explain 01JD5Q2X
    """
    told = fleet().explain(subject)
    if as_json:
        return show_json(told)
    out, why = console(), told.exists
    out.print(f"[bold]{text(told.sentence)}[/]\n")
    out.print(
        card(
            [
                (told.kind, f"{told.id} ({told.name})"),
                ("of job", told.job_id if told.job_id != told.id else ""),
                ("why it exists", f"{why.reason} ({why.purpose}, asked for by {why.requested_by})"),
                ("for", f"{why.tenant}/{why.portfolio}" + (f", KPI {why.kpi}" if why.kpi else "")),
                ("made by", f"the tick {why.tick}" if why.tick else ""),
                *kin(told.kin),
                ("cost", f"{money(told.cost.usd, told.cost.simulated)} over {told.cost.attempts} attempts"),
                ("saved", saved(told.cost)),
            ]
        )
    )
    out.print("\n[bold]what happened[/]")
    if told.earlier_events:
        out.print(f"  … {told.earlier_events} earlier events; `fleet watch` shows them all", style="dim")
    story = table("at", "what")
    for happening in told.happened:
        at = happening.at.astimezone().strftime("%H:%M:%S.%f")[:-3]
        story.add_row(at, text(happening.sentence))
    out.print(story)
    if told.tried:
        out.print("\n[bold]what was tried, as the next attempt is told[/]")
        for tried in told.tried:
            out.print(f"  {text(tried.told())}")
    if told.taint:
        out.print("\n[bold]what of it cannot be trusted[/]")
        for because in dict.fromkeys(taint.because for taint in told.taint):
            names = ", ".join(taint.subtask for taint in told.taint if taint.because == because)
            out.print(f"  {text(names)}: {text(because)}")
    if told.waits:
        out.print("\n[bold]what it waits for[/]")
        for waiting in told.waits:
            until = f", until {waiting.until.astimezone():%Y-%m-%d %H:%M:%S}" if waiting.until else ""
            out.print(f"  {text(waiting.subtask)}: {text(waiting.waits_for)}{until}")
    if told.again:
        out.print(f"\nto run it again: `{told.again}` says first what it would do")
    return None
