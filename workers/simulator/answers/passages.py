"""Sentences of a document that can be quoted."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from workers.simulator.answers.markup import is_clean, plain
from workers.simulator.answers.paragraphs import folded, paragraphs
from workers.simulator.answers.words import words

_END = re.compile(r"(?<=[.!?])[)\"”*]*\s+(?=[(\"“*`_:\[]*[A-Z])")
_TWO = re.compile(r"[a-z]{4,}[.!?] ")
"""A second sentence that begins with a small letter, such as with the name of a command."""
_ABBREVIATED = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|approx|incl|resp|St|Mr|Dr|No)\.$")
_VERBS = re.compile(
    r"(?<!\bto )\b(?:is|are|was|were|has|have|can|may|must|will|does|supports?|uses?|provides?|includes?|"
    r"allows?|lets|makes?|runs?|works?|offers?|requires?|needs?|means|contains?|gives?|keeps?|handles?|helps?|"
    r"comes?|takes?|returns?|sends?|performs?|enables?|implements?|defines?|fits?|communicates?|distributes?|"
    r"monitors?|connects?|depends?|stores|writes?|reads?|plays?)\b"
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
    aside: bool
    """Whether it stands in a section that is not about the subject, such as one of sponsors."""


@lru_cache(maxsize=256)
def passages(text: str) -> tuple[Passage, ...]:
    """All quotable sentences of a document, in its order."""
    whole = folded(text)
    found: dict[str, Passage] = {}
    for paragraph in paragraphs(text):
        for sentence in _sentences(paragraph.text):
            statement = plain(sentence)
            # Folding lines can join what the document keeps apart, so each quote is looked up once more.
            if _is_quotable(statement) and (place := whole.find(sentence)) >= 0:
                found.setdefault(
                    statement, Passage(sentence, statement, place / max(1, len(whole)), paragraph.aside)
                )
    return tuple(found.values())


def _is_quotable(statement: str) -> bool:
    return (
        len(statement) in _CHARACTERS
        and len(words(statement)) in _WORDS
        and statement[-1] in ".!"
        and (statement[0].isupper() or statement[0].isdigit())
        and is_clean(statement)
        and not _TWO.search(statement)
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
