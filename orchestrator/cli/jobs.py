"""`fleet jobs`, `show` and `cancel`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

from orchestrator.cli.link import fleet
from orchestrator.cli.options import Actor, AsJson, Cursor, JobId, Limit, actor_or_user
from orchestrator.cli.screen import (
    after_failure,
    age,
    card,
    console,
    money,
    more,
    saved,
    show_json,
    span,
    state,
    table,
    text,
)

if TYPE_CHECKING:
    from orchestrator.reads.outcomes import JobRead
    from orchestrator.reads.waits import Waits

FAILED = "failed"


def jobs(
    job_state: Annotated[str | None, typer.Option("--state", help="Only jobs in this state.")] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", help="Only jobs of this workflow.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only jobs of this tenant.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, the newest first.

    Example: fleet jobs --state awaiting_approval
    """
    page = fleet().jobs(state=job_state, workflow=workflow, tenant=tenant, limit=limit, cursor=cursor)
    if as_json:
        return show_json(page)
    if not page.items:
        return console().print("no jobs yet; `fleet submit --help` says how to make one")
    listing = table("job", "workflow", "state", "purpose", "cost", "made", "reason", right=["cost"])
    for job in page.items:
        cost = money(job.cost.usd, job.cost.simulated)
        again = f"; replayed as {job.replayed_as.job_id}, {job.replayed_as.state}" if job.replayed_as else ""
        listing.add_row(
            job.id,
            text(job.workflow),
            state(job.state),
            job.purpose,
            cost,
            age(job.created_at),
            text(f"{job.reason}{again}"),
        )
    console().print(listing)
    return more(page.next_cursor, "fleet jobs", {"state": job_state, "workflow": workflow, "tenant": tenant})


def show(job: JobId, as_json: AsJson = False) -> None:
    """Show a job: its outcome, what each subtask did, where the time and the money went.

    Example: fleet show 01JD5Q2X
    """
    read = fleet().job(job)
    if as_json:
        return show_json(read)
    console().print(*_parts(read), sep="\n")
    if read.state == FAILED:
        console().print(f"\n{after_failure(read.id)}", style="dim", soft_wrap=True)
    return None


def cancel(job: JobId, actor: Actor = None, as_json: AsJson = False) -> None:
    """Cancel a job. What has not started will not start; what runs is told at its next heartbeat.

    Example: fleet cancel 01JD5Q2X --as ada
    """
    client = fleet()
    read = client.cancel(client.job(job).id, actor_or_user(actor))
    if as_json:
        return show_json(read)
    return console().print(
        f"job {read.id} is {state(read.state)}: {text(read.why) or 'cancellation is requested'}"
    )


def _parts(job: "JobRead") -> list[RenderableType]:
    parts: list[RenderableType] = [_head(job), "", _subtasks(job)]
    if job.artifacts:
        parts += ["", "[bold]what was delivered[/]", _artifacts(job)]
    return parts


def _head(job: "JobRead") -> RenderableType:
    ended = f", {age(job.ended_at)}" if job.ended_at else ""
    took = (job.ended_at - job.created_at).total_seconds() if job.ended_at else None
    cost = job.cost
    tokens = f"{cost.input_tokens} tokens in, {cost.output_tokens} out"
    return card(
        [
            ("job", f"{job.id} ({job.workflow})"),
            ("state", f"{job.state}{ended}" + (f": {job.why}" if job.why else "")),
            ("result", job.result.text if job.result else ""),
            ("why it exists", f"{job.reason} ({job.purpose}, asked for by {job.requested_by})"),
            ("for", f"{job.tenant}/{job.portfolio}" + (f", KPI {job.kpi}" if job.kpi else "")),
            ("comes from", job.origin or ""),
            ("took", span(took) if took is not None else ""),
            ("cost", f"{money(cost.usd, cost.simulated)}, {tokens}, {cost.attempts} attempts"),
            ("may cost", f"${job.max_cost_usd:,.4f} at most" if job.max_cost_usd is not None else ""),
            ("deadline", f"{job.deadline:%Y-%m-%d %H:%M:%S} UTC" if job.deadline else ""),
            ("saved", saved(cost)),
            ("waited", waited(job.waits)),
        ]
    )


def waited(waits: "Waits") -> str:
    """Seconds by cause, the longest first; subtasks wait side by side, so they may exceed the job's age."""
    causes = sorted(waits.model_dump().items(), key=lambda cause: -cause[1])
    return ", ".join(f"{span(s)} for {name.removesuffix('_seconds')}" for name, s in causes if s >= 0.05)


def _subtasks(job: "JobRead") -> RenderableType:
    listing = table(
        "subtask",
        "lane",
        "state",
        "tries",
        "tokens",
        "cost",
        "what came of it",
        "id",
        right=["tries", "tokens", "cost"],
    )
    for line in job.subtasks:
        said = line.summary.text if line.summary else line.held_by or line.why
        tokens = line.cost.input_tokens + line.cost.output_tokens
        listing.add_row(
            text(line.name),
            text(line.lane or "a person"),
            state(line.state),
            str(line.tries or ""),
            str(tokens or ""),
            money(line.cost.usd) if line.cost.usd else "",
            text("sealed" if line.sealed else said),
            line.id,
        )
    return listing


def _artifacts(job: "JobRead") -> RenderableType:
    listing = table("of", "contract", "bytes", "digest", right=["bytes"])
    for output in job.artifacts:
        ref = output.artifact
        listing.add_row(text(output.subtask), text(output.contract), str(ref.size_bytes), ref.digest)
    return listing
