"""What makes two failures the same one."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.deciders.signing import normalised, signature

WORDS = st.text("abcdefghijklmnopqrstuvwxyzäß-", min_size=1, max_size=8)
NUMBERS = st.one_of(
    st.integers(0, 10**9).map(str), st.floats(0, 10**6).map(str), st.integers(0, 10**9).map("{:,}".format)
)
BETWEEN = st.sampled_from([" ", ", ", " (", ") ", ": ", "; "])


@given(st.text())
def test_what_is_normalised_stays_as_it_is(sentence: str) -> None:
    once = normalised(sentence)
    assert normalised(once) == once


@given(st.text(alphabet="ab1 #[]'\"“”‘’`@:/.-…", max_size=60))
def test_so_does_what_is_full_of_quotes_and_marks(sentence: str) -> None:
    once = normalised(sentence)
    assert normalised(once) == once


@given(st.lists(st.tuples(WORDS, BETWEEN, NUMBERS, NUMBERS, BETWEEN), min_size=1, max_size=6))
def test_sentences_that_differ_only_in_numbers_are_the_same(
    parts: list[tuple[str, str, str, str, str]],
) -> None:
    one = "".join(word + before + first + after for word, before, first, _, after in parts)
    other = "".join(word + before + second + after for word, before, _, second, after in parts)
    assert normalised(one) == normalised(other)


ALIKE = [
    ("vendor_error: openai answered 503 after 12.4 s", "vendor_error: openai answered 500 after 2 min"),
    ("review: objects with 1 finding(s)", "review#3: objects with 12 finding(s)"),
    ("research[3]#2 got nothing from draft", "research got nothing from draft#4"),
    ("no field “title” in 01M7XE2PSHK5AE4YEJT8VBAR87", "no field “body” in 01M7XE2PSHK5AE4YEJT8VBAR8Z"),
    ("could not fetch https://a.b/c?d=1 of ann@b.co", "could not fetch s3://x/y of bob@x.org"),
    ("sha256:0f1e… is not 'a b'", "sha256:9a8b… is not 'c'"),
    (
        "no answer from 10.0.0.1:6379 for 550e8400-e29b-41d4-abcd-446655440000",
        "no answer from 10.11.12.13:1 for 00000000-e29b-abcd-efab-446655440000",
    ),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_ids_items_quotes_addresses_and_times_are_left_out(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


def test_what_is_left_still_says_what_happened() -> None:
    assert normalised("draft#2: delivered brief.Draft@1 where review.Verdict@1 is wanted (try 2 of 4)") == (
        "draft: delivered brief.Draft@… where review.Verdict@… is wanted (try … of …)"
    )


def test_a_signature_tells_category_code_lane_and_vendor_apart() -> None:
    whose = [
        ("output", "cut", "draft", "openai", "so"),
        ("judgement", "cut", "draft", "openai", "so"),
        ("output", "empty", "draft", "openai", "so"),
        ("output", "cut", "review", "openai", "so"),
        ("output", "cut", "draft", "google", "so"),
        ("output", "cut", "draft", None, "so"),
        ("output", "cut", None, None, "so"),
        ("output", "cut", "draft", "openai", "otherwise"),
    ]
    signatures = [signature(*each) for each in whose]
    assert len(set(signatures)) == len(whose)
    assert signatures == [signature(*each) for each in whose]


@pytest.mark.parametrize("what", ["a", "1.2", "a1:", "“", "'", "a@b.", "[", "1#"])
def test_no_text_is_slow_to_read(what: str) -> None:
    """What a vendor or a model says is read in the loop: the time grows with the text and not with its square."""
    began = time.monotonic()
    normalised(what * 50_000)
    assert time.monotonic() - began < 5, (
        "the bound is loose because the machine is shared; alone it takes 0.1 s"
    )
