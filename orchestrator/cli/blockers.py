"""`fleet blockers`: what is missing, who waits for it, and which job supplies it."""

from typing import Annotated

import typer

from orchestrator.cli.link import fleet
from orchestrator.cli.options import AsJson, Cursor, Limit
from orchestrator.cli.screen import age, console, more, show_json, table, text


def blockers(
    everything: Annotated[bool, typer.Option("--all", help="Those that are resolved, too.")] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List what is missing, how many wait for it, and the job that supplies it.

    Example: fleet blockers --all
    """
    page = fleet().blockers(everything, limit, cursor)
    if as_json:
        return show_json(page)
    if not page.items:
        return console().print("nothing that work needs is missing")
    listed = table(
        "missing", "of", "tenant", "since", "subtasks", "jobs", "supplied by", "", right=["subtasks", "jobs"]
    )
    for each in page.items:
        listed.add_row(
            text(each.prerequisite),
            text(each.subject),
            text(each.tenant),
            age(each.opened_at),
            str(each.waiting),
            str(each.jobs),
            each.supply_job_id,
            text(each.resolution or each.supply_state),
        )
    console().print(listed)
    return more(page.next_cursor, "fleet blockers", {"all": everything})
