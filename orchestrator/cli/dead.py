"""`fleet dead`: what ended unwell."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from orchestrator.cli.approvals import told
from orchestrator.cli.link import fleet
from orchestrator.cli.options import Actor, AsJson, Cursor, Limit, actor_or_user
from orchestrator.cli.screen import (
    age,
    card,
    console,
    kin,
    money,
    more,
    options,
    short,
    show_json,
    state,
    table,
    text,
)

if TYPE_CHECKING:
    from orchestrator.reads.attempts import AttemptRead
    from orchestrator.reads.dead_letters import DeadLetterGroup, DeadLetterLine
    from orchestrator.reads.paging import Page

    Given = Mapping[str, str | bool | None]

LIST = "fleet dead list"
GIVEN = ("subproblem", "context", "tried", "desired_output", "success", "effect")
"""What of a handoff is worth a look; `--json` shows all of it."""
app = typer.Typer(help="Dead letters: subtasks that ended unwell, kept whole.", invoke_without_command=True)
LetterId = Annotated[
    str, typer.Argument(metavar="ID", help="The subtask's id, or the first characters of it.")
]
LaneFilter = Annotated[str | None, typer.Option("--lane", help="Only those of this lane.")]


@app.callback()
def default(context: typer.Context, as_json: AsJson = False) -> None:
    """Dead letters: subtasks that ended unwell, kept whole. Without a command: what they died of."""
    if context.invoked_subcommand is None:
        listing(as_json=as_json)


@app.command("list")
def listing(
    each: Annotated[bool, typer.Option("--each", help="Every letter by itself, the latest first.")] = False,
    signature: Annotated[
        str | None,
        typer.Option("--signature", help="Only those of this signature, or of one that begins so."),
    ] = None,
    lane: LaneFilter = None,
    category: Annotated[str | None, typer.Option("--category", help="Only those of this category.")] = None,
    code: Annotated[str | None, typer.Option("--code", help="Only those of this code.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only those of this tenant.")] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", help="Only those of this workflow.")] = None,
    job: Annotated[str | None, typer.Option("--job", help="Only those of this job.")] = None,
    discarded: Annotated[
        bool, typer.Option("--discarded", help="Those that somebody has discarded.")
    ] = False,
    replayed: Annotated[bool, typer.Option("--replayed", help="Those that a replay has run again.")] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters by what they died of, the largest group first; with --each one by one.

    Example: fleet dead list --each --signature 5f0c9a
    """
    words = {"signature": signature, "lane": lane, "category": category, "code": code, "tenant": tenant}
    words |= {"workflow": workflow, "job": job}
    switches = {"each": each, "discarded": discarded, "replayed": replayed}
    wanted = {"job_id" if name == "job" else name: value for name, value in words.items()}
    wanted |= {name: "yes" if switches[name] else "no" for name in ("discarded", "replayed")}
    given: Given = {**switches, **words}
    if each:
        return _show_each(fleet().dead_letters(limit, cursor, **wanted), given, as_json)
    return _show_groups(fleet().dead_letter_groups(limit, cursor, **wanted), given, words, as_json)


def _show_each(page: "Page[DeadLetterLine]", given: "Given", as_json: bool) -> None:
    if as_json:
        return show_json(page)
    if not page.items:
        return console().print("no dead letters")
    console().print(letters_table(page.items))
    return more(page.next_cursor, LIST, given)


def _show_groups(
    page: "Page[DeadLetterGroup]", given: "Given", words: dict[str, str | None], as_json: bool
) -> None:
    if as_json:
        return show_json(page)
    if not page.items:
        return console().print("no dead letters")
    console().print(groups_table(page.items))
    for line in _hints(page.items, words):
        console().print(text(line), style="dim", soft_wrap=True)
    return more(page.next_cursor, LIST, given)


def _hints(groups: "Iterable[DeadLetterGroup]", words: dict[str, str | None]) -> Iterator[str]:
    """What to do about the first row, within what was asked for; and how many a replay leaves alone."""
    groups = list(groups)
    narrowed = words | {"signature": short(groups[0].signature)}
    again = ""
    if groups[0].replayable:
        # A replay takes ids or a filter, and the job is an id.
        filters = words["job"] or options({k: v for k, v in narrowed.items() if k != "job"})
        again = f"; to run them again: `fleet replay {filters}`"
    yield (
        f"the first row: one of them whole: `fleet dead show {groups[0].example_id}`; one by one: "
        f"`{LIST} {options({'each': True, **narrowed})}`{again}"
    )
    if left := sum(each.count - each.replayable for each in groups):
        yield (
            f"a replay by signature leaves {left} of these letters alone: they were discarded or replayed, or their "
            "jobs are open, were cancelled, or are done and what they applied stands"
        )


