"""Pages: a bounded part of a list, and an opaque cursor to the next one."""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from orchestrator.problems import Malformed
from orchestrator.reads.base import Read

DEFAULT_LIMIT = 50
LARGEST_LIMIT = 200

Part = str | int | float
Item = TypeVar("Item")
_PLAIN = re.compile(r"[0-9A-Za-z._:-]{1,100}")


class Page(Read, Generic[Item]):
    """Some items of a list. The list ends where there is no `next_cursor`."""

    items: tuple[Item, ...]
    next_cursor: str | None = None


def page_of(
    rows: Sequence[Any], limit: int, item: Callable[[Any], Item], key: Callable[[Any], tuple[Part, ...]]
) -> Page[Item]:
    """A page out of rows that were read one beyond the limit; `key` is what the order stands on."""
    shown = rows[:limit]
    more = cursor_of(*key(shown[-1])) if len(rows) > limit else None
    return Page(items=tuple(item(row) for row in shown), next_cursor=more)


def cursor_of(*parts: Part) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def parts_of(cursor: str, kinds: tuple[type[Part], ...]) -> tuple[Any, ...]:
    """What the cursor was made of; raises Malformed where it was not made by this list."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        parts = None
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
        raise Malformed("cursor: it was not made by this list; leave it out to begin at the start")
    if not all(_sound(part) for part in parts):
        raise Malformed("cursor: it was altered; leave it out to begin at the start")
    return tuple(parts)


def _sound(part: Part) -> bool:
    if isinstance(part, str):
        return _PLAIN.fullmatch(part) is not None
    return math.isfinite(part) and abs(part) < 2**53
