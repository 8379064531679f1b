"""The check of quotes, against documents that were cut and mangled in every way but in their words."""

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.artifacts import digest_of
from contracts.brief import Claim, Claims
from contracts.failures import Code, HandlerFailure
from tests.doubles import Bench
from workers.handlers.quotes import check, find_quote, id_name
from workers.task import Task

SPACE = st.text(" \t\n\r\u00a0\u2003", min_size=1, max_size=4)
WORD = st.text("abcxyzÄß.*+?()[]\\^$|éЖ中", min_size=1, max_size=6)


@st.composite
def _spaced(draw: st.DrawFn, words: list[str]) -> str:
    return "".join(word + draw(SPACE) for word in words)


@st.composite
def _cut(draw: st.DrawFn) -> tuple[str, int, int]:
    """A document, and the two ends of a passage of it."""
    text = draw(st.lists(WORD, min_size=1, max_size=30).flatmap(_spaced))
    start = draw(st.integers(0, len(text) - 1))
    return text, start, draw(st.integers(start + 1, len(text)))


@given(_cut(), st.data())
def test_a_quote_cut_anywhere_and_spaced_otherwise_is_found_where_it_stands(
    cut: tuple[str, int, int], data: st.DataObject
) -> None:
    text, start, end = cut
    words = text[start:end].split()
    assume(words)
    found = find_quote(data.draw(SPACE) + data.draw(_spaced(words)), text)
    assert found is not None
    offset, length = found
    assert text[offset : offset + length].split() == words
    assert offset <= start + len(text[start:end]) - len(text[start:end].lstrip())


@given(_cut())
def test_a_passage_that_stands_once_is_found_at_its_own_offset(cut: tuple[str, int, int]) -> None:
    text, start, end = cut
    assume(text[start:end].strip())
    # Numbering every character makes every passage the only one of its kind.
    unique = "".join(f"{at:04}" + each for at, each in enumerate(text))
    passage = unique[start * 5 : end * 5]
    assert find_quote(passage, unique) == (start * 5, len(passage.rstrip()))


@given(_cut(), st.integers(0, 1000))
def test_a_quote_with_one_word_changed_is_not_found(cut: tuple[str, int, int], which: int) -> None:
    text, start, end = cut
    words = text[start:end].split()
    assume(words)
    words[which % len(words)] = "changed"
    assert find_quote(" ".join(words), text) is None


@pytest.mark.parametrize("quote", ["", " \n\t", "Turbines", "turbinesturn"])
def test_an_empty_quote_another_case_and_a_lost_space_do_not_stand(quote: str) -> None:
    assert find_quote(quote, "the turbines turn") is None


def _claim(quote: str) -> Claim:
    return Claim(claim=f"It says {quote[:20]}.", quote=quote, confidence=0.9)


def _task(tmp_path: Path, document: bytes, *quotes: str, source: str = "turbines") -> Task:
    bench = Bench(tmp_path)
    claims = Claims(claims=tuple(map(_claim, quotes)), open_questions=("At which wind?",))
    return bench.task(bench.made("claims", claims), bench.material("document", document, source))


def test_what_stands_is_kept_and_numbered_and_what_does_not_is_struck_with_its_reason(tmp_path: Path) -> None:
    document = "Wind\r\nturns   the turbines.\nNothing else does. Ж".encode()
    task = _task(tmp_path, document, "turns the turbines.", "no such words", "  ", "Nothing\nelse")
    checked = check(task)
    assert [(c.id, c.offset, c.length) for c in checked.claims] == [
        ("turbines-1", 6, 21),
        ("turbines-2", 28, 12),
    ]
    assert [c.reason for c in checked.struck] == [
        "its quote does not stand in “turbines”, white space folded",
        "its quote is empty",
    ]
    assert checked.digest == digest_of(document)
    assert checked.open_questions == ("At which wind?",)
    assert checked.claims[1].quote == "Nothing else"


def test_without_any_quote_that_stands_there_is_no_evidence(tmp_path: Path) -> None:
    with pytest.raises(HandlerFailure) as failed:
        check(_task(tmp_path, b"wind", "water", "fire"))
    failure = failed.value.failure
    assert failure.code is Code.NO_EVIDENCE
    assert failure.sentence == "of 2 claim(s) about “turbines” no quote stands in it"
    assert list(failure.evidence) == ["struck 1", "struck 2"]


def test_a_document_that_is_no_text_is_a_broken_handoff(tmp_path: Path) -> None:
    with pytest.raises(HandlerFailure) as failed:
        check(_task(tmp_path, b"ab\xff", "ab"))
    assert failed.value.failure.code is Code.BROKEN_HANDOFF
    assert "byte 2" in failed.value.failure.sentence


def test_names_that_make_the_same_slug_make_different_ids() -> None:
    digest = digest_of(b"same bytes")
    names = ["annual report", "Annual Report", "annual-report", "annual.report", "年報", "年次"]
    assert id_name("annual-report", digest) == "annual-report"
    assert len({id_name(name, digest) for name in names}) == len(names)
    assert id_name("annual report", digest) != id_name("annual report", digest_of(b"other bytes"))
