"""`fleet lanes`: who works here, and what holds for each whatever a prompt says."""

from typing import Annotated

import typer

from orchestrator.cli.link import fleet
from orchestrator.cli.options import AsJson
from orchestrator.cli.screen import card, console, show_json, span, table, text

app = typer.Typer(help="Lanes: kinds of workers, their cards and their queues.", invoke_without_command=True)


_CARD = (
    "job", "owner", "kpi", "definition_of_done", "reads", "writes", "evidence", "stopping_rule", "maximum_damage",
    "bottleneck", "regime", "right",
)  # fmt: skip
"""The fields of a card that are shown, in the order in which a person asks for them."""


@app.callback()
def default(context: typer.Context, as_json: AsJson = False) -> None:
    """Lanes: kinds of workers, their cards and their queues. Without a command they are listed."""
    if context.invoked_subcommand is None:
        listing(as_json=as_json)


@app.command("list")
def listing(as_json: AsJson = False) -> None:
    """List the lanes with their workers and what waits for them.

    Example: fleet lanes list
    """
    page = fleet().lanes()
    if as_json:
        return show_json(page)
    counts = ("workers", "slots", "ready", "granted", "running", "by batch", "dead")
    lanes = table("lane", "regime", "right", "model", *counts, "oldest", right=[*counts, "oldest"])
    for lane in page.items:
        model = f"{lane.card.model.name} ({lane.card.model.tier})" if lane.card.model else ""
        counted = (lane.ready, lane.dispatched, lane.running, lane.submitted, lane.dead_letters)
        numbers = (lane.workers, lane.slots, *counted)
        oldest = span(lane.oldest_ready_seconds) if lane.ready else ""
        lanes.add_row(lane.lane, lane.card.regime, lane.card.right, text(model), *map(str, numbers), oldest)
    return console().print(lanes)


@app.command()
def show(
    lane: Annotated[str, typer.Argument(help="The lane's name; an unknown one lists the known.")],
    as_json: AsJson = False,
) -> None:
    """Show a lane's card, and what is enforced for it without any prompt.

    Example: fleet lanes show LANE, with a name of `fleet lanes`
    """
    read = fleet().lane(lane)
    if as_json:
        return show_json(read)
    out, entry = console(), read.card
    rows = [("lane", f"{entry.lane}, revision {entry.revision}")]
    rows += [(name.replace("_", " "), _plain(getattr(entry, name))) for name in _CARD]
    rows += [
        (
            "model",
            f"{entry.model.name} of {entry.model.vendor}, {entry.model.tier}" if entry.model else "none",
        )
    ]
    rows += [("served by", f"{read.workers} live worker(s), {read.slots} slots")]
    out.print(card(rows))
    out.print("\n[bold]enforced without any prompt[/]")
    for rule in read.enforced:
        out.print(f"  - {rule}", markup=False)
    return None


def _plain(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, tuple) else str(value)
