"""Which sentences of a document answer a question best."""

import re
from math import log
from random import Random

from workers.simulator.answers.passages import Passage, passages
from workers.simulator.answers.prompt import Block
from workers.simulator.answers.words import overlap, stem, stems

_LEANING = re.compile(
    r"^(?:this|these|those|it|its|they|their|he|she|that|such|here|then|however|also|but|and|so|see|note|"
    r"for more|for example|if you|to (?:see|learn|use|install|get|run|do)|please|click|check|read|visit|join|once|"
    r"in this|the (?:above|following|latter|former)|again|instead|otherwise|alternatively|"
    r"as (?:you|a result)|finally|first|next|now|after (?:that|this))\b",
    re.IGNORECASE,
)
"""Openings that need the sentence before them."""
_PERSONAL = re.compile(r"\b(?:we|we're|our|us|i|my|you|your|let's)\b", re.IGNORECASE)
_SELLING = re.compile(
    r"sponsor|donat|thank|subscri|copyright|licen[cs]e|backer|contribut|maintainer|logo|newsletter|twitter|"
    r"discord|slack|mailing list|hiring|job board|funding|end[- ]of[- ]life|bug report|documentation for",
    re.IGNORECASE,
)
_TELLING = r"\b(?:is an? |is the |are |provides |supports |allows |lets |helps |can |includes |uses |offers )"
_NEAR = 0.5


def ranked(document: Block, question: str, chance: Random) -> list[Passage]:
    """The passages of a document, best first, no two of them saying nearly the same."""
    every = passages(document.text)
    rarity = _rarity(every)
    asked = stems(question) - stems(document.name)
    scored = sorted(
        every,
        key=lambda passage: -_score(passage, document.name, asked, rarity) - chance.random() * 0.05,
    )
    chosen: list[Passage] = []
    for passage in scored:
        mine = stems(passage.statement)
        if all(overlap(mine, stems(other.statement)) < _NEAR for other in chosen):
            chosen.append(passage)
        if len(chosen) == 12:
            break
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
    if re.search(rf"^(?:the )?{re.escape(name)}\b.{{0,20}}{_TELLING}", statement, re.IGNORECASE):
        score += 3.0
    elif re.search(_TELLING, statement):
        score += 0.7
    score -= 3.0 if _LEANING.search(statement) else 0.0
    score -= 1.5 if _PERSONAL.search(statement) else 0.0
    score -= 6.0 if _SELLING.search(statement) else 0.0
    score -= 1.0 if "://" in passage.quote or "!" in statement or ":" in statement else 0.0
    return score - (1.0 if len(statement) > 240 else 0.0)
