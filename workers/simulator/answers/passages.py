"""Passages of a document that can be quoted: good sentences, and where there are hardly any, its lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from workers.simulator.answers.lines import Line, lines
from workers.simulator.answers.markup import inert, is_clean, plain
from workers.simulator.answers.paragraphs import folded, paragraphs
from workers.simulator.answers.words import clipped, is_english, word_count, words

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
_WITH_MARKUP = 1_500
"""So many characters a sentence may have together with its links."""
_LONGEST_QUOTE = 300
_FEWEST_WORDS = 3
_ENOUGH = 2
"""So many good sentences, and the lines of a document are not looked at."""
_LINES = 400
PERSONAL = re.compile(r"\b(?:we|our|us|my|me)\b|\bI\b|\blet's\b", re.IGNORECASE)


@dataclass(frozen=True)
class Passage:
    """One quotable sentence or line."""

    quote: str
    """As it stands in the document, white space folded."""
    statement: str
    """The same without markup."""
    position: float
    """Where it stands, 0 (beginning) to 1 (end)."""
    aside: bool
    """Whether it stands in a section that is not about the subject, such as one of sponsors."""
    spoken: bool = True
    """Whether it is a sentence that can go on in another's words; what is not is told between quotation marks."""
    handicap: float = 0.0
    """What its kind counts against it."""


@lru_cache(maxsize=256)
def passages(text: str) -> tuple[Passage, ...]:
    """All quotable sentences of a document in its order, then its lines where there are fewer than two.
    Whatever has three words has a passage."""
    good = _good(text)
    if sum(not passage.aside for passage in good) >= _ENOUGH:
        return good
    others = tuple(each for each in _plain_lines(text) if not _repeats(each, good))
    return good + others or _beginning(text)


def _good(text: str) -> tuple[Passage, ...]:
    whole = folded(text)
    found: dict[str, Passage] = {}
    for paragraph in paragraphs(text):
        for sentence in _sentences(paragraph.text):
            if len(sentence) > _WITH_MARKUP:
                continue
            statement = plain(sentence)
            # Folding lines can join what the document keeps apart, so each quote is looked up once more.
            if _is_quotable(statement) and (place := whole.find(sentence)) >= 0:
                position = place / max(1, len(whole))
                spoken = PERSONAL.search(statement) is None
                found.setdefault(statement, Passage(sentence, statement, position, paragraph.aside, spoken))
    return tuple(found.values())


def _plain_lines(text: str) -> Iterator[Passage]:
    """The sentences and lines that are no good sentences, each once."""
    whole = folded(text)
    seen = set[str]()
    for line in islice(lines(text), _LINES):
        quote = clipped(line.text, _LONGEST_QUOTE)
        if (
            word_count(inert(quote)) >= _FEWEST_WORDS
            and quote not in seen
            and (place := whole.find(quote)) >= 0
        ):
            seen.add(quote)
            yield _told(line, quote, place / len(whole))


def _told(line: Line, quote: str, position: float) -> Passage:
    statement, handicap = plain(quote), 4.0 if line.secondary else 2.0
    if quote == line.text and not line.secondary and _is_sentence(statement):
        stop = "." if statement[-1].isalnum() else ""
        return Passage(quote, statement + stop, position, aside=False, handicap=handicap)
    shown = inert(quote) + ("" if quote == line.text else " …")
    return Passage(quote, shown, position, aside=False, spoken=False, handicap=handicap)


def _is_sentence(statement: str) -> bool:
    """Whether a line is an English sentence, even a short one or one without its full stop."""
    begins = statement[:1].isupper() or statement[:1].isdigit()
    ends = statement[-1:] in (".", "!") or (statement[-1:].isalnum() and _VERBS.search(statement) is not None)
    proper = begins and ends and is_clean(statement) and not _TWO.search(statement)
    return proper and is_english(statement) and PERSONAL.search(statement) is None


def _repeats(passage: Passage, good: tuple[Passage, ...]) -> bool:
    return any(passage.quote in each.quote or each.quote in passage.quote for each in good)


def _beginning(text: str) -> tuple[Passage, ...]:
    """The beginning of a document whose lines are too short to be quoted one by one."""
    whole = folded(text)
    quote = clipped(whole, _LONGEST_QUOTE)
    if word_count(quote) < _FEWEST_WORDS:
        return ()
    shown = inert(quote) + ("" if quote == whole else " …")
    return (Passage(quote, shown, 0.0, aside=False, spoken=False),)


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
