"""What `fleet replay` prints: previews, replays and how far they are."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.table import Table

from orchestrator.cli.dead import groups_table
from orchestrator.cli.screen import age, card, console, more, show_json, span, state, table, text

if TYPE_CHECKING:
    from orchestrator.reads.paging import Page
    from orchestrator.reads.previews import ReplayPreview, Share, StepPreview
    from orchestrator.reads.replays import ReplayLine, ReplayRead

NAMED = 5
"""So many tenants and the like a preview names."""
UNSAFE = "unsafe"


def listed(page: "Page[ReplayLine]", as_json: bool) -> None:
    """Replays, or what to do where there is none."""
    if as_json:
        return show_json(page)
    if not page.items:
        return console().print("no replays; `fleet replay ID` says what running a job again would do")
    console().print(replays_table(page.items))
    return more(page.next_cursor, "fleet replay")


def previewed(read: "ReplayPreview", as_json: bool) -> None:
    """What a replay would do, and what to add to have it done."""
    if as_json:
        return show_json(read)
    out = console()
    out.print(f"[bold]{text(read.sentence)}[/]\n", soft_wrap=True)
    if not read.jobs:
        hint = "`fleet dead list` shows what waits for one, `fleet replay` the replays that took up the rest"
        return out.print(hint, style="dim", soft_wrap=True)
    out.print(
        card(
            [
                ("dead letters", str(read.letters)),
                ("tenants", named(read.tenants)),
                ("workflows", named(read.workflows)),
                ("died in", named(read.lanes)),
            ]
        )
    )
    out.print()
    out.print(steps_table(read.steps))
    for refused in read.unfit:
        out.print(
            f"refused one by one: {refused.jobs} job(s) such as {refused.example_id}, since {text(refused.why)}",
            soft_wrap=True,
        )
    for before in read.earlier:
        out.print(
            f"replayed before: {before.job_id} in replay {before.replay_id}, {age(before.at)}, as job "
            f"{before.new_job_id}, which is {state(before.state)}",
            soft_wrap=True,
        )
    if read.expected.unknown:
        lanes = ", ".join(read.expected.unknown)
        out.print(
            f"not in these figures: the input of {text(lanes)}, of which no attempt is known", soft_wrap=True
        )
    for against in read.obstacles:
        out.print(f"[yellow]in the way:[/] {text(against)}", soft_wrap=True)
    unsafe = any(step.replay_class == UNSAFE for step in read.steps)
    approval = " --approve-as NAME" if unsafe else ""
    return out.print(f'\nnothing was done; to do it, add: --yes --reason "…"{approval}', markup=False)


def showed(read: "ReplayRead", as_json: bool) -> None:
    """How far a replay is."""
    if as_json:
        return show_json(read)
    out = console()
    out.print(
        card(
            [
                ("replay", f"{read.id}, {_state(read)}"),
                ("asked for by", f"{read.requested_by}, {age(read.created_at)}: {read.reason}"),
                ("approved by", read.approved_by or ""),
                ("of", ", ".join(f"{name} {value}" for name, value in _plain(read.selection))),
                ("from step", read.from_step or ""),
                ("edited by", json.dumps(read.edit) if read.edit else ""),
                ("pace", _pace(read)),
                ("jobs", counted(read)),
                ("left", left(read)),
                ("runs again", ", ".join(read.again_of)),
                ("run again in", ", ".join(read.again_in)),
            ]
        )
    )
    if read.failures:
        out.print("\n[bold]what died anew[/]")
        out.print(groups_table(read.failures))
    for refused in read.refused:
        out.print(
            f"refused: {refused.jobs} job(s) such as {refused.example_id}, since {text(refused.why)}",
            soft_wrap=True,
        )
    for held in read.held:
        out.print(f"[yellow]held now:[/] {text(held)}", soft_wrap=True)
    if read.ended_at is None and read.state == "running":
        follow, end = (
            f"`fleet replay --show {read.id} --watch`",
            f"`fleet replay --abort {read.id} --reason …`",
        )
        out.print(f"\n{follow} follows it, {end} ends it", style="dim", soft_wrap=True)
    return None


def steps_table(steps: "Iterable[StepPreview]") -> Table:
    numbers = ("anew", "kept", "left out")
    made = table("workflow", "step", "lane", *numbers, "done twice it is", right=numbers)
    for each in steps:
        made.add_row(
            text(each.workflow), text(each.step), text(each.lane or "(a person)"), str(each.anew),
            str(each.kept), str(each.left), each.replay_class.replace("_", " "),
        )  # fmt: skip
    return made


def replays_table(replays: "Iterable[ReplayLine]") -> Table:
    made = table("id", "state", "since", "asked for by", "jobs", "reason")
    for each in replays:
        made.add_row(
            each.id, state(each.state), age(each.created_at), text(each.requested_by), counted(each),
            text(each.reason),
        )  # fmt: skip
    return made


def named(shares: "Iterable[Share]") -> str:
    """The largest of them by name, the others by number."""
    shares = list(shares)
    shown = ", ".join(f"{share.name} ({share.jobs})" for share in shares[:NAMED])
    return shown + (f" and {len(shares) - NAMED} more" if len(shares) > NAMED else "")


def counted(read: "ReplayLine") -> str:
    """Its jobs by state."""
    parts = [f"{count} {name}" for name, count in read.items.items() if count]
    return f"{read.total}: {', '.join(parts)}" if parts else str(read.total)


def left(read: "ReplayRead") -> str:
    """How long it takes still, at the pace so far."""
    return "" if read.minutes_left is None else f"about {span(read.minutes_left * 60)}, at the pace so far"


def _state(read: "ReplayRead") -> str:
    """Its state and why, which for an aborted one begins with the word itself."""
    return (
        read.why if read.why.startswith(read.state) else f"{read.state}{f', {read.why}' if read.why else ''}"
    )


def _pace(read: "ReplayRead") -> str:
    a_minute = f"at most {read.per_minute:g} a minute, " if read.per_minute else ""
    return f"{a_minute}at most {read.most_open} at once"


def _plain(selection: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in selection.items():
        yield name.replace("_", " "), ", ".join(value) if isinstance(value, list) else str(value)
