"""Text that every database can keep: JSON can escape characters that PostgreSQL cannot store."""

import json
import re
from typing import Any

from fastapi import Request

from contracts.base import UNKEPT
from orchestrator.problems import Malformed

_SUSPECT = re.compile(rb"\\u(0000|[dD][89a-fA-F])")


async def storable(request: Request) -> None:
    """Refuses a JSON body in which any text holds a NUL or half of a surrogate pair."""
    body = await request.body()
    if _SUSPECT.search(body) is None:
        return
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return  # the endpoint's own parsing says what is wrong
    if _holds_unkept(parsed):
        raise Malformed("the body: a text in it holds a NUL character or half of a surrogate pair")


def _holds_unkept(parsed: Any) -> bool:
    left = [parsed]
    while left:
        match left.pop():
            case str(text):
                if UNKEPT.search(text):
                    return True
            case dict(entries):
                left += [*entries, *entries.values()]
            case list(entries):
                left += entries
    return False