def groups_table(groups: "Iterable[DeadLetterGroup]") -> Table:
    made = table(
        "count",
        "lane",
        "vendor",
        "category",
        "code",
        "since",
        "latest",
        "signature",
        "the latest",
        "why",
        right=["count"],
    )
    for each in groups:
        made.add_row(
            str(each.count), text(each.lane or ""), text(each.vendor or ""), each.category, each.code,
            age(each.oldest_at), age(each.latest_at), short(each.signature), each.example_id,
            text(each.sentence),
        )  # fmt: skip
    return made


def letters_table(letters: "Iterable[DeadLetterLine]") -> Table:
    made = table("id", "subtask", "lane", "category", "code", "since", "signature", "why")
    for each in letters:
        made.add_row(
            each.subtask_id, text(each.name), text(each.lane or ""), each.category, each.code,
            age(each.at), short(each.signature), text(each.sentence),
        )  # fmt: skip
    return made


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
                ("of job", f"{read.job_id} ({read.workflow}, of {read.tenant})"),
                *kin(read.kin),
                ("lane", read.lane + (f", asking {read.vendor}" if read.vendor else "") if read.lane else ""),
                ("why", f"{read.sentence} ({read.category}, {read.code})"),
                ("died", f"{read.at.astimezone():%Y-%m-%d %H:%M:%S}, {age(read.at)}"),
                ("signature", short(read.signature)),
                ("discarded by", gone),
                ("cost", f"{money(read.cost.usd, read.cost.simulated)} over {len(read.attempts)} attempts"),
            ]
        )
    )
    if read.handoff:
        out.print("\n[bold]what its worker was given[/]")
        for line in told({name: read.handoff[name] for name in GIVEN if read.handoff.get(name)}):
            out.print(f"  {line}", markup=False)
    if read.attempts:
        out.print("\n[bold]attempts[/]")
        attempts = table("#", "state", "code", "model", "at", "cost", "what came of it")
        for each in read.attempts:
            attempts.add_row(
                str(each.number), each.state, each.code or "", text(each.model or ""),
                f"{each.granted_at.astimezone():%H:%M:%S}",
                money(each.usd, each.simulated), text(each.sentence),
            )  # fmt: skip
        out.print(attempts)
        for worker in dict.fromkeys(each.worker for each in read.attempts if each.worker):
            out.print(
                f"by {text(worker)}: {_numbers(read.attempts, worker)}", highlight=False, soft_wrap=True
            )
        for each in read.attempts:
            for what, kept in (("request", each.request), ("answer", each.answer)):
                if kept:
                    out.print(f"#{each.number} {what}: {kept.digest}", highlight=False, soft_wrap=True)
        if any(each.request or each.answer for each in read.attempts):
            out.print("`fleet artifact DIGEST` prints one of them", style="dim")
    if read.exchange:
        out.print("\n[bold]the exchange[/]")
        rounds = table("subtask", "state", "what it said")
        for each_round in read.exchange:
            said = each_round.summary.text if each_round.summary else each_round.why
            rounds.add_row(text(each_round.subtask), state(each_round.state), text(said))
        out.print(rounds)
    out.print(f"\nwhat to do about it: docs/runbooks/dead-letters/{read.category}.md", markup=False)
    if read.again:
        out.print(f"to run it again: `{read.again}` says first what it would do")
    elif any(each.relation == "replayed_as" for each in read.kin):
        out.print("a replay has run it again; `fleet explain` of that job says how it went")
    else:
        out.print("its job is still under way; once that has ended, it can be run again")
    return None


def _numbers(attempts: "Iterable[AttemptRead]", worker: str) -> str:
    return ", ".join(f"#{each.number}" for each in attempts if each.worker == worker)


@app.command()
def discard(
    letter: LetterId,
    why: Annotated[
        str, typer.Option("--why", "--reason", help="Why nobody has to do anything about it any more.")
    ],
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
