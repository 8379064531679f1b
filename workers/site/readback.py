"""Reading a published page back from the world, and comparing it with what was approved."""

from collections.abc import Iterator
from pathlib import Path

from markupsafe import escape

from contracts.artifacts import digest_of
from contracts.brief import Draft, Published
from workers.site.markdown import rendered
from workers.site.place import Place
from workers.site.posts import Post, reading
from workers.site.refusal import listed

Finding = tuple[str, str | None]
"""What was compared, in a sentence, and what was found instead where it does not hold."""


def read_back(
    place: Place, published: Published, draft: Draft, job: str, replaced: str | None = None
) -> Iterator[Finding]:
    """Every comparison, each with what was found; `replaced` is the job whose page was to go."""
    approved = published.slug == draft.slug
    found = f"the page is “{published.slug}”, approved was “{draft.slug}”"
    yield "the page stands under the approved slug", None if approved else found
    page = _content(place.page(published.slug))
    yield from _page(page, published, draft)
    yield from _source(_content(place.source(published.slug)), draft)
    with reading(place.posts) as posts:
        yield from _rows([post for post in posts.all() if post.slug == published.slug], published, job)
        if replaced:
            left = listed([post.slug for post in posts.of_job(replaced)])
            yield f"the page of job {replaced} is gone", f"{left} still stands" if left else None
    yield from _index(_content(place.index), published)


def _page(page: bytes | None, published: Published, draft: Draft) -> Iterator[Finding]:
    digest = digest_of(page) if page is not None else "no page"
    text = (page or b"").decode(errors="replace")
    found = f"the page is {digest}, published was {published.page_digest}"
    yield "the page stands with the published digest", None if digest == published.page_digest else found
    has_title = f"<h1>{escape(draft.title)}</h1>" in text
    yield "the page carries the approved title", None if has_title else "the page lacks the approved title"
    has_body = rendered(draft.body, draft.citations) in text
    yield (
        "the page carries the approved text",
        None if has_body else "the page's text is not the approved one",
    )
    missing = [each for each in draft.citations if f'id="source-{escape(each)}"' not in text]
    yield (
        f"the page has a source for each of its {len(draft.citations)} citations",
        f"the page lacks the sources {listed(missing)}" if missing else None,
    )


def _source(source: bytes | None, draft: Draft) -> Iterator[Finding]:
    stands = source is not None and source.endswith(f"---\n\n{draft.body}\n".encode())
    yield (
        "the page's Markdown is the approved one",
        None if stands else "the page's Markdown is not the approved one",
    )


def _rows(rows: list[Post], published: Published, job: str) -> Iterator[Finding]:
    owners = ", ".join(row.job for row in rows) or "none"
    single = len(rows) == 1 and rows[0].job == job
    found = f"the posts table has {len(rows)} row(s) for “{published.slug}”, of: {owners}"
    yield "the posts table has exactly one row for the page, of this job", None if single else found
    agrees = all(row.page_digest == published.page_digest for row in rows)
    yield "the posts table has the published digest", None if agrees else "the posts table has another digest"


def _index(index: bytes | None, published: Published) -> Iterator[Finding]:
    links = (index or b"").count(f'href="{published.slug}.html"'.encode())
    found = f"the index links “{published.slug}” {links} times"
    yield "the index links the page exactly once", None if links == 1 else found


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
