"""Sentences of a document that can be quoted."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from workers.simulator.answers.markup import is_clean, plain
from workers.simulator.answers.words import words

_FENCE = re.compile(r"^\s*(```|~~~)")
_BULLET = re.compile(r"^\s*(?:[-*+•]|\d+[.)]|#\.)\s+")
_SKIPPED = re.compile(
    r"^\s*(?:#{1,6}\s|\.\.\s|:[\w -]+:|>|\||<|\[!\[|!\[|\[[^\]]+\]:|\$ |>>>|"
    r"[=\-~^*+\"'`#_]{3,}\s*$|Copyright)"
)
"""Headings, directives, fields, quotations, tables, HTML, images, references, prompts, rules."""
_END = re.compile(r"(?<=[.!?])[)\"”*]*\s+(?=[(\"“*`_:\[]*[A-Z])")
_ABBREVIATED = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|approx|incl|resp|St|Mr|Dr|No)\.$")
_VERBS = re.compile(
    r"\b(?:is|are|was|were|has|have|can|may|must|will|does|supports?|uses?|provides?|includes?|allows?|lets|makes?|"
    r"runs?|works?|offers?|requires?|needs?|means|contains?|gives?|keeps?|handles?|helps?|comes?|takes?|returns?|"
    r"sends?|performs?|enables?|implements?|defines?|fits?|depends?|stores?|writes?|reads?|plays?)\b"
)
_CHARACTERS = range(40, 331)
_WORDS = range(7, 50)


@dataclass(frozen=True)
class Passage:
    """One quotable sentence."""

    quote: str
    """As it stands in the document, white space folded."""
    statement: str
    """The same without markup."""
    position: float
    """Where it stands, 0 (beginning) to 1 (end)."""


def folded(text: str) -> str:
    return " ".join(text.split())


@lru_cache(maxsize=256)
def passages(text: str) -> tuple[Passage, ...]:
    """All quotable sentences of a document, in its order."""
    whole = folded(text)
    found: dict[str, Passage] = {}
    for paragraph in _paragraphs(text):
        for sentence in _sentences(paragraph):
            statement = plain(sentence)
            # Folding lines can join what the document keeps apart, so each quote is looked up once more.
            if _is_quotable(statement) and (place := whole.find(sentence)) >= 0:
                found.setdefault(statement, Passage(sentence, statement, place / max(1, len(whole))))
    return tuple(found.values())


def _is_quotable(statement: str) -> bool:
    return (
        len(statement) in _CHARACTERS
        and len(words(statement)) in _WORDS
        and statement[-1] in ".!"
        and (statement[0].isupper() or statement[0].isdigit())
        and is_clean(statement)
        and _VERBS.search(statement) is not None
    )


def _sentences(paragraph: str) -> Iterator[str]:
    pending = ""
    for piece in _END.split(paragraph):
        pending = f"{pending} {piece}" if pending else piece
        if not _ABBREVIATED.search(pending):
            yield pending.strip()
            pending = ""
    if pending:
        yield pending.strip()


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs and list items of prose, each folded into one line; code and decoration are left out."""
    prose: list[str] = []
    fenced = literal = False
    for line in [*text.splitlines(), ""]:
        if _FENCE.match(line):
            fenced = not fenced
            line = ""
        elif fenced:
            continue
        literal = literal and (not line.strip() or line[0].isspace())
        if not line.strip() or literal or _SKIPPED.match(line) or _BULLET.match(line):
            if prose:
                literal = literal or prose[-1].rstrip().endswith("::")
                yield folded(" ".join(prose))
            prose = []
        if line.strip() and not literal and not _SKIPPED.match(line):
            prose.append(_BULLET.sub("", line))
        # The body of a directive is not prose either.
        literal = literal or (line.lstrip().startswith(".. ") and "::" in line)
