"""Claims: statements with the passages that bear them."""

from random import Random
from typing import Any

from workers.simulator.answers.paragraphs import folded
from workers.simulator.answers.prompt import Block, Reading
from workers.simulator.answers.relevance import ranked
from workers.simulator.answers.statement import attributed
from workers.simulator.answers.words import EMPTY, words

STATEMENTS = ("claim", "statement", "fact", "assertion", "finding", "text")
"""Names under which the statement beside a quote goes."""
_ENOUGH = 4


def claims(reading: Reading, least: int, most: int, chance: Random) -> list[dict[str, Any]]:
    """Two to four claims, best first, as ``quote``, ``statement``, ``source`` and ``confidence``. A prompt
    without a quotable sentence has none, unless the schema insists."""
    count = max(least, min(most, chance.randint(2, _ENOUGH)))
    found = [
        _claim(document, passage.quote, passage.statement, chance)
        for document in reading.sources
        for passage in ranked(document, reading.question, chance)[: _share(count, len(reading.sources))]
    ]
    found += _fallback(reading, least - len(found), chance)
    return found[: max(count, least)]


def _share(count: int, documents: int) -> int:
    return max(1, -(-count // max(1, documents)))


def _claim(document: Block, quote: str, sentence: str, chance: Random) -> dict[str, Any]:
    name = document.name.strip() or "the document"
    return {
        "quote": quote,
        "statement": attributed(sentence, name, document.text, chance),
        "source": name,
        "confidence": round(chance.uniform(0.6, 0.97), 2),
    }


def _fallback(reading: Reading, missing: int, chance: Random) -> list[dict[str, Any]]:
    """Lines of the documents where sentences do not suffice."""
    lines = [
        (block, folded(line)) for block in reading.sources for line in block.text.splitlines() if line.strip()
    ]
    return [_claim(block, line[:300], line[:300], chance) for block, line in lines[: max(0, missing)]]


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
