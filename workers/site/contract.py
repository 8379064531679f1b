"""The publishing contract: what a draft must satisfy before a person is asked to approve it.

The rules are a visible table, and each is code, so that no wording can talk its way past one. The booking
link of the essay's contract is not part of a brief and is left out. Draft status and target are held
elsewhere: an effect takes only what was approved by digest, and writes only to its own portfolio.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from contracts.brief import Draft
from workers.site.markdown import cited_ids, image_targets, is_local_image, raw_html
from workers.site.names import LONGEST_SLUG, is_slug
from workers.site.refusal import listed
from workers.site.sources import Source

TITLE_CHARACTERS = (1, 120)
DESCRIPTION_CHARACTERS = (50, 300)
BODY_CHARACTERS = 400


@dataclass(frozen=True)
class Candidate:
    """A draft, and the facts of its world that the rules need."""

    draft: Draft
    sources: Mapping[str, Source]
    taken: frozenset[str]
    """Slugs that belong to other jobs."""
    images: frozenset[str]
    """Images that stand beside the site's pages."""


@dataclass(frozen=True)
class Rule:
    """One condition. `broken` answers None where it holds, and otherwise what was found instead."""

    name: str
    sentence: str
    broken: Callable[[Candidate], str | None]


def broken_rules(candidate: Candidate) -> dict[str, str]:
    """What was found, by the name of each rule that does not hold; empty for an eligible draft."""
    found = {rule.name: rule.broken(candidate) for rule in RULES}
    return {name: sentence for name, sentence in found.items() if sentence is not None}


def unsourced(draft: Draft, sources: Mapping[str, Source]) -> str | None:
    """What is missing between a draft and its claims, None where nothing is. This is held wherever a page is put up,
    since a workflow may leave the rest of the contract out."""
    candidate = Candidate(draft, sources, frozenset(), frozenset())
    return _cites(candidate) or _known(candidate)


def _title(candidate: Candidate) -> str | None:
    least, most = TITLE_CHARACTERS
    title = candidate.draft.title
    if len(title.splitlines()) > 1:
        return f"the title has {len(title.splitlines())} lines, 1 is needed"
    if not least <= len(title) <= most:
        return f"the title has {len(title)} characters, {least} to {most} are needed"
    return None


def _description(candidate: Candidate) -> str | None:
    least, most = DESCRIPTION_CHARACTERS
    size = len(candidate.draft.description)
    if not least <= size <= most:
        return f"the description has {size} characters, {least} to {most} are needed"
    return None


def _body(candidate: Candidate) -> str | None:
    size = len(candidate.draft.body.strip())
    return (
        f"the body has {size} characters, at least {BODY_CHARACTERS} are needed"
        if size < BODY_CHARACTERS
        else None
    )


def _cites(candidate: Candidate) -> str | None:
    return None if cited_ids(candidate.draft.body) else "the body has 0 citations, at least 1 is needed"


def _known(candidate: Candidate) -> str | None:
    unknown = [each for each in cited_ids(candidate.draft.body) if each not in candidate.sources]
    known = len(candidate.sources)
    return f"the body cites {listed(unknown)}, none of the {known} checked claims" if unknown else None


def _list_matches(candidate: Candidate) -> str | None:
    in_body, in_list = cited_ids(candidate.draft.body), candidate.draft.citations
    unlisted = [each for each in in_body if each not in in_list]
    uncited = [each for each in in_list if each not in in_body]
    if unlisted:
        return f"citations does not list {listed(unlisted)}, which the body cites"
    return f"citations lists {listed(uncited)}, which the body does not cite" if uncited else None


def _quoted(candidate: Candidate) -> str | None:
    cited = [candidate.sources[each] for each in cited_ids(candidate.draft.body) if each in candidate.sources]
    bare = [source.claim.id for source in cited if not source.claim.quote.strip()]
    return f"{len(bare)} cited claim(s) have no quote: {listed(bare)}" if bare else None


def _slug_shape(candidate: Candidate) -> str | None:
    slug = candidate.draft.slug
    if is_slug(slug):
        return None
    return f"the slug {listed([slug])} is not lower-case words joined by hyphens, at most {LONGEST_SLUG} characters"


def _slug_free(candidate: Candidate) -> str | None:
    slug = candidate.draft.slug
    return f"the slug “{slug}” belongs to another job" if slug in candidate.taken else None


def _images(candidate: Candidate) -> str | None:
    targets = image_targets(candidate.draft.body)
    remote = [each for each in targets if not is_local_image(each)]
    missing = [each for each in targets if is_local_image(each) and each not in candidate.images]
    if remote:
        return f"{len(remote)} image(s) stand outside of the site's images folder: {listed(remote)}"
    return f"{len(missing)} image(s) are missing: {listed(missing)}" if missing else None


def _no_html(candidate: Candidate) -> str | None:
    pieces = raw_html(candidate.draft.body)
    return f"the body has {len(pieces)} piece(s) of raw HTML: {listed(pieces)}" if pieces else None


RULES: tuple[Rule, ...] = (
    Rule("title", "the title is one line of 1 to 120 characters", _title),
    Rule("description", "the description has 50 to 300 characters", _description),
    Rule("minimum length", "the body has at least 400 characters", _body),
    Rule("cites", "the body cites at least one claim", _cites),
    Rule("sources exist", "every id that the body cites is a checked claim", _known),
    Rule("citations listed", "citations lists exactly the ids that the body cites", _list_matches),
    Rule("sources quoted", "every cited claim has a quote", _quoted),
    Rule("slug shape", "the slug is lower-case words joined by hyphens", _slug_shape),
    Rule("unique slug", "no other job of the portfolio has the slug", _slug_free),
    Rule("valid images", "every image stands beside the site's pages", _images),
    Rule("no raw HTML", "the body is Markdown without HTML", _no_html),
)
