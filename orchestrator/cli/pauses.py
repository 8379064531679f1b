"""`fleet pause`, `kill`, `resume` and `pauses`: what operators hold, and let go on."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.link import fleet
from orchestrator.cli.options import Actor, AsJson, Reason, actor_or_user
from orchestrator.cli.screen import console, show_json, table, text

if TYPE_CHECKING:
    from orchestrator.reads.pauses import PausesRead

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(given: str) -> float:
    """Seconds, from a number with its unit."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", given)
    if found is None or float(found[1]) == 0:
        raise typer.BadParameter(f"“{given}” is no duration; write 90s, 30m, 2h or 3d")
    return float(found[1]) * _UNITS[found[2]]


Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="fleet, lane, vendor, tenant or workflow.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Which of them; nothing for the fleet.")]
For = Annotated[
    float | None,
    typer.Option(
        "--for", parser=duration, metavar="TIME", help="After which it goes on by itself: 30m, 2h, 3d."
    ),
]


def pause(
    scope: Scope, why: Reason, name: Name = "", for_: For = None, actor: Actor = None, as_json: AsJson = False
) -> None:
    """Hold a lane, a vendor, a tenant, a workflow or the fleet: nothing of it starts, and what runs finishes.

    What is held stays ready and loses nothing; `fleet resume` lets it go on. A deadline still passes meanwhile.
    Example: fleet pause lane research --why "the index is rebuilt" --for 2h
    """
    _hold(scope, name, why, actor, for_, kills=False, as_json=as_json)


def kill(
    scope: Scope, why: Reason, name: Name = "", for_: For = None, actor: Actor = None, as_json: AsJson = False
) -> None:
    """Hold it, and stop what runs at its next heartbeat, before it touches anything more.

    What was stopped waits to be run again, and counts neither as a try nor as a crash; a call that had left is
    charged as if it had used all it had reserved.
    Example: fleet kill tenant acme --why "a leaked key"
    """
    _hold(scope, name, why, actor, for_, kills=True, as_json=as_json)


def resume(
    scope: Scope,
    name: Name = "",
    why: Reason = "",
    catch_up: Annotated[
        bool, typer.Option("--catch-up", help="Let the newest skipped slot of each tick fire once.")
    ] = False,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Let what was paused or killed go on.

    Example: fleet resume lane research --catch-up
    """
    released = fleet().resume(scope, name, actor_or_user(actor), why, catch_up)
    if as_json:
        return show_json(released)
    ticks = f"; {released.ticks_to_fire} skipped tick(s) fire once" if catch_up else ""
    held = f"{scope} {name}".strip()
    console().print(f"{text(held)} goes on{ticks}")
    if name or scope == "fleet":
        hint = f'what ran into its deadline meanwhile: fleet replay --paused "{held}"'
        console().print(text(hint), style="dim", soft_wrap=True)
    return None


def pauses(as_json: AsJson = False) -> None:
    """List what is held, since when and by whom, how much of it waits, and which ticks were skipped.

    Example: fleet pauses
    """
    read = fleet().pauses()
    return show_json(read) if as_json else _show(read)


def _hold(
    scope: str, name: str, why: str, actor: str | None, for_: float | None, kills: bool, as_json: bool
) -> None:
    read = fleet().pause(scope, name, actor_or_user(actor), why, kills, for_)
    return show_json(read) if as_json else _show(read)


def _show(read: "PausesRead") -> None:
    out = console()
    for sentence in read.broken:
        out.print(f"[red]{text(sentence)}[/]")
    if not read.items:
        return None if read.broken else out.print("nothing is paused")
    held = table("held", "ready", "skipped ticks", "since when, by whom and why", right=["ready"])
    for item in read.items:
        name = f"{item.scope} {item.name}".strip()
        state = text(item.sentence) if item.in_force else f"over since {item.until:%Y-%m-%d %H:%M} UTC"
        held.add_row(text(name), str(item.ready), text(", ".join(item.skipped_ticks)), state)
    return out.print(held)
