"""`fleet replay`: ended work run again, looked at first."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.ending import FAILED, INTERRUPTED, Refusal
from orchestrator.cli.link import fleet
from orchestrator.cli.options import Actor, AsJson, Cursor, actor_or_user, number
from orchestrator.cli.progress import waits_for_a_person
from orchestrator.cli.replay_screen import counted, left, listed, previewed, showed
from orchestrator.cli.screen import complaints, console

if TYPE_CHECKING:
    from orchestrator.client import FleetClient
    from orchestrator.reads.replays import ReplayRead

UNIT_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
LOOK_SECONDS = 1.0
RELEASED, DONE = "released", "done"


def replay(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]…", help="Jobs or subtasks, or the first characters.")
    ] = None,
    signature: Annotated[
        str | None, typer.Option("--signature", help="Dead letters of this signature.")
    ] = None,
    lane: Annotated[str | None, typer.Option("--lane", help="Dead letters of this lane.")] = None,
    category: Annotated[str | None, typer.Option("--category", help="Of this category of failure.")] = None,
    code: Annotated[str | None, typer.Option("--code", help="Of this code of failure.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Of this tenant.")] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", help="Of this workflow.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Died since: 30m, 2h, 1d or a moment.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Died before: as --since.")] = None,
    paused: Annotated[
        str | None,
        typer.Option(
            "--paused", metavar="SCOPE", help="Ended by its time while this was held: 'lane draft'."
        ),
    ] = None,
    downstream_of: Annotated[
        str | None, typer.Option("--downstream-of", metavar="ID", help="What was built on this subtask.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it is only looked at.")] = False,
    reason: Annotated[
        str | None, typer.Option("--reason", "--why", help="Why, for whoever asks later.")
    ] = None,
    approve_as: Annotated[
        str | None, typer.Option("--approve-as", metavar="NAME", help="Who else approves unsafe steps.")
    ] = None,
    edit: Annotated[
        str | None,
        typer.Option("--edit", metavar="PATCH", help="A JSON Patch of the inputs: a file, or the text."),
    ] = None,
    from_step: Annotated[
        str | None, typer.Option("--from", metavar="STEP", help="Make this step and all behind it anew.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", parser=number, help="At most so many jobs a minute.")
    ] = None,
    most_open: Annotated[
        int | None, typer.Option("--most-open", help="At most so many jobs at once.")
    ] = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Although it is done and what it applied stands, or a replay of it is under way, done or applied.",
        ),
    ] = False,
    show: Annotated[
        str | None, typer.Option("--show", metavar="REPLAY", help="Show how far a replay is.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="With --show or --yes: follow it to its end.")
    ] = False,
    abort: Annotated[
        str | None, typer.Option("--abort", metavar="REPLAY", help="Release nothing more of a replay.")
    ] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="With --abort: cancel what was released, too.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, max=200, help="How many replays a page of the list has.")
    ] = None,
    cursor: Cursor = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Run ended work again as new jobs, with what was finished kept. Without --yes it says only what it would do;
    without anything it lists replays.

    Example: fleet replay --signature 5f0c9a --yes --reason "the vendor is back"
    """
    words = {"signature": signature, "lane": lane, "category": category, "code": code, "tenant": tenant}
    words |= {"workflow": workflow, "since": since, "until": until, "paused": paused}
    how = {"approve-as": approve_as, "edit": edit, "from": from_step, "rate": rate, "most-open": most_open}
    selecting = {"ID": ids, "downstream-of": downstream_of} | words
    doing = how | {"again": again, "yes": yes}
    beside = {"reason": reason, "watch": watch, "cancel": cancel, "limit": limit, "cursor": cursor}
    if abort is not None:
        _refuse("--abort REPLAY", selecting | doing | {"show": show} | beside, "reason", "cancel")
    elif show is not None:
        _refuse("--show REPLAY", selecting | doing | beside, "watch")
    elif any(selecting.values()):
        _refuse("a replay by ids or filters", beside, "reason", *(["watch"] if yes else []))
    elif not yes:
        _refuse(
            "the list of replays (say what is run again: ids, or a filter)", doing | beside, "limit", "cursor"
        )
    client, name = fleet(), actor_or_user(actor)
    if abort is not None:
        if not reason:
            raise typer.BadParameter("say why it is aborted: --reason")
        return showed(client.abort_replay(abort, name, reason, cancel), as_json)
    if show is not None:
        return _follow(client, show, as_json) if watch else _show(client, show, as_json)
    words |= {"since": moment(since), "until": moment(until)}
    selection = _given(**words, ids=ids or None, downstream_of=downstream_of)
    if not selection:
        if yes:
            raise typer.BadParameter("say what is run again: ids, or at least one of the filters")
        return listed(client.replays(**_given(limit=limit, cursor=cursor)), as_json)
    asked = _given(
        selection=selection,
        requested_by=name,
        reason=reason,
        approved_by=approve_as,
        edit=patch(edit),
        from_step=from_step,
        per_minute=rate,
        most_open=most_open,
        again=again or None,
    )
    if not yes:
        return previewed(client.preview_replay(asked), as_json)
    if not reason:
        raise typer.BadParameter("a replay always has a reason: --reason")
    opened = client.open_replay(asked)
    return _follow(client, opened.id, as_json) if watch else showed(opened, as_json)


