"""Hostile drafts, claims and names: what a browser would make of the page, and which files come of it."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from contracts.brief import CheckedClaim, CheckedClaims
from contracts.failures import Code, HandlerFailure
from contracts.handoffs import EffectGrant
from tests.doubles import Bench
from tests.integration.site_bench import CLAIMS, SiteJob, draft, site_job
from workers.handlers.publishing import eligibility
from workers.handlers.site import publish

SCRIPT = "<script>alert(1)</script>"
HANDLER = "\"><img src=x onerror=alert(1)>'"
TEMPLATE = "{{ 7*7 }}<svg onload=x>"
HARMLESS_TAGS = {"html", "head", "meta", "title", "style", "body"}
HARMLESS_TAGS |= {
    "nav",
    "main",
    "header",
    "article",
    "section",
    "footer",
    "h1",
    "h2",
    "p",
    "a",
    "ol",
    "ul",
    "li",
}
HARMLESS_TAGS |= {"blockquote", "cite", "code", "pre", "time"}


class _Browser(HTMLParser):
    """Collects what could act or load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]


def _seen(html: str) -> _Browser:
    browser = _Browser()
    browser.feed(html)
    return browser


@pytest.mark.parametrize("attack", [SCRIPT, HANDLER, "</style></title>" + SCRIPT, TEMPLATE])
def test_markup_in_every_field_stays_text(tmp_path: Path, attack: str) -> None:
    claim = CheckedClaim(claim=attack, quote=attack, confidence=1, id="wind-1", offset=0, length=9)
    claims = CheckedClaims(document=attack, digest=CLAIMS.digest, claims=(claim,))
    body = f"{attack} [wind-1]\n\n{attack}\n\n# {attack}\n\n`{attack}`\n\n```{attack}\n{attack}\n```\n"
    job = SiteJob(Bench(tmp_path), draft(title=attack, description=attack, body=body), claims)
    published = job.publish()
    for html in (job.html(), job.place.index.read_text()):
        seen = _seen(html)
        assert seen.tags <= HARMLESS_TAGS
        assert not [name for name in seen.attributes if name.startswith("on")]
        assert attack != TEMPLATE or "{{ 7*7 }}" in html
    assert job.verify(published)


@pytest.mark.parametrize(
    "link",
    [
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](java&Tab;script:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "<javascript:alert(1)>",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](vbscript:x)",
        "[x](file:///etc/passwd)",
        "[x]: javascript:alert(1)\n\n[x]",
        "![x](https://tracker.example/x.png)",
        "![x](//tracker.example/x.png)",
        "![x](images/../../secret.png)",
        "![x][y]\n\n[y]: https://tracker.example/x.png",
        "[wind-1]: https://evil.example",
    ],
)
def test_links_run_no_code_and_nothing_is_loaded_from_elsewhere(tmp_path: Path, link: str) -> None:
    job = site_job(tmp_path, body=f"Wind [wind-1].\n\n{link}\n")
    job.publish()
    seen = _seen(job.html())
    assert "img" not in seen.tags
    assert set(seen.addresses) <= {"#source-wind-1", "index.html", "java%09script:alert(1)"}


def test_an_image_beside_the_page_and_an_ordinary_link_are_shown(tmp_path: Path) -> None:
    job = site_job(tmp_path, body="Wind [wind-1]. ![A blade](images/blade.png) [more](https://example.org/)")
    job.publish()
    assert '<img src="images/blade.png" alt="A blade" loading="lazy">' in job.html()
    assert '<a href="https://example.org/" rel="nofollow noopener noreferrer">more</a>' in job.html()


def test_every_page_carries_a_policy_that_lets_nothing_run(tmp_path: Path) -> None:
    job = site_job(tmp_path)
    job.publish()
    for html in (job.html(), job.place.index.read_text()):
        assert "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'" in html


@pytest.mark.parametrize(
    "slug", ["../../evil", "/etc/x", "a/b", "a\\b", ".", "", "index", "A", "a\n", "a" * 81, "a\x00"]
)
def test_a_slug_that_is_no_simple_name_writes_no_file(tmp_path: Path, slug: str) -> None:
    with pytest.raises(HandlerFailure) as failed:
        site_job(tmp_path / "state", slug=slug).publish()
    assert failed.value.failure.code is Code.INELIGIBLE
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("name", ["..", "../x", "/etc", "a/b", "", ".hidden", "a\x00"])
def test_a_portfolio_or_job_that_is_no_simple_name_is_refused(tmp_path: Path, name: str) -> None:
    job = SiteJob(Bench(tmp_path / "state", job=name, portfolio=name), draft())
    scratch = EffectGrant(key="k", target=f"scratch:{name}", approved_digest=None)
    for act in (
        lambda: publish(job.publishing()),
        lambda: publish(job.publishing(scratch)),
        lambda: eligibility(job.publishing()),
    ):
        with pytest.raises(HandlerFailure) as failed:
            act()
        assert failed.value.failure.code is Code.GATE_REFUSED
    assert list(tmp_path.rglob("*")) == []
