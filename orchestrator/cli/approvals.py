"""`fleet approvals`: the questions that wait for a person."""

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.cli.ending import Refusal
from orchestrator.cli.link import fleet
from orchestrator.cli.options import Actor, AsJson, Cursor, Limit, actor_or_user
from orchestrator.cli.screen import age, card, console, more, show_json, state, table, text

if TYPE_CHECKING:
    from orchestrator.client import FleetClient

app = typer.Typer(help="Approvals: the questions that wait for a person.", invoke_without_command=True)
ApprovalId = Annotated[
    str, typer.Argument(metavar="ID", help="The approval's id, or the first characters of it while it waits.")
]
Comment = Annotated[str, typer.Option("--comment", help="What the fleet shall know about it.")]


@app.callback()
def default(context: typer.Context, as_json: AsJson = False) -> None:
    """Approvals: the questions that wait for a person. Without a command those that wait are listed."""
    if context.invoked_subcommand is None:
        listing(as_json=as_json)


@app.command("list")
def listing(
    approval_state: Annotated[
        str, typer.Option("--state", help="waiting, approved, rejected, revise, lapsed or all.")
    ] = "waiting",
    limit: Limit = 20,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List approvals, the oldest first.

    Example: fleet approvals list --state all
    """
    page = fleet().approvals(state=approval_state, limit=limit, cursor=cursor)
    if as_json:
        return show_json(page)
    if not page.items:
        return console().print("nothing waits for a person" if approval_state == "waiting" else "none")
    questions = table("id", "job", "workflow", "state", "asked by", "since", "answered by")
    for line in page.items:
        questions.add_row(
            line.id, line.job_id, text(line.workflow), state(line.state), text(line.requested_by),
            age(line.asked_at), text(line.answered_by or ""),
        )  # fmt: skip
    console().print(questions)
    return more(page.next_cursor, "fleet approvals list", {"state": approval_state})


@app.command()
def show(approval: ApprovalId, as_json: AsJson = False) -> None:
    """Show a question with everything that is needed to decide.

    Example: fleet approvals show 01JD5Q2X
    """
    client = fleet()
    read = client.approval(_whole(client, approval))
    if as_json:
        return show_json(read)
    out = console()
    answered = (
        f"{read.answered_by}, {age(read.answered_at)} {read.comment}".strip() if read.answered_by else ""
    )
    out.print(
        card(
            [
                ("approval", f"{read.id}, {read.state}"),
                ("of job", f"{read.job_id} ({read.workflow}), asked for by {read.requested_by}"),
                ("bound to", read.digest),
                ("lapses", f"{read.expires_at.astimezone():%Y-%m-%d %H:%M}"),
                ("answered by", answered),
            ]
        )
    )
    shown: dict[str, object] = {
        name: value for name, value in read.packet.items() if name != "may_revise"
    }  # `alternatives` says it
    if "of" not in shown:  # one more try is no content
        shown["what is approved"] = content_of(client.artifact(read.digest))
    for name, value in shown.items():
        out.print(f"\n[bold]{text(name)}[/]")
        for line in told(value):
            out.print(f"  {line}", markup=False)
    return None


@app.command()
def approve(
    approval: ApprovalId, comment: Comment = "", actor: Actor = None, as_json: AsJson = False
) -> None:
    """Approve exactly what was shown. Whoever asked for the job cannot approve it.

    Example: fleet approvals approve 01JD5Q2X --as grace
    """
    _answer("approve", approval, comment, actor, as_json)


@app.command()
def reject(approval: ApprovalId, comment: Comment = "", actor: Actor = None, as_json: AsJson = False) -> None:
    """Reject it; what needs the approval does not happen.

    Example: fleet approvals reject 01JD5Q2X --comment "wrong audience"
    """
    _answer("reject", approval, comment, actor, as_json)


@app.command()
def revise(
    approval: ApprovalId,
    comment: Annotated[str, typer.Option("--comment", help="What shall be changed.")],
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Send it back to its author with what shall be changed.

    Example: fleet approvals revise 01JD5Q2X --comment "name the versions"
    """
    _answer("revise", approval, comment, actor, as_json)


def _answer(
    decision: Literal["approve", "reject", "revise"],
    approval: str,
    comment: str,
    actor: str | None,
    as_json: bool,
) -> None:
    client = fleet()
    question = client.approval(_whole(client, approval))
    read = client.answer(question.id, decision, actor_or_user(actor), comment, question.digest)
    if as_json:
        return show_json(read)
    return console().print(
        f"approval {read.id} is {state(read.state)}; `fleet watch {read.job_id}` shows what follows"
    )


def _whole(client: "FleetClient", given: str) -> str:
    """The id of the waiting approval that begins so; a whole id is taken as it is."""
    if len(given) >= 26:
        return given
    fitting = [
        line.id
        for line in client.approvals(state="waiting", limit=200).items
        if line.id.startswith(given.upper())
    ]
    if len(fitting) != 1:
        raise Refusal(f"{'no' if not fitting else 'more than one'} waiting approval begins with {given}")
    return fitting[0]


def content_of(artifact: bytes) -> object:
    """What an artifact holds: data if it is JSON, else its text."""
    try:
        return json.loads(artifact)
    except ValueError:
        return artifact.decode(errors="replace")


def told(value: object, depth: int = 0) -> list[str]:
    """Plain data as lines for a person."""
    pad = "  " * depth
    match value:
        case {"digest": str(digest), "size_bytes": int(size)}:
            return [f"{pad}{digest}, {size} bytes"]
        case dict():
            return [line for name, each in value.items() for line in _entry(f"{pad}{name}:", each, depth)]
        case list() | tuple():
            return [line for each in value for line in _entry(f"{pad}-", each, depth)]
        case _:
            return [f"{pad}{line}" for line in str(value).splitlines() or [""]]


def _entry(head: str, value: object, depth: int) -> list[str]:
    if isinstance(value, dict | list | tuple):
        below = told(value, depth + 1) if value else []
        if head.endswith("-") or (
            isinstance(value, dict) and len(below) == 1
        ):  # an item's first line stands behind its dash
            return [f"{head} {line.strip()}" if number == 0 else line for number, line in enumerate(below)]
        return [head, *below] if below else []
    lines = str(value).splitlines() or [""]
    return [f"{head} {lines[0]}", *("  " * (depth + 1) + line for line in lines[1:])]
