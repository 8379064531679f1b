"""`fleet submit`: a job."""

from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.inputs import inputs_from
from orchestrator.cli.link import fleet
from orchestrator.cli.options import Actor, AsJson, actor_or_user
from orchestrator.cli.screen import console, show_json
from orchestrator.cli.watch import follow_to_end


def submit(
    workflow: Annotated[str, typer.Argument(help="What shall be done; an unknown one lists the known.")],
    purpose: Annotated[
        str, typer.Option("--purpose", help="feature, maintenance, coordination, review or rework.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why this job exists, for whoever asks later.")],
    input_files: Annotated[
        list[Path],
        typer.Option(
            "--input",
            metavar="FILE",
            exists=True,
            help="A JSON or YAML file of inputs, or a text or Markdown document, or a directory of such; repeatable.",
        ),
    ],
    question: Annotated[
        str | None, typer.Option("--question", help="The question the documents shall answer.")
    ] = None,
    tenant: Annotated[str, typer.Option("--tenant", help="On whose account.")] = "default",
    portfolio: Annotated[str, typer.Option("--portfolio", help="Into which portfolio it goes.")] = "default",
    kpi: Annotated[str | None, typer.Option("--kpi", help="The figure it is meant to move.")] = None,
    priority: Annotated[int, typer.Option("--priority", min=0, max=3, help="0 routine to 3 urgent.")] = 1,
    key: Annotated[
        str | None, typer.Option("--key", help="Idempotency key: the same key and body are the same job.")
    ] = None,
    callback_url: Annotated[
        str | None, typer.Option("--callback-url", help="Where its end is reported.")
    ] = None,
    max_cost_usd: Annotated[
        float | None,
        typer.Option("--max-cost-usd", help="What it may spend; at the cap what has not started is parked."),
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(
            "--deadline",
            metavar="MOMENT",
            help="With its zone, such as 2030-01-31T18:00Z; what has not started by then never does.",
        ),
    ] = None,
    actor: Actor = None,
    wait: Annotated[bool, typer.Option("--wait", help="Show its progress until it ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """Submit a job and print its id.

    Purpose and reason have no default: every job must say why it exists.
    Example: fleet submit WORKFLOW --input notes/ --question "What changed?" --purpose feature --reason "weekly page"
    """
    from orchestrator.client import check_key

    check_key(key)  # before any document is uploaded
    client = fleet()
    body: dict[str, Any] = {
        "tenant": tenant,
        "portfolio": portfolio,
        "workflow": workflow,
        "inputs": inputs_from(
            input_files, question, lambda content, kind: client.upload(content, kind).model_dump(mode="json")
        ),
        "purpose": purpose,
        "reason": reason,
        "requested_by": actor_or_user(actor),
        "kpi": kpi,
        "priority": priority,
        "max_cost_usd": max_cost_usd,
        "deadline": deadline,
        "callback_url": callback_url,
    }
    job = client.submit({name: value for name, value in body.items() if value is not None}, key)
    if wait:
        return follow_to_end(client, job.id, as_json)
    if as_json:
        return show_json(job)
    return console().print(job.id if job.created else f"{job.id} (made before, with this key)")