def _refuse(what: str, options: dict[str, Any], *taken: str) -> None:
    """Raises BadParameter where an option was given that has no meaning here."""
    given = [name for name, value in options.items() if value not in (None, False) and name not in taken]
    if given:
        named = " and ".join(name if name == "ID" else f"--{name}" for name in given)
        raise typer.BadParameter(f"{what} goes without {named}")


def _given(**words: Any) -> dict[str, Any]:
    return {name: value for name, value in words.items() if value is not None}


def moment(given: str | None) -> str | None:
    """A moment as the API reads it, out of one, or of how long ago it was."""
    if given is None:
        return None
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", given.strip())
    try:
        if ago and ago[2] in UNIT_SECONDS:
            return (datetime.now(UTC) - timedelta(seconds=float(ago[1]) * UNIT_SECONDS[ago[2]])).isoformat()
        return datetime.fromisoformat(given.strip()).astimezone().isoformat()
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"“{given}” is neither so long ago (30m, 2h, 1d) nor a moment (2026-11-21T13:00)"
        ) from None


def patch(given: str | None) -> list[Any] | None:
    """A JSON Patch out of its text, or of the file that holds it."""
    if given is None:
        return None
    source = "--edit"
    if not given.lstrip().startswith("["):
        source = given
        try:
            given = Path(given).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refusal(f"{source} cannot be read: {error}") from None
    try:
        read = json.loads(given)
    except ValueError as error:
        raise Refusal(f"{source} is not JSON: {error}") from None
    if not isinstance(read, list):
        raise Refusal(f"{source} is no JSON Patch: it must be a list of operations")
    return read


def _show(client: "FleetClient", given: str, as_json: bool) -> None:
    """How far it is, and which person it waits for."""
    read = client.replay(given)
    showed(read, as_json)
    if not as_json and read.ended_at is None:
        _hint(client, read.id, set())


def _follow(client: "FleetClient", given: str, as_json: bool) -> None:
    """Tells each change until the replay has ended, then how; the exit code is 0 only if all of it is done."""
    read, told, hinted = client.replay(given), "", set[str]()
    try:
        while read.ended_at is None:
            line = f"{counted(read)}{f'; {left(read)}' if left(read) else ''}"
            if not as_json and line.split(";")[0] != told.split(";")[0]:
                console().print(line)
                told = line
            if not as_json:
                _hint(client, read.id, hinted)
                _tell_held(read, hinted)
            time.sleep(LOOK_SECONDS)
            read = client.replay(read.id)
    except KeyboardInterrupt:
        complaints().print(f"the replay goes on; `fleet replay --abort {read.id} --reason …` ends it")
        raise typer.Exit(INTERRUPTED) from None
    showed(read, as_json)
    if sum(count for state, count in read.items.items() if state == DONE) < read.total:
        raise typer.Exit(FAILED)


def _tell_held(read: "ReplayRead", hinted: set[str]) -> None:
    """Says once what keeps it from going on, or it would be followed for days."""
    for held in read.held:
        if held not in hinted:
            hinted.add(held)
            console().print(f"held now: {held}", markup=False, highlight=False, soft_wrap=True)


def _hint(client: "FleetClient", replay_id: str, hinted: set[str]) -> None:
    """Says once of each question to a person that a job of the replay waits for, or it would be followed for days."""
    asked = [each for each in client.approvals().items if each.id not in hinted]
    if not asked:
        return
    at_work = {item.new_job_id for item in client.replay_items(replay_id, RELEASED).items}
    for each in asked:
        if each.job_id in at_work:
            hinted.add(each.id)
            console().print(
                f"job {each.job_id} {waits_for_a_person(each)}", markup=False, highlight=False, soft_wrap=True
            )
