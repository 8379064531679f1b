"""Which sentences of a document answer a question best."""

import re
from math import log
from random import Random

from workers.simulator.answers.passages import PERSONAL, Passage, passages
from workers.simulator.answers.prompt import Block
from workers.simulator.answers.words import overlap, stem, stems

_LEANING = re.compile(
    r"^(?:this|these|those|it|its|they|their|he|she|that|such|here|then|however|also|but|and|so|see|note|"
    r"for more|for example|if you|to (?:see|learn|use|install|get|run|do)|please|click|check|read|visit|join|"
    r"once|in this|the (?:above|following|latter|former)|again|instead|otherwise|alternatively|"
    r"as (?:you|a result)|finally|first|next|now|after (?:that|this))\b",
    re.IGNORECASE,
)
"""Openings that need the sentence before them."""
_ADDRESSING = re.compile(r"\b(?:you|your)\b", re.IGNORECASE)
_SELLING = re.compile(
    r"sponsor|donat|thank|subscri|copyright|licen[cs]e|backer|contribut|maintainer|logo|newsletter|twitter|"
    r"discord|slack|mailing list|hiring|great job|is due to|job board|"
    r"funding|end[- ]of[- ]life|bug report|documentation for",
    re.IGNORECASE,
)
_DATED = re.compile(
    r"\bv?\d+\.\d|no longer|deprecat|\bnew\b|\bversion\b|\bV\d\b|breaking change|since ", re.IGNORECASE
)
"""What is true of one release only."""
_DEFINING = r"(?:is an? |is the |are |is usually |is designed |provides |lets |helps |communicates )"
_TELLING = r"\b(?:can |supports |allows |includes |uses |offers |provides |is an? |is the |are )"
_NEAR = 0.5
_TELLING_STEMS = 4
"""So many stems, and two texts that share them say nearly the same."""
_WORTH = 0.3
"""A score below which a sentence is not worth quoting, unless there is hardly anything else."""
_ALWAYS = 2
_ALWAYS_OF_LINES = 4
_MOST = 12


def ranked(document: Block, question: str, chance: Random) -> list[Passage]:
    """The passages of a document, best first, no two of them saying nearly the same."""
    every = passages(document.text)
    rarity = _rarity(every)
    asked = stems(question) - stems(document.name)
    scored = [
        (_score(passage, document.name, asked, rarity) + chance.random() * 0.05, passage) for passage in every
    ]
    always = _ALWAYS_OF_LINES if any(passage.handicap for passage in every) else _ALWAYS
    chosen: list[Passage] = []
    for score, passage in sorted(scored, key=lambda pair: -pair[0]):
        if len(chosen) >= (always if score < _WORTH else _MOST):
            break
        mine = stems(passage.statement)
        if len(mine) < _TELLING_STEMS or all(
            overlap(mine, stems(other.statement)) < _NEAR for other in chosen
        ):
            chosen.append(passage)
    return chosen


def _rarity(every: tuple[Passage, ...]) -> dict[str, float]:
    counts: dict[str, int] = {}
    for passage in every:
        for each in stems(passage.statement):
            counts[each] = counts.get(each, 0) + 1
    return {each: log(1 + len(every) / count) for each, count in counts.items()}


def _score(passage: Passage, name: str, asked: frozenset[str], rarity: dict[str, float]) -> float:
    statement = passage.statement
    told = stems(statement)
    score = sum(rarity.get(each, 0.0) for each in told & asked) * 1.2
    score += 2.0 * (1 - passage.position)
    score += 1.5 if stem(name) in told else 0.0
    subject = rf"^(?:the )?{re.escape(name)}\b.{{0,20}}\b"
    if re.search(subject + _DEFINING, statement, re.IGNORECASE):
        score += 3.5
    elif re.search(_TELLING, statement):
        score += 0.7
    score -= 3.0 if _LEANING.search(statement) else 0.0
    score -= 6.0 if PERSONAL.search(statement) else 0.0
    score -= 1.5 if _ADDRESSING.search(statement) else 0.0
    score -= 6.0 if passage.aside else 0.0
    score -= 3.5 if _DATED.search(statement) else 0.0
    score -= 6.0 if _SELLING.search(statement) else 0.0
    score -= 1.0 if "://" in passage.quote or "!" in statement else 0.0
    score -= 2.0 if "etc." in statement else 0.0
    score -= 2.5 if ":" in statement else 0.0
    score -= passage.handicap
    return score - (1.0 if len(statement) > 240 else 0.0)
