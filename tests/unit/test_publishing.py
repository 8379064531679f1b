"""The publishing contract: each rule with a draft that breaks it, and the repairs that come first."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.artifacts import digest_of
from contracts.brief import CheckedClaim, CheckedClaims, Draft
from contracts.failures import Code, HandlerFailure
from tests.doubles import Bench
from workers.handlers.publishing import eligibility
from workers.site.contract import RULES, Candidate, broken_rules
from workers.site.markdown import cited_ids
from workers.site.names import free_slug, is_slug, slugified
from workers.site.posts import Post, writing
from workers.site.repairs import repaired
from workers.site.sources import sources_of
from workers.task import Task

FILLER = "Wind moves the blades, the blades move a shaft, and the shaft moves the generator. " * 6
DIGEST = digest_of(b"document")


def _checked(*ids: str, quote: str = "wind turns them") -> CheckedClaims:
    claims = tuple(
        CheckedClaim(claim="Wind turns them.", quote=quote, confidence=0.9, id=each, offset=0, length=15)
        for each in ids
    )
    return CheckedClaims(document="wind", digest=DIGEST, claims=claims)


def _draft(**changes: Any) -> Draft:
    fields: dict[str, Any] = {
        "title": "How wind turns turbines",
        "slug": "how-wind-turns-turbines",
        "description": "What moves the blades of a turbine, and what that has to do with wind.",
        "body": f"{FILLER}[wind-1]",
        "citations": ("wind-1",),
        "confidence": 0.8,
    }
    return Draft(**(fields | changes))


def _candidate(**changes: Any) -> Candidate:
    sources = sources_of([_checked("wind-1", "wind-2")])
    return Candidate(_draft(**changes), sources, frozenset({"taken"}), frozenset({"images/blade.png"}))


def test_a_sound_draft_breaks_no_rule() -> None:
    body = f"{FILLER}[wind-1] and `<b>` ![a blade](images/blade.png) 1 < 2"
    assert broken_rules(_candidate(body=body)) == {}


@pytest.mark.parametrize(
    ("rule", "changes", "sentence"),
    [
        ("title", {"title": ""}, "the title has 0 characters, 1 to 120 are needed"),
        ("title", {"title": "x" * 121}, "the title has 121 characters, 1 to 120 are needed"),
        ("title", {"title": "one\ntwo"}, "the title has 2 lines, 1 is needed"),
        ("description", {"description": "x" * 49}, "the description has 49 characters, 50 to 300 are needed"),
        (
            "description",
            {"description": "x" * 301},
            "the description has 301 characters, 50 to 300 are needed",
        ),
        (
            "minimum length",
            {"body": "Short. [wind-1]"},
            "the body has 15 characters, at least 400 are needed",
        ),
        ("cites", {"body": FILLER, "citations": ()}, "the body has 0 citations, at least 1 is needed"),
        ("cites", {"body": f"{FILLER}`[wind-1]`", "citations": ()}, "the body has 0 citations"),
        (
            "sources exist",
            {"body": f"{FILLER}[wind-1, sun-9]", "citations": ("wind-1", "sun-9")},
            "the body cites “sun-9”, none of the 2 checked claims",
        ),
        ("citations listed", {"citations": ()}, "citations does not list “wind-1”, which the body cites"),
        (
            "citations listed",
            {"citations": ("wind-1", "wind-2")},
            "citations lists “wind-2”, which the body does not cite",
        ),
        ("slug shape", {"slug": "../x"}, "the slug “../x” is not lower-case words"),
        ("slug shape", {"slug": "index"}, "the slug “index” is not"),
        ("unique slug", {"slug": "taken"}, "the slug “taken” belongs to another job"),
        ("valid images", {"body": f"{FILLER}[wind-1] ![x](https://e.org/x.png)"}, "1 image(s) stand outside"),
        ("valid images", {"body": f"{FILLER}[wind-1] ![x](images/../../x.png)"}, "1 image(s) stand outside"),
        ("valid images", {"body": f"{FILLER}[wind-1] ![x](data:image/png,1)"}, "1 image(s) stand outside"),
        ("valid images", {"body": f"{FILLER}[wind-1] ![x](images/x.png)"}, "1 image(s) are missing"),
        (
            "no raw HTML",
            {"body": f"{FILLER}[wind-1] <script>x()</script>"},
            "the body has 2 piece(s) of raw HTML",
        ),
        (
            "no raw HTML",
            {"body": f"{FILLER}[wind-1]\n\n<!-- hidden -->"},
            "the body has 1 piece(s) of raw HTML",
        ),
    ],
)
def test_a_broken_rule_says_what_was_found_and_what_is_needed(
    rule: str, changes: dict[str, Any], sentence: str
) -> None:
    broken = broken_rules(_candidate(**changes))
    assert list(broken) == [rule]
    assert broken[rule].startswith(sentence)


def test_a_cited_claim_without_a_quote_is_no_source() -> None:
    sources = sources_of([_checked("wind-1", quote=" ")])
    broken = broken_rules(Candidate(_draft(), sources, frozenset(), frozenset()))
    assert broken == {"sources quoted": "1 cited claim(s) have no quote: “wind-1”"}


def test_every_rule_has_a_name_of_its_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_one_id_for_two_claims_is_refused() -> None:
    with pytest.raises(HandlerFailure, match="“wind-1” means two claims"):
        sources_of([_checked("wind-1"), _checked("wind-1", quote="something else")])


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ("a [x-1][y-2] b [x-1]", ("x-1", "y-2")),
        ("[x-1, y-2;\nz-3]", ("x-1", "y-2", "z-3")),
        ("[x-1](https://e.org) and `[y-2]` and [sic] and [1] and [a claim-1]", ()),
        ("[x-1]: https://evil.example\n\nsee [x-1]", ("x-1",)),
        ("- **[x-1]**\n- _[y-2]_\n\n| a |\n|---|\n| [z-3] |", ("x-1", "y-2", "z-3")),
    ],
)
def test_citations_are_ids_in_brackets_that_are_neither_link_nor_code(
    body: str, ids: tuple[str, ...]
) -> None:
    assert cited_ids(body) == ids


@given(st.text(max_size=300))
def test_whatever_the_title_its_slug_is_one(title: str) -> None:
    slug = slugified(title)
    assert is_slug(slug) or slug == "index"
    assert is_slug(free_slug(slug, {slug}))


@given(st.text(max_size=100), st.text(max_size=100), st.sets(st.sampled_from(["page", "page-2", "a"])))
def test_repairing_twice_changes_nothing_more(title: str, slug: str, taken: set[str]) -> None:
    once = repaired(_draft(title=title, slug=slug), taken)
    assert repaired(once, taken) == once
    assert is_slug(once.slug)
    assert once.slug not in taken


def _task(tmp_path: Path, draft: Draft, job: str = "job-1") -> Task:
    bench = Bench(tmp_path, job=job)
    return bench.task(bench.made("draft", draft), bench.made("claims", _checked("wind-1", "wind-2")))


def test_declared_repairs_come_before_the_rules(tmp_path: Path) -> None:
    crooked = _draft(
        title="  How wind turns turbines ",
        slug="How Wind/Turns",
        description="\n" + _draft().description,
        body=f"{FILLER}[wind-2][wind-1]",
        citations=("wind-1", "sun-7"),
    )
    mended = eligibility(_task(tmp_path, crooked))
    assert mended == _draft(body=f"{FILLER}[wind-2][wind-1]", citations=("wind-2", "wind-1"))


def _post(tmp_path: Path, slug: str, job: str) -> None:
    site = tmp_path / "sites" / "acme" / "energy"
    site.mkdir(parents=True, exist_ok=True)
    with writing(site / "posts.sqlite3") as posts:
        posts.add(Post(slug, f"key of {slug}", job, "T", "D", DIGEST, "2026-01-01T00:00:00+00:00"))


def test_a_slug_of_another_job_is_numbered_on_and_one_of_the_same_job_is_kept(tmp_path: Path) -> None:
    slug = _draft().slug
    _post(tmp_path, slug, "job-0")
    _post(tmp_path, f"{slug}-2", "job-0")
    assert eligibility(_task(tmp_path, _draft())).slug == f"{slug}-3"
    assert eligibility(_task(tmp_path, _draft(), job="job-0")).slug == slug


def test_a_draft_that_no_repair_mends_is_refused_with_every_broken_rule(tmp_path: Path) -> None:
    with pytest.raises(HandlerFailure) as failed:
        eligibility(_task(tmp_path, _draft(description="x" * 31, body="Short [sun-1].")))
    failure = failed.value.failure
    assert failure.code is Code.INELIGIBLE
    assert "the description has 31 characters, 50 to 300 are needed" in failure.sentence
    assert list(failure.evidence) == ["description", "minimum length", "sources exist"]


def test_holding_a_draft_against_the_contract_makes_no_site(tmp_path: Path) -> None:
    eligibility(_task(tmp_path, _draft()))
    assert list(tmp_path.iterdir()) == []
