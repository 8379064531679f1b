"""A reviewer: it objects only to a flaw that is really in the numbered text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from workers.simulator.answers.lengths import stated_lengths
from workers.simulator.answers.paragraphs import folded
from workers.simulator.answers.prompt import Reading
from workers.simulator.answers.security import is_security_reading, security_flaws

_ID = r"[^\s\[\],;]+-\d+"
_CITATION = re.compile(rf"\[\s*({_ID}(?:\s*[,;]\s*{_ID})*)\s*\](?!\()")
_HEADER = re.compile(r"^(title|slug|description|summary|headline|citations|decision|tags):", re.IGNORECASE)
_UNCLAIMED = re.compile(r"^(?:#{1,6}\s|\||>|```|---|open:|what follows rests|sources?:)", re.IGNORECASE)
_ASIDE = re.compile(
    r"open (?:questions?|points?|issues?)|(?:left|remains?|stays?|still|what is) open|unanswered|"
    r"sources|references|further reading",
    re.IGNORECASE,
)
_HEADING = re.compile(r"^(#{1,6})\s+(.*)$")
_HEADING_IN_TEXT = re.compile(
    r"^(?:\*\*|__)?(?:open questions?|sources|references)(?:\*\*|__)?:?(?:\*\*|__)?$", re.IGNORECASE
)
"""A line that is a heading by its words alone; it reaches as far as the list below it."""
_ITEM = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")
_INNERMOST = 7
_LONG_PARAGRAPH = 1_200


@dataclass(frozen=True)
class Flaw:
    """Something wrong at one line. ``weight`` is ``minor``, ``major`` or ``critical``."""

    line: int
    weight: str
    problem: str
    suggestion: str = ""


def flaws(reading: Reading) -> list[Flaw]:
    """All flaws, by line. A reading for security looks for nothing else, any other leaves security out."""
    if is_security_reading(reading.instructions):
        found = [
            Flaw(line, "critical", problem, "Take it out.")
            for line, problem in security_flaws(reading.reviewed)
        ]
    else:
        found = [
            *_lengths(reading),
            *_unknown_ids(reading),
            *_uncited(reading),
            *_quotes(reading),
            *_long(reading),
        ]
    return sorted(found, key=lambda flaw: flaw.line)


def _lengths(reading: Reading) -> Iterator[Flaw]:
    stated = stated_lengths(reading.instructions)
    for number, text in reading.reviewed:
        name, colon, value = text.partition(":")
        length = stated.pop(name.strip().lower(), None) if colon else None
        if length is None:
            continue
        size = len(value.strip())
        if size < length.least:
            problem = f"The {name.strip()} is too short: {size} characters, where {length} are asked for."
            yield Flaw(number, "major", problem, f"Say in {length} what the page tells its reader.")
        elif length.most is not None and size > length.most:
            problem = f"The {name.strip()} is too long: {size} characters, where {length} are asked for."
            yield Flaw(number, "major", problem, f"Shorten it to {length}.")


def _unknown_ids(reading: Reading) -> Iterator[Flaw]:
    known = {claim.id for claim in reading.claims}
    if not known:
        return
    for number, text in reading.reviewed:
        for cited in dict.fromkeys(_cited_ids(text)):
            if cited not in known:
                problem = f"The text cites [{cited}], which is none of the claims."
                yield Flaw(
                    number, "major", problem, "Cite a claim that is listed, or take the statement out."
                )


def _cited_ids(text: str) -> list[str]:
    return [each for group in _CITATION.findall(text) for each in re.split(r"\s*[,;]\s*", group)]


def _uncited(reading: Reading) -> Iterator[Flaw]:
    """Paragraphs that state something and cite nothing; what stands under "Open questions" states nothing."""
    if not reading.claims:
        return
    for number, paragraph in _paragraphs(reading.reviewed):
        if len(paragraph.split()) >= 6 and not paragraph.endswith("?") and not _CITATION.search(paragraph):
            problem = f"This paragraph cites no claim: “{paragraph[:60].rstrip()}…”"
            yield Flaw(number, "major", problem, "Cite the claims it rests on, or take it out.")


def _paragraphs(lines: tuple[tuple[int, str], ...]) -> Iterator[tuple[int, str]]:
    """Paragraphs of the body as (number of the first line, folded text), without those of asides."""
    aside, start, parts = _Aside(), 0, list[str]()
    last = lines[-1][0] + 1 if lines else 0
    previous = 0
    for number, text in [*lines, (last, "")]:
        broken = not text.strip() or number != previous + 1 or _ITEM.match(text) is not None
        previous = number
        if (broken or text.startswith("#")) and parts:
            yield start, folded(" ".join(parts))
            parts = []
        if aside.holds(text) or not text.strip() or _HEADER.match(text) or _UNCLAIMED.match(text.strip()):
            continue
        start = start if parts else number
        parts.append(text)


class _Aside:
    """A section that states nothing, such as one of open questions; headings below its own belong to it."""

    def __init__(self) -> None:
        self._rank: int | None = None
        self._blank = False
        """Whether the line before was empty."""

    def holds(self, text: str) -> bool:
        """Whether the next line stands in one, its heading included."""
        after_blank, self._blank = self._blank, not text.strip()
        if heading := _HEADING.match(text):
            rank = len(heading[1])
            if self._rank is None or rank <= self._rank:
                self._rank = rank if _ASIDE.search(heading[2]) else None
        elif _HEADING_IN_TEXT.match(text.strip()):
            self._rank = self._rank or _INNERMOST
        elif self._rank == _INNERMOST and after_blank and text.strip() and not _ITEM.match(text):
            self._rank = None
        return self._rank is not None


def _quotes(reading: Reading) -> Iterator[Flaw]:
    """Claims whose quote does not stand in their document, where the document is at hand."""
    sources = {block.name.lower(): folded(block.text) for block in reading.sources}
    cited = {each: number for number, text in reversed(reading.reviewed) for each in _cited_ids(text)}
    for claim in reading.claims:
        source = sources.get(claim.source.lower())
        if source is not None and claim.id in cited and folded(claim.quote) not in source:
            problem = f"The quote of [{claim.id}] does not stand in {claim.source}."
            yield Flaw(cited[claim.id], "major", problem, "Take the statement out.")


def _long(reading: Reading) -> Iterator[Flaw]:
    for number, paragraph in _paragraphs(reading.reviewed):
        if len(paragraph) > _LONG_PARAGRAPH:
            problem = f"This paragraph is {len(paragraph)} characters long."
            yield Flaw(number, "minor", problem, "Split it.")
