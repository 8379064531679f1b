"""Claims: statements with the passages that bear them."""

from random import Random
from typing import Any

from workers.simulator.answers.markup import inert
from workers.simulator.answers.paragraphs import folded
from workers.simulator.answers.passages import Passage
from workers.simulator.answers.prompt import Block, Reading
from workers.simulator.answers.relevance import ranked
from workers.simulator.answers.statement import attributed, quoted
from workers.simulator.answers.words import EMPTY, words

STATEMENTS = ("claim", "statement", "fact", "assertion", "finding", "text")
"""Names under which the statement beside a quote goes."""
_ENOUGH = 4


def claims(reading: Reading, least: int, most: int, chance: Random) -> list[dict[str, Any]]:
    """Up to four claims, best first, as ``quote``, ``statement``, ``source`` and ``confidence``, no quote
    twice. A document that has three words on a line has one at least."""
    count = max(least, min(most, chance.randint(2, _ENOUGH)))
    found = [
        (document, passage)
        for document in reading.sources
        for passage in ranked(document, reading.question, chance)[: _share(count, len(reading.sources))]
    ]
    found += _fallback(reading, least - len(found))
    by_quote: dict[str, tuple[Block, Passage]] = {}
    for document, passage in found:
        by_quote.setdefault(passage.quote, (document, passage))
    chosen = list(by_quote.values())[: max(count, least)]
    return [_claim(document, passage, chance) for document, passage in chosen]


def _share(count: int, documents: int) -> int:
    return max(1, -(-count // max(1, documents)))


def _claim(document: Block, passage: Passage, chance: Random) -> dict[str, Any]:
    name = document.name.strip() or "the document"
    if passage.spoken:
        statement = attributed(passage.statement, name, document.text, chance)
    else:
        statement = quoted(passage.statement, name, document.text)
    return {
        "quote": passage.quote,
        "statement": statement,
        "source": name,
        "confidence": round(chance.uniform(0.6, 0.97), 2),
    }


def _fallback(reading: Reading, missing: int) -> list[tuple[Block, Passage]]:
    """Lines of the documents, however few their words, where a schema insists."""
    lines = [
        (block, folded(line)[:300])
        for block in reading.sources
        for line in block.text.splitlines()
        if line.strip()
    ]
    return [
        (block, Passage(line, inert(line), 0.0, aside=False, spoken=False))
        for block, line in lines[: max(0, missing)]
    ]


def altered(quote: str, document: str, chance: Random) -> str:
    """The quote as a careless model remembers it: a few words changed, so that it stands nowhere."""
    parts = quote.split()
    others = [
        word for word in words(document) if len(word) > 4 and word.isalpha() and word.lower() not in EMPTY
    ]
    for _ in range(20):
        changed = list(parts)
        for _ in range(2):
            place = chance.randrange(len(changed))
            changed[place] = chance.choice(others or ["reliably"]).lower()
        if " ".join(changed) not in folded(document):
            return " ".join(changed)
    return f"{quote} in every case"
