"""Publishing one page, once: files, then the row that makes them a post, then the index.

A crash before the row leaves files that nothing lists, and the next try overwrites them; a crash after it
leaves an index without the post, and the next try, finding the row, only rebuilds the index. A page that this one
replaces loses its files and its row before that row is there: until then the next try finds it and goes on.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from contracts.artifacts import digest_of
from contracts.brief import Published
from contracts.failures import Code, HandlerFailure
from workers.site.files import replace_file
from workers.site.page import Page, index_html
from workers.site.place import Place
from workers.site.posts import Post, Posts, reading, writing
from workers.site.refusal import refusal


class Taken(HandlerFailure):
    """The slug belongs to another effect by now: the site refuses the page, and none of its effect stands there."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def put_up(place: Place, page: Page, now: Callable[[], datetime] = utc_now) -> Published:
    """Publishes the page unless its effect key is in the posts table already, and says where it stands.

    Raises Taken (state_changed) where the slug belongs to another effect by now.
    """
    place.directory.mkdir(parents=True, exist_ok=True)
    with writing(place.posts) as posts:
        post = posts.of_effect(page.effect_key) or _put(place, page, posts, now())
    # Under the lock again: an older list of posts must not replace a newer one.
    with writing(place.posts) as posts:
        listing = posts.all()
        replace_file(place.index, index_html(place.directory.name, listing))
    return Published(
        slug=post.slug, path=place.address(post.slug), page_digest=post.page_digest, posts=len(listing)
    )


def shown(place: Place, page: Page) -> str:
    """What the site shows of the page's effect, in a sentence: whether it was applied before."""
    with reading(place.posts) as posts:
        post = posts.of_effect(page.effect_key)
    if post is None:
        return "the posts table has no page of this effect, so it was not applied"
    return f"the posts table has “{post.slug}” of this effect since {post.published_at}, so it was applied"


def _put(place: Place, page: Page, posts: Posts, at: datetime) -> Post:
    slug = page.draft.slug
    other = posts.of_slug(slug)
    if other is not None and other.job != page.replaces:
        refused = refusal(
            Code.STATE_CHANGED,
            f"the slug “{slug}” was taken by job {other.job} since it was approved, and the approval is bound to it",
            {"slug": slug, "job": other.job},
        )
        raise Taken(refused.failure)
    html = page.html(place.directory.name, at)
    for old in posts.of_job(page.replaces) if page.replaces else []:
        if old.slug != slug:
            place.page(old.slug).unlink(missing_ok=True)
            place.source(old.slug).unlink(missing_ok=True)
        posts.remove(old)
    replace_file(place.source(slug), page.markdown(at))
    replace_file(place.page(slug), html)
    post = Post(
        slug=slug,
        effect_key=page.effect_key,
        job=page.job,
        title=page.draft.title,
        description=page.draft.description,
        page_digest=digest_of(html),
        published_at=at.isoformat(),
    )
    posts.add(post)
    return post
