"""A page and the index: typed content in, the bytes of the files out. Nothing here touches a disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from contracts.brief import Draft
from workers.site.markdown import cited_ids, rendered
from workers.site.posts import Post
from workers.site.sources import Source


@dataclass(frozen=True)
class Page:
    """What is published: a draft, the claims it may cite, and whose effect it is."""

    draft: Draft
    sources: Mapping[str, Source]
    job: str
    effect_key: str
    replaces: str | None = None
    """The job whose page was found wrong, and goes when this one is put up."""

    @property
    def cited(self) -> list[str]:
        """The ids of the sources section, in the order of their numbers."""
        return [each for each in cited_ids(self.draft.body) if each in self.sources]

    def html(self, site: str, published_at: datetime) -> bytes:
        """The HTML file."""
        template = _templates().get_template("page.html")
        return template.render(
            page=self,
            body=rendered(self.draft.body, self.cited),
            cited=[self.sources[each] for each in self.cited],
            site=site,
            published_at=published_at,
        ).encode()

    def markdown(self, published_at: datetime) -> bytes:
        """The Markdown file: front matter and the body as it was approved."""
        front = {
            "title": self.draft.title,
            "slug": self.draft.slug,
            "description": self.draft.description,
            "citations": list(self.draft.citations),
            "job": self.job,
            "effect_key": self.effect_key,
            "published_at": published_at.isoformat(),
        }
        matter = yaml.safe_dump(front, allow_unicode=True, sort_keys=False)
        return f"---\n{matter}---\n\n{self.draft.body}\n".encode()


def index_html(site: str, posts: Sequence[Post]) -> bytes:
    """The list of a site's posts as an HTML file."""
    return _templates().get_template("index.html").render(site=site, posts=posts).encode()


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("workers.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
