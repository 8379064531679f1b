"""A page: a short brief written out of claims that are already checked."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import cycle
from random import Random
from typing import Any

from workers.simulator.answers.claims import claims as claims_of
from workers.simulator.answers.frame import Frame, Source, marks
from workers.simulator.answers.lengths import Length, stated_lengths
from workers.simulator.answers.markup import inert
from workers.simulator.answers.prompt import Reading, RenderedClaim
from workers.simulator.answers.questions import merged
from workers.simulator.answers.statement import is_quoted, lowered, shown_name, told_name, unattributed
from workers.simulator.answers.words import clipped, stems

TITLE = Length(0, 90)
DESCRIPTION = Length(60, 280)
BODY_CHARACTERS = 420
"""A page with less of its own says more of what it rests on."""
_PER_SECTION = 2
_IN_ONLY_SECTION = 3
_LEADS = 2
_ORDER = re.compile(
    r"^(?:please )?(?:compare |(?:write|give|prepare|draft|create|make)(?: me| us)?(?: an?| the)? "
    r"(?:short |one-page )?(?:brief|page|summary|overview|note)s?(?: page)? "
    r"(?:on|about|of|comparing|that|for|which) )",
    re.IGNORECASE,
)
_SECOND = ("{name} also says that {rest}", "Beyond that, {rest}", "In addition, {rest}", "Further, {rest}")


def page(reading: Reading, chance: Random) -> dict[str, Any]:
    """``title``, ``slug``, ``description``, ``body`` (Markdown), ``citations``, ``confidence``."""
    lengths = stated_lengths(reading.instructions)
    sources = _sources(reading, chance)
    title = _title(reading.question, lengths.get("title", TITLE))
    body = _body(reading, sources, chance)
    return {
        "title": title,
        "slug": slug(title),
        "description": _description(sources, title, lengths.get("description", DESCRIPTION)),
        "body": body,
        "citations": cited_ids(body, (claim.id for claim in reading.claims)),
        "confidence": round(chance.uniform(0.65, 0.95), 2),
    }


def cited_ids(body: str, known: Iterable[str]) -> list[str]:
    """The known ids in the order in which a body cites them."""
    wanted = set(known)
    return [each for each in dict.fromkeys(re.findall(r"\[([^\s\[\]]+)\]", body)) if each in wanted]


def slug(title: str) -> str:
    """Lower-case words joined by hyphens, at most 60 characters."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain.lower())
    return clipped(" ".join(words), 60).replace(" ", "-") or "page"


def _sources(reading: Reading, chance: Random) -> list[Source]:
    """The claims by document; where nobody took claims out yet, sentences of the documents themselves."""
    claims = list(reading.claims)
    if not claims:
        drawn = claims_of(reading, 0, 4, chance)
        claims = [RenderedClaim(f"{each['source']}-0", each["statement"], each["quote"]) for each in drawn]
    names = dict.fromkeys(claim.source for claim in claims)
    told = "\n".join(f"{claim.statement}\n{claim.quote}" for claim in claims)
    return [
        Source(_name(of_it) or shown_name(name, told), of_it)
        for name in names
        if (of_it := tuple(claim for claim in claims if claim.source == name))
    ]


def _name(claims: Iterable[RenderedClaim]) -> str | None:
    """The document's name as its claims tell it; their ids only hold what is left of it."""
    return next((name for claim in claims if (name := told_name(claim.statement))), None)


def _title(question: str, length: Length) -> str:
    first = re.split(r"(?<=[?.!])\s", _ORDER.sub("", inert(question)), maxsplit=1)[0]
    title = clipped(first.rstrip(" .!"), length.most or 90)
    if first.endswith("?") and not title.endswith("?"):
        title = clipped(title.rpartition(",")[0] or title, (length.most or 90) - 1)
    return (title[:1].upper() + title[1:]) or "A brief"


