"""Questions that the documents leave open."""

import re

from workers.simulator.answers.prompt import Reading
from workers.simulator.answers.statement import shown_name
from workers.simulator.answers.words import is_english, listed, phrases, stem, stems, words

_ASKED = re.compile(r"^(How|What) does (\S+) (deal with .+|say about .+)$")


def open_questions(reading: Reading, most: int) -> list[str]:
    """Questions about what the question names and no document mentions."""
    if not is_english(reading.question):
        return []
    told = frozenset().union(*(stems(block.text) | stems(block.name) for block in reading.sources))
    missing = [
        phrase
        for phrase in phrases(reading.question)
        if not stems(phrase) <= told
        and not _is_name(phrase, reading.question)
        and not _is_verb(phrase, reading.question)
        and not (stems(phrase) & _peers(reading))
    ]
    subject = listed(shown_name(block.name, block.text) for block in reading.sources[:2]) or "the document"
    return [_asked(subject, phrase) for phrase in dict.fromkeys(missing)][: min(most, 3)]


def _asked(subject: str, phrase: str) -> str:
    """A question that reads well for a plural; a singular would lack its article, so it is quoted."""
    if phrase.endswith("s"):
        return f"How does {subject} deal with {phrase}?"
    return f"What does {subject} say about “{phrase}”?"


def merged(questions: tuple[str, ...]) -> list[str]:
    """The questions, those that ask several documents the same made one."""
    subjects: dict[tuple[str, str], list[str]] = {}
    for question in questions:
        match = _ASKED.match(question)
        key = (match[1], match[3]) if match else (question, "")
        subjects.setdefault(key, []).append(match[2] if match else "")
    return [
        f"{opening} {'does' if len(names) == 1 else 'do'} {listed(names)} {rest}" if rest else opening
        for (opening, rest), names in subjects.items()
    ]


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
