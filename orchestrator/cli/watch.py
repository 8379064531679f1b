"""`fleet watch`: a job as it goes on."""

from typing import TYPE_CHECKING

import typer

from orchestrator.cli.ending import FAILED, INTERRUPTED
from orchestrator.cli.link import fleet
from orchestrator.cli.options import AsJson, JobId
from orchestrator.cli.progress import Progress
from orchestrator.cli.screen import after_failure, complaints, console, money, show_json, span, state, text

if TYPE_CHECKING:
    from orchestrator.client import FleetClient
    from orchestrator.reads.outcomes import JobRead

DONE, FAILED_STATE = "done", "failed"


def watch(job: JobId, as_json: AsJson = False) -> None:
    """Watch a job by step until it ends. The exit code is 0 only if it is done.

    With --json each event is one line of JSON. Example: fleet watch 01JD5Q2X
    """
    client = fleet()
    follow_to_end(client, client.job(job).id, as_json)


def follow_to_end(client: "FleetClient", job_id: str, as_json: bool) -> None:
    """Shows the job until it ends, then how."""
    try:
        job = _events_as_json(client, job_id) if as_json else Progress(hints=True).follow(client, job_id)
    except KeyboardInterrupt:
        complaints().print(
            f"the job goes on; `fleet watch {job_id}` shows it again, `fleet cancel {job_id}` ends it"
        )
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        show_json(job)
    else:
        console().print(ending(job))
        if job.state == FAILED_STATE:
            console().print(after_failure(job.id), style="dim", soft_wrap=True)
    if job.state != DONE:
        raise typer.Exit(FAILED)


def ending(job: "JobRead") -> str:
    """How the job ended, in a sentence."""
    took = span((job.ended_at - job.created_at).total_seconds()) if job.ended_at else ""
    said = job.result.text if job.result else job.why
    cost = money(job.cost.usd, job.cost.simulated)
    return f"job {job.id} is {state(job.state)} after {took}, for {cost}: {text(said)}"


def _events_as_json(client: "FleetClient", job_id: str) -> "JobRead":
    for event in client.watch(job_id):
        typer.echo(event.model_dump_json())
    return client.job(job_id)
