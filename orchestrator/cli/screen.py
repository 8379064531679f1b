"""What commands print: text and tables for people, JSON for programs."""

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestrator.deciders.spans import span as span

if TYPE_CHECKING:
    from orchestrator.reads.costs import Cost
    from orchestrator.reads.lineage import Kin

SHOWN_DIGITS = 10
"""Of a signature."""
PIPE_WIDTH = 200
"""Columns of a table that no terminal limits."""


def console() -> Console:
    """Standard output; wide where it is no terminal, so that nothing is cut for a width nobody has."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def complaints() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def show_json(value: Any) -> None:
    """A pydantic model, or plain data, as JSON on standard output."""
    import json

    plain = value.model_dump(mode="json") if hasattr(value, "model_dump") else value
    sys.stdout.write(json.dumps(plain, indent=2, ensure_ascii=False, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """A table without lines; the named columns are set to the right."""
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return made


def card(rows: Iterable[tuple[str, str]]) -> Table:
    """Names on the left, what they are on the right; empty ones are left out."""
    made = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        if value:
            made.add_row(name, text(value))
    return made


_RELATIONS = {
    "origin": "comes from", "replay_of": "replay of", "replayed_as": "replayed as", "follows": "followed by",
}  # fmt: skip


def kin(jobs: "Iterable[Kin]") -> list[tuple[str, str]]:
    """The jobs linked to one, as rows of its card."""
    return [(_RELATIONS[each.relation], f"{each.id} ({each.workflow}, {each.state})") for each in jobs]


def after_failure(job_id: str) -> str:
    """Where to go on from a job that failed."""
    return (
        f"why, in order: `fleet explain {job_id}`; what died: `fleet dead list --each --job {job_id}`; "
        f"to run it again: `fleet replay {job_id}` says first what it would do"
    )


def short(signature: str) -> str:
    """As much of a signature as tells it from others."""
    return signature.removeprefix("sha256:")[:SHOWN_DIGITS]


def text(value: object) -> str:
    """Text of others, so that brackets in it are no markup."""
    return escape(str(value))


def age(moment: datetime | None) -> str:
    """How long ago, in one unit."""
    return "" if moment is None else f"{span((datetime.now(UTC) - moment).total_seconds())} ago"


def money(usd: float, simulated: bool | None = False) -> str:
    return f"${usd:.4f}" + (" (simulated)" if simulated else "")


def saved(cost: "Cost") -> str:
    """What earlier answers saved, or nothing."""
    if not cost.saved_tokens:
        return ""
    return f"{money(cost.saved_usd, cost.simulated)} and {cost.saved_tokens} tokens, by answers of before"


def more(next_cursor: str | None, command: str, given: Mapping[str, str | bool | None] | None = None) -> None:
    """Says how to read on in the same list, with the options it was given; nothing at its end."""
    if next_cursor:
        line = f"more: {command} {options({**(given or {}), 'cursor': next_cursor})}"
        console().print(text(line), style="dim", soft_wrap=True)


def options(given: Mapping[str, str | bool | None]) -> str:
    """Options as they are typed: a switch where it is on, and what has no value not at all."""
    return " ".join(
        f"--{name}" if value is True else f"--{name} {shlex.quote(str(value))}"
        for name, value in given.items()
        if value not in (None, False)
    )


_STYLES = {
    "done": "green", "approved": "green", "running": "cyan", "dispatched": "cyan", "reported": "cyan",
    "submitted": "cyan",
    "awaiting_approval": "yellow", "waiting": "dim", "ready": "cyan", "parked": "yellow", "revise": "yellow",
    "dead": "red", "failed": "red", "rejected": "red", "cancelled": "magenta", "skipped": "dim", "lapsed": "dim",
}  # fmt: skip


def state(word: str) -> str:
    """A state in its colour."""
    return f"[{_STYLES.get(word, 'default')}]{text(word)}[/]"
