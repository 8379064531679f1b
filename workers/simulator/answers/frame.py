"""What frames a page whose claims alone are too few: the question, how far they answer it, what they rest on.

Nothing here adds to what the claims say, and each sentence cites the claims it speaks of.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from workers.simulator.answers.markup import inert
from workers.simulator.answers.prompt import RenderedClaim
from workers.simulator.answers.words import clipped, is_english, listed, phrases, stems, words

_LONGEST_QUESTION = 300
_MOST_MARKS = 6


@dataclass(frozen=True)
class Source:
    """A document by the name that a page gives it, and the claims that page makes use of."""

    name: str
    claims: tuple[RenderedClaim, ...]


@dataclass(frozen=True)
class Frame:
    """Sentences about a page's own ground. There is one source at least, each with one claim at least."""

    question: str
    sources: tuple[Source, ...]

    def intro(self) -> str:
        asked = clipped(inert(self.question).rstrip(" .!"), _LONGEST_QUESTION)
        named = listed(f"{each.name}{marks(each.claims[:1])}" for each in self.sources)
        return f"This page answers the question “{asked}” out of {named}, and out of nothing else."

    def coverage(self) -> str:
        """Which of the words that carry the question stand in the claims."""
        told = frozenset().union(*(stems(each.quote) for each in self._claims))
        carrying = " ".join(phrases(inert(self.question)) if is_english(self.question) else ())
        asked = dict.fromkeys(words(carrying))
        found = [f"“{each}”" for each in asked if stems(each) & told]
        missing = [f"“{each}”" for each in asked if stems(each) and not stems(each) & told]
        passages, s = ("passage", "s") if len(self._claims) == 1 else ("passages", "")
        if not found:
            whole = f"all that the {passages} quoted here can bear out{marks(self._claims)}"
            return f"Whether that is an answer is for its reader to judge: it is {whole}."
        left_out = f", and leave{s} out {listed(missing)}" if missing else ""
        named = f"{listed(found)}{marks(self._claims)}"
        return f"Of what the question is about, the {passages} quoted here mention{s} {named}{left_out}."

    def grounds(self) -> str:
        given = listed(
            f"{_passages(len(each.claims))} of {each.name}{marks(each.claims)}" for each in self.sources
        )
        return f"All of this rests on {given}, quoted word for word."

    def limits(self) -> str:
        return (
            "Nothing was added: where the material is brief, this page is brief too, and what the material "
            f"leaves unsaid, this page does not say either{marks(self._claims)}."
        )

    def question_left(self) -> str:
        return f"What would documents other than {listed(each.name for each in self.sources)} say about it?"

    @property
    def _claims(self) -> tuple[RenderedClaim, ...]:
        return tuple(claim for source in self.sources for claim in source.claims)


def marks(claims: Iterable[RenderedClaim]) -> str:
    """The citations of some claims, with a space before each; a claim that nobody numbered has none."""
    named = [f" [{claim.id}]" for claim in claims if not claim.id.endswith("-0")]
    return "".join(named[:_MOST_MARKS])


def _passages(count: int) -> str:
    return "one passage" if count == 1 else f"{count} passages"
