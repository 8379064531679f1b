"""`fleet dead`: what ended unwell."""

from typing import Annotated

import typer

from orchestrator.cli.link import fleet
from orchestrator.cli.options import Actor, AsJson, Cursor, Limit, actor_or_user
from orchestrator.cli.screen import age, card, console, money, more, show_json, state, table, text

app = typer.Typer(help="Dead letters: subtasks that ended unwell, kept whole.", invoke_without_command=True)
LetterId = Annotated[
    str, typer.Argument(metavar="ID", help="The subtask's id, or the first characters of it.")
]
LaneFilter = Annotated[str | None, typer.Option("--lane", help="Only those of this lane.")]


@app.callback()
def default(context: typer.Context, as_json: AsJson = False) -> None:
    """Dead letters: subtasks that ended unwell, kept whole. Without a command they are listed."""
    if context.invoked_subcommand is None:
        listing(as_json=as_json)


@app.command("list")
def listing(
    lane: LaneFilter = None,
    job: Annotated[str | None, typer.Option("--job", help="Only those of this job.")] = None,
    discarded: Annotated[
        bool, typer.Option("--discarded", help="Those that somebody has discarded.")
    ] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the latest first.

    Example: fleet dead list --job 01JD5Q2X
    """
    page = fleet().dead_letters(
        lane=lane, job_id=job, discarded="yes" if discarded else "no", limit=limit, cursor=cursor
    )
    if as_json:
        return show_json(page)
    if not page.items:
        return console().print("no dead letters")
    letters = table("id", "subtask", "lane", "category", "code", "since", "why")
    for letter in page.items:
        letters.add_row(
            letter.subtask_id, text(letter.name), text(letter.lane or ""), letter.category, letter.code,
            age(letter.at), text(letter.sentence),
        )  # fmt: skip
    console().print(letters)
    if page.next_cursor:
        console().print(more(page.next_cursor, "fleet dead list"), style="dim")
    return None


@app.command()
def show(letter: LetterId, as_json: AsJson = False) -> None:
    """Show a dead letter whole: why it died, every attempt, the exchange of drafts and reviews.

    Example: fleet dead show 01JD5Q2X
    """
    read = fleet().dead_letter(letter)
    if as_json:
        return show_json(read)
    out = console()
    gone = f"{read.discarded_by}, {age(read.discarded_at)}: {read.discarded_why}" if read.discarded_at else ""
    out.print(
        card(
            [
                ("subtask", f"{read.subtask_id} ({read.name})"),
                ("of job", f"{read.job_id} ({read.workflow})"),
                ("lane", read.lane or ""),
                ("why", f"{read.sentence} ({read.category}, {read.code})"),
                ("discarded by", gone),
                ("cost", money(read.cost.usd, read.cost.simulated)),
            ]
        )
    )
    if read.attempts:
        out.print("\n[bold]attempts[/]")
        attempts = table("#", "state", "code", "worker", "what came of it")
        for each in read.attempts:
            attempts.add_row(
                str(each.number), each.state, each.code or "", text(each.worker or ""), text(each.sentence)
            )
        out.print(attempts)
        for each in read.attempts:
            for what, kept in (("request", each.request), ("answer", each.answer)):
                if kept:
                    out.print(f"#{each.number} {what}: {kept.digest}", highlight=False, soft_wrap=True)
    if read.exchange:
        out.print("\n[bold]the exchange[/]")
        rounds = table("subtask", "state", "what it said")
        for each_round in read.exchange:
            said = each_round.summary.text if each_round.summary else each_round.why
            rounds.add_row(text(each_round.subtask), state(each_round.state), text(said))
        out.print(rounds)
    return None


@app.command()
def discard(
    letter: LetterId,
    why: Annotated[str, typer.Option("--why", help="Why nobody has to do anything about it any more.")],
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Settle a dead letter. It is kept, and listed with --discarded.

    Example: fleet dead discard 01JD5Q2X --why "the source was withdrawn"
    """
    client = fleet()
    read = client.discard(client.dead_letter(letter).subtask_id, actor_or_user(actor), why)
    if as_json:
        return show_json(read)
    return console().print(
        f"{read.subtask_id} is discarded by {text(read.discarded_by)}: {text(read.discarded_why)}"
    )
