"""A page: a short brief written out of claims that are already checked."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Any

from workers.simulator.answers.claims import claims as claims_of
from workers.simulator.answers.lengths import Length, stated_lengths
from workers.simulator.answers.prompt import Reading, RenderedClaim
from workers.simulator.answers.questions import merged
from workers.simulator.answers.statement import lowered, shown_name, unattributed
from workers.simulator.answers.words import clipped, listed, stems

TITLE = Length(0, 90)
DESCRIPTION = Length(60, 280)
_PER_SECTION = 2
_LEADS = 2
_ORDER = re.compile(
    r"^(?:please )?(?:compare |(?:write|give|prepare|draft|create|make)(?: me| us)?(?: an?| the)? "
    r"(?:short |one-page )?(?:brief|page|summary|overview|note)s?(?: page)? "
    r"(?:on|about|of|comparing|that|for|which) )",
    re.IGNORECASE,
)
_SECOND = ("{name} also says that {rest}", "Beyond that, {rest}", "In addition, {rest}", "Further, {rest}")


@dataclass(frozen=True)
class _Source:
    name: str
    claims: tuple[RenderedClaim, ...]


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
    words = re.findall(r"[a-z0-9]+", title.lower())
    return clipped(" ".join(words), 60).replace(" ", "-") or "page"


def _sources(reading: Reading, chance: Random) -> list[_Source]:
    """The claims by document; where nobody took claims out yet, sentences of the documents themselves."""
    claims = list(reading.claims)
    if not claims:
        drawn = claims_of(reading, 0, 4, chance)
        claims = [RenderedClaim(f"{each['source']}-0", each["statement"], each["quote"]) for each in drawn]
    names = dict.fromkeys(claim.source for claim in claims)
    told = "\n".join(f"{claim.statement}\n{claim.quote}" for claim in claims)
    return [
        _Source(shown_name(name, told), tuple(claim for claim in claims if claim.source == name))
        for name in names
    ]


def _title(question: str, length: Length) -> str:
    first = re.split(r"(?<=[?.!])\s", _ORDER.sub("", question.strip()), maxsplit=1)[0]
    title = clipped(first.rstrip(" .!"), length.most or 90)
    if first.endswith("?") and not title.endswith("?"):
        title = clipped(title.rpartition(",")[0] or title, (length.most or 90) - 1)
    return (title[:1].upper() + title[1:]) or "A brief"


def _description(sources: list[_Source], title: str, length: Length) -> str:
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
    while len(text) < length.least:
        text += f" A short brief with its sources: {title}."[: max(0, most - len(text))] or "."
    return text


def _body(reading: Reading, sources: list[_Source], chance: Random) -> str:
    leads = [source.claims[0] for source in sources if len(source.claims) > 1][:_LEADS]
    parts = [_opening(sources, leads)]
    joints = cycle(chance.sample(_SECOND, len(_SECOND)))
    for source in sources:
        rest = [claim for claim in source.claims if claim not in leads][:_PER_SECTION]
        if rest:
            parts += [f"## {source.name}", _section(source.name, rest, reading, joints)]
    if reading.open_questions:
        parts += ["## Open questions", "\n".join(f"- {each}" for each in merged(reading.open_questions)[:5])]
    return "\n\n".join(part for part in parts if part)


def _opening(sources: list[_Source], leads: list[RenderedClaim]) -> str:
    """The answer in short, or, where each source says one thing only, who says anything."""
    if leads:
        return " ".join(_cited(claim.statement, claim) for claim in leads)
    named = [f"{source.name}{_mark(source.claims[0])}" for source in sources]
    return (
        f"What follows rests on {listed(named)}."
        if named
        else "The documents at hand do not answer the question."
    )


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
    return f"{sentence.rstrip('.! ')}{_mark(claim)}."


def _mark(claim: RenderedClaim) -> str:
    return "" if claim.id.endswith("-0") else f" [{claim.id}]"
