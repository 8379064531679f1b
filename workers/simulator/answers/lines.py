"""What can be quoted of a document that has hardly a sentence: notes, lists, tables, plain lines, headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from workers.simulator.answers.paragraphs import folded

_FENCE = re.compile(r"^\s*(```|~~~)")
_SIGN = re.compile(r"^\s*(?:>\s*)*(?:(?:[-*+•–]|\d+[.)]|#\.)\s+)(?:\[[ xX]\]\s+)?")
_HEADING = re.compile(r"^\s*#{1,6}\s+")
_QUOTATION = re.compile(r"^\s*(?:>\s*)+")
_CLOSED = re.compile(r"[.!?…。！？:][)\"”»’*_`]*$")
_END = re.compile(r"(?<=[.!?…])[)\"”»*_]*\s+|(?<=[。！？])\s*")
_SHORTENED = re.compile(
    r"(?:\b\w|\b\d{1,2}|\b(?:etc|vs|cf|approx|incl|resp|St|Mr|Mrs|Ms|Dr|No|Nr|bzw|ca))\.$"
)
_WRAPPED_FROM = 45
"""A line that goes on in the next one is at least so many characters long."""


@dataclass(frozen=True)
class Line:
    """A sentence, or what stands on a line of its own, without the sign before it; white space folded."""

    text: str
    secondary: bool
    """Whether it is a heading or stands in code, so that anything else says more."""


@dataclass
class _Block:
    """Lines that stand together and begin with no sign, or one item with its indented lines."""

    lines: list[str] = field(default_factory=list)
    item: bool = False


def lines(text: str) -> Iterator[Line]:
    """All of a document, in its order, in the smallest pieces that can be quoted."""
    block, fenced = _Block(), False
    for raw in text.removeprefix("\ufeff").splitlines():
        fence = _FENCE.match(raw) is not None
        continued = block.item and raw[:2].isspace() and not _SIGN.match(raw)
        if fence or fenced or not raw.strip() or _begins(raw) or (block.item and not continued):
            yield from _told(block)
            block = _Block()
        if fence:
            fenced = not fenced
        elif fenced or _HEADING.match(raw):
            yield from _pieces(_HEADING.sub("", raw) if not fenced else raw, secondary=True)
        elif sign := _SIGN.match(raw) or _QUOTATION.match(raw):
            block = _Block([raw[sign.end() :]], item=True)
        elif raw.strip():
            block.lines.append(raw)
    yield from _told(block)


def _begins(raw: str) -> bool:
    """Whether a line begins something new by a sign of its own."""
    return any(sign.match(raw) for sign in (_SIGN, _HEADING, _QUOTATION))


def _told(block: _Block) -> Iterator[Line]:
    if block.item or _is_wrapped(block.lines):
        yield from _pieces(" ".join(block.lines))
        return
    for line in block.lines:
        yield from _pieces(line)


def _is_wrapped(together: list[str]) -> bool:
    """Whether lines are one text that was broken at a width, rather than lines in their own right."""
    *before, last = [line.strip() for line in together] or [""]
    return (
        _CLOSED.search(last) is not None
        and all(len(line) >= _WRAPPED_FROM for line in before)
        and any(_CLOSED.search(line) is None for line in before)
    )


def _pieces(line: str, secondary: bool = False) -> Iterator[Line]:
    """The sentences of a line; what goes on in small letters, or after a short form, is the same sentence."""
    whole = folded(line).strip("| ")
    start = 0
    for end in _END.finditer(whole):
        following = whole[end.end() : end.end() + 1]
        short_form = _SHORTENED.search(whole[max(start, end.start() - 8) : end.start()])
        if following and not following.islower() and not short_form:
            yield Line(whole[start : end.end()].rstrip(), secondary)
            start = end.end()
    if whole[start:]:
        yield Line(whole[start:], secondary)
