"""Words: which of them carry meaning, and how near two texts are by them."""

import re
from collections.abc import Iterable
from functools import lru_cache

_WORD = re.compile(r"[^\W\d_](?:[\w+.-]*(?:[^\W_]|\+))?")
_RUN = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Letters of scripts that put no spaces between words."""
_EMPTY_WORDS = """
a about above across after all also am an and any are as at based be because been before being best
better between both but by can could did do does doing done down during each either else ever every
few for from further get give gives good had has have having he her here hers him his how i if in
into is it its just kind know less let like main make makes many may me might mine more most much
must my need needs neither no nor not of off on once one only or other others our out over own per
please same say says see shall she should show so some such suit suits take tell than that the their
them then there these they thing this those through to too under until up upon us use used uses
using very via want was way ways we well were what when where whether which while who whom whose why
will with within without work works would write yes yet you your brief summary summarise summarize
explain describe compare comparison overview short handle handles deal offer offers provide provides
support supports bring brings choose pick team project projects
package packages library libraries tool tools thing things python part
parts cover covers aspect aspects role fit fits keep keeps kept happen happens differ differs difference
differences purpose serve serves find help helps
small large big simple common different important real modern typical popular particular several
said told given made stated known called divide share split talk mention mentions mentioned
"""
EMPTY = frozenset(_WORD.findall(_EMPTY_WORDS))
"""Words that say nothing about a subject, also in a question."""
_ENGLISH = frozenset(
    _WORD.findall(
        "the and are were has have had that this its with which from they been their not does by it what how "
        "when where who why should"
    )
)
"""Frequent words that hardly any other language has."""


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """A crude stem: enough to bring ``retries`` and ``retry`` together."""
    word = word.lower().strip(".-_")
    for ending, replacement in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word[: -len(ending)] + replacement
    return word


def words(text: str) -> list[str]:
    return _WORD.findall(text)


def word_count(text: str) -> int:
    """Words and numbers of a text in any script; where a script has no spaces, each letter counts."""
    return sum(len(_UNSPACED.findall(run)) or 1 for run in _RUN.findall(text))


def is_english(text: str) -> bool:
    return any(word.lower() in _ENGLISH for word in words(text))


def stems(text: str) -> frozenset[str]:
    """The stems of the words that carry meaning."""
    return frozenset(stem(word) for word in words(text) if word.lower() not in EMPTY and len(word) > 1)


def overlap(left: frozenset[str], right: frozenset[str]) -> float:
    """Shared stems over all stems, 0 to 1."""
    return len(left & right) / len(left | right) if left and right else 0.0


def phrases(text: str) -> list[str]:
    """Runs of words that carry meaning, as they stand: ``how are rate limits kept`` gives ``rate limits``,
    ``kept``."""
    runs: list[list[str]] = [[]]
    for piece in re.findall(r"[\w+-]+(?:\.[\w+-]+)*|[^\w\s]", text):
        if piece.lower() in EMPTY or not piece[0].isalnum():
            runs.append([])
        else:
            runs[-1].append(piece)
    return [" ".join(run) for run in runs if run]


def listed(items: Iterable[str], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    every = list(items)
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} {last} {every[-1]}" if every else ""


def clipped(text: str, limit: int) -> str:
    """A text cut at a word so that it fits."""
    if len(text) <= limit:
        return text
    head = text[: limit + 1].rsplit(" ", 1)[0]
    return head[:limit].rstrip(" ,;:–-")
