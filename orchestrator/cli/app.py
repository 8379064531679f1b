"""The table of commands."""

from typing import Annotated

import typer

from orchestrator.cli import approvals, budgets, dead, drill, effect, lanes, roles
from orchestrator.cli.artifact import artifact
from orchestrator.cli.blockers import blockers
from orchestrator.cli.check import check
from orchestrator.cli.demo import demo
from orchestrator.cli.diagnose import diagnose
from orchestrator.cli.explain import explain
from orchestrator.cli.jobs import cancel, jobs, show
from orchestrator.cli.pauses import kill, pause, pauses, resume
from orchestrator.cli.replay import replay
from orchestrator.cli.submit import submit
from orchestrator.cli.taint import taint
from orchestrator.cli.tax import tax
from orchestrator.cli.up import up
from orchestrator.cli.version import version
from orchestrator.cli.watch import watch
from orchestrator.cli.webhooks import webhook_secret

EVERYTHING, WORK, PEOPLE, FIGURES, ROLES = "Everything", "Jobs", "People", "The fleet", "One role each"

app = typer.Typer(
    no_args_is_help=False, invoke_without_command=True, add_completion=False, rich_markup_mode="markdown"
)


@app.callback()
def root(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """A fleet of specialised LLM workers, run by a deliberately dumb orchestrator.

    `fleet demo` shows it at work, `fleet up` runs it here. The other commands speak to the fleet that FLEET_API_URL
    names, by default http://127.0.0.1:8400.
    """
    if show_version:
        typer.echo(f"fleet {version()}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


for panel, commands in {
    EVERYTHING: (up, demo, check, roles.migrate),
    WORK: (submit, jobs, show, watch, explain, artifact, blockers, cancel, taint),
    PEOPLE: (replay, webhook_secret),
    FIGURES: (diagnose, tax, pause, kill, resume, pauses),
    ROLES: (
        roles.api,
        roles.orchestrator,
        roles.worker,
        roles.upkeep,
        roles.beat,
        roles.flower,
        roles.simulator,
    ),
}.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)

app.add_typer(approvals.app, name="approvals", rich_help_panel=PEOPLE)
app.add_typer(dead.app, name="dead", rich_help_panel=PEOPLE)
app.add_typer(effect.app, name="effect", rich_help_panel=PEOPLE)
app.add_typer(drill.app, name="drill", rich_help_panel=PEOPLE)
app.add_typer(budgets.app, name="budgets", rich_help_panel=FIGURES)
app.add_typer(lanes.app, name="lanes", rich_help_panel=FIGURES)
