"""Signing: what makes two failures the same one, so that thousands of dead letters read as a few rows."""

import json
import re

from contracts.artifacts import digest_of

LEFT_OUT = "…"
"""Stands where two sentences about the same failure may differ."""

_ITEM = r"(?<=[\w-])(?:\[\d+\](?:\#\d+)?|\#\d+)"
"""What follows a step's name in a subtask's: ``[3]``, ``#2``, ``[3]#2``."""
_WORD = r"[^\W\d]*\d\w*"
_NUMBERED = rf"(?:(?<![^\s(])[+-])?(?<!\w)(?>{_WORD}(?:[.,:+-]{_WORD})*)"
"""A word with a digit in it, or a chain of them: numbers, times, ids, digests, addresses of machines. It is read
in one way only, since a sentence may hold whatever a vendor or a model said."""
_DIFFERS = re.compile(
    rf"""
    (?P<item> {_ITEM})
    | “[^“”]*” | ‘[^‘’]*’ | "[^"]*" | `[^`]*` | (?<!\w)'[^']*'(?!\w)  # texts in quotes
    | (?<!\w)\w+://\S*
    | (?<![\w.+-])[\w.+-]+@(?>[\w-]+)(?:\.[\w-]+)*\.[A-Za-z]{{2,}}
    | \b[0-9a-fA-F]{{8}}(?:-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}\b
    | {_NUMBERED}\s?(?:ms|s|min|h|d)\b  # lengths of time, whatever their unit
    | {_NUMBERED}
    """,
    re.VERBOSE,
)


def normalised(sentence: str) -> str:
    """The sentence without what differs from one failure to the next: ids, digests, numbers, lengths of time, texts
    in quotes, addresses, and which item and round of a step it was."""
    while (shorter := _DIFFERS.sub(_replaced, sentence)) != sentence:
        sentence = shorter  # what was left out may have stood between two quotes that belong together
    return sentence


def signature(category: str, code: str, lane: str | None, vendor: str | None, normalised: str) -> str:
    """The digest of what makes two failures the same one."""
    same = json.dumps([category, code, lane, vendor, normalised], ensure_ascii=False)
    return digest_of(same.encode())


def _replaced(found: re.Match[str]) -> str:
    return "" if found["item"] else LEFT_OUT