def _description(sources: list[Source], title: str, length: Length) -> str:
    """The first statements that fit, else the shortest one cut at a word."""
    most = length.most or 280
    statements = [source.claims[0].statement for source in sources]
    statements += [claim.statement for source in sources for claim in source.claims[1:]]
    text = ""
    for statement in statements:
        longer = f"{text} {statement}".strip()
        if len(longer) <= most and len(text) < max(length.least, 150):
            text = longer
    if not text:
        shortest = min(statements, key=len, default="")
        text = clipped(shortest, most - 1) + "." if shortest else f"A short brief: {title}"
    if len(text) < length.least:
        text = (
            clipped(f"{text} A short page with its sources, on the question: {title.rstrip('?')}", most - 1)
            + "."
        )
    return text


def _body(reading: Reading, sources: list[Source], chance: Random) -> str:
    """What every page says, and of what frames a page as little as makes this one long enough."""
    left_open = merged(reading.open_questions)[:5]
    if not sources:
        return _joined(
            [(0, "The documents at hand do not answer the question."), (0, _listing(left_open))], 0
        )
    leads = [source.claims[0] for source in sources if len(source.claims) > 1][:_LEADS]
    told = [
        _told(source, leads, _PER_SECTION if len(sources) > 1 else _IN_ONLY_SECTION) for source in sources
    ]
    frame = Frame(reading.question, tuple(told))
    sections = _sections(told, leads, reading, chance)
    pieces = [
        (1 if leads else 0, frame.intro()),
        (0, " ".join(_cited(claim.statement, claim) for claim in leads)),
        (2, frame.coverage()),
        *((0, section) for section in sections),
        (3, f"## What this rests on\n\n{frame.grounds()}"),
        (4, frame.limits()),
        (0, _listing(left_open)),
        (5, "" if left_open else _listing([frame.question_left()])),
    ]
    bodies = [_joined(pieces, measure) for measure in range(6)]
    return next((body for body in bodies if len(body) >= BODY_CHARACTERS), bodies[-1])


def _joined(pieces: list[tuple[int, str]], measure: int) -> str:
    """The pieces that are needed at such a measure, as paragraphs."""
    return "\n\n".join(text for needed, text in pieces if text and needed <= measure)


def _told(source: Source, leads: list[RenderedClaim], most: int) -> Source:
    """The source with the claims that the page tells: its lead, and some others."""
    rest = [claim for claim in source.claims if claim not in leads][:most]
    return Source(source.name, (*(claim for claim in source.claims if claim in leads), *rest))


def _sections(
    sources: list[Source], leads: list[RenderedClaim], reading: Reading, chance: Random
) -> list[str]:
    """For each source what its lead did not say: sentences, then what is only quoted as a list."""
    joints = cycle(chance.sample(_SECOND, len(_SECOND)))
    sections: list[str] = []
    for source in sources:
        rest = [claim for claim in source.claims if claim not in leads]
        spoken = [claim for claim in rest if not is_quoted(claim.statement)]
        listed_only = [
            f"- {_cited(unattributed(each.statement), each)}" for each in rest if each not in spoken
        ]
        parts = [_section(source.name, spoken, reading, joints) if spoken else "", "\n".join(listed_only)]
        if rest:
            sections += [f"## {source.name}", *(part for part in parts if part)]
    return sections


def _listing(questions: list[str]) -> str:
    if not questions:
        return ""
    return "\n\n".join(["## Open questions", "\n".join(f"- {each}" for each in questions)])


def _section(name: str, claims: list[RenderedClaim], reading: Reading, joints: Iterator[str]) -> str:
    """One paragraph: the first statement as it is, the next joined to it."""
    document = "\n".join(block.text for block in reading.sources) or reading.everything
    sentences = [_cited(unattributed(claims[0].statement), claims[0])]
    for claim in claims[1:]:
        joined = unattributed(claim.statement)
        if not _is_own_subject(joined, claim):
            rest = lowered(joined, document)
            joined = next(joints).format(name=name, rest=rest)
        sentences.append(_cited(joined, claim))
    return " ".join(sentences)


def _is_own_subject(sentence: str, claim: RenderedClaim) -> bool:
    """Whether a sentence begins with its document's name and needs no phrase before it."""
    return bool(stems(sentence.split(" ", 1)[0]) & stems(claim.source))


def _cited(sentence: str, claim: RenderedClaim) -> str:
    return f"{sentence.rstrip('.! ')}{marks([claim])}."
