"""Paragraphs of prose in a Markdown or reStructuredText document; code and decoration are left out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"^\s*(```|~~~)")
_BULLET = re.compile(r"^\s*(?:[-*+•]|\d+[.)]|#\.)\s+")
_HEADING = re.compile(r"^(#{1,6})\s+(.*)$")
_RULE = re.compile(r"^([=\-~^*+\"'`#_.:])\1{2,}\s*$")
_SKIPPED = re.compile(r"^\s*(?:\.\.\s|:[\w -]+:|>|\||<|\[!\[|!\[|\[[^\]]+\]:|\$ |Copyright)")
"""Directives, fields, quotations, tables, HTML, images, references, prompts."""
_ASIDE = re.compile(
    r"change ?log|release notes|what's new|history|^v?\d+\.\d|sponsor|donat|fund|backer|enterprise|"
    r"collective|contribut|credits|thanks|licen[cs]e|author|maintainer|communit|support|getting help|^help|"
    r"contact|security|mailing|discussion|chat|social|badge|legal|conduct|wiki|bug|reporting|"
    r"get(?:ting)? started|install|versions|documentation",
    re.IGNORECASE,
)
"""Headings of sections that are not about the subject."""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph or a list item, white space folded."""

    text: str
    aside: bool
    """Whether its section, or one around it, is not about the subject."""


def folded(text: str) -> str:
    """The text with each run of white space as one space."""
    return " ".join(text.split())


def paragraphs(text: str) -> Iterator[Paragraph]:
    """All paragraphs in order."""
    reader = _Reader()
    for line in [*text.splitlines(), ""]:
        yield from reader.read(line)


class _Reader:
    """Goes through a document line by line."""

    def __init__(self) -> None:
        self._prose: list[str] = []
        self._fenced = False
        self._literal = False
        """Inside an indented block after ``::`` or a directive."""
        self._ranks: list[str] = []
        """The signs that underline headings, in the order in which the document introduced them."""
        self._aside_rank: int | None = None

    def read(self, line: str) -> Iterator[Paragraph]:
        if _FENCE.match(line):
            self._fenced = not self._fenced
            yield from self._ended()
            return
        if self._fenced or self._in_literal(line):
            return
        if heading := _HEADING.match(line):
            yield from self._ended()
            self._enter(heading[2], len(heading[1]))
        elif (rule := _RULE.match(line)) and len(self._prose) <= 1:
            self._underline(rule[1])
        elif not line.strip() or _SKIPPED.match(line):
            yield from self._ended()
            self._literal = self._literal or (line.lstrip().startswith(".. ") and "::" in line)
        else:
            if _BULLET.match(line):
                yield from self._ended()
            self._prose.append(_BULLET.sub("", line))

    def _in_literal(self, line: str) -> bool:
        if line.strip() and not line[0].isspace():
            self._literal = False
        return self._literal

    def _ended(self) -> Iterator[Paragraph]:
        if self._prose:
            self._literal = self._prose[-1].rstrip().endswith("::")
            yield Paragraph(folded(" ".join(self._prose)), self._aside_rank is not None)
        self._prose = []

    def _underline(self, sign: str) -> None:
        """A line of signs makes the single line before it a heading."""
        if not self._prose:
            return
        if sign not in self._ranks:
            self._ranks.append(sign)
        self._enter(self._prose.pop(), self._ranks.index(sign) + 1)

    def _enter(self, heading: str, rank: int) -> None:
        """A section begins; one of sponsors ends with the next heading of its rank or above."""
        if self._aside_rank is not None and rank > self._aside_rank:
            return
        self._aside_rank = rank if _ASIDE.search(heading.strip()) else None
