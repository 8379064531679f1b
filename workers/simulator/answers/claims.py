"""Claims: statements with the passages that bear them."""

import re
from random import Random
from typing import Any

from workers.simulator.answers.paragraphs import folded
from workers.simulator.answers.prompt import Block, Reading
from workers.simulator.answers.relevance import ranked
from workers.simulator.answers.statement import attributed
from workers.simulator.answers.words import EMPTY, listed, phrases, stem, stems, words

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


def open_questions(reading: Reading, most: int) -> list[str]:
    """Questions about what the question names and no document mentions."""
    told = frozenset().union(*(stems(block.text) | stems(block.name) for block in reading.sources))
    missing = [
        phrase
        for phrase in phrases(reading.question)
        if not (stems(phrase) & told)
        and not _is_name(phrase, reading.question)
        and not _is_verb(phrase, reading.question)
        and not (stems(phrase) & _peers(reading))
    ]
    subject = listed(block.name for block in reading.sources[:2]) or "the document"
    return [_asked(subject, phrase) for phrase in dict.fromkeys(missing)][: min(most, 3)]


def _asked(subject: str, phrase: str) -> str:
    """A question that reads well for a plural; a singular would lack its article, so it is quoted."""
    if phrase.endswith("s"):
        return f"How does {subject} deal with {phrase}?"
    return f"What does {subject} say about “{phrase}”?"


def _is_name(phrase: str, question: str) -> bool:
    """Whether a phrase names something else than a subject, such as another package."""
    first_word = (words(question) or [""])[0]
    return any(
        part[0].isupper() and not part.isupper() and stem(part) != stem(first_word) for part in phrase.split()
    )


def _is_verb(phrase: str, question: str) -> bool:
    """Whether a single word follows a word after which a verb is likely: "which does each *cover*"."""
    before = r"(?:each|it|they|we|you|to|one|both|can|must|should|would|will|could)"
    return " " not in phrase and re.search(rf"\b{before}\s+{re.escape(phrase)}\b", question) is not None


def _peers(reading: Reading) -> frozenset[str]:
    """What the question lists beside a document: in "redis, kombu and celery" each is the others' peer."""
    own = frozenset().union(*(stems(block.name) for block in reading.sources))
    lists = re.findall(r"[\w.-]+(?:, [\w.-]+)*,? (?:and|or|with|versus|vs\.?) [\w.-]+", reading.question)
    return frozenset().union(*(stems(each) for each in lists if stems(each) & own))
