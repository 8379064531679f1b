"""A draft's Markdown: one parser that decides what is a citation, what is markup, and what stays text.

Citations are ``[claim id]``, several in one pair of brackets separated by commas. Raw HTML is text. Link
reference definitions are off: ``[claim-1]: https://…`` would turn every citation of that claim into a link.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markupsafe import Markup, escape

_ID = r"[A-Za-z0-9_.]+(?:-[A-Za-z0-9_.]+)*-[0-9]+"
_CITATION = re.compile(rf"\[\s*({_ID}(?:\s*[,;]\s*{_ID})*)\s*\]")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_IMAGE = re.compile(r"images/[A-Za-z0-9][A-Za-z0-9._-]*\.(?:png|jpe?g|gif|webp|avif)", re.IGNORECASE)


def cited_ids(body: str) -> tuple[str, ...]:
    """The ids that a body cites, each once, in the order of first appearance; code is no citation."""
    found = (each for token in _tokens(_parser(), body) for each in token.meta.get("ids", ()))
    return tuple(dict.fromkeys(found))


def raw_html(body: str) -> list[str]:
    """The pieces of a body that a Markdown processor would pass on as HTML, comments included."""
    return [
        t.content.strip() for t in _tokens(_lenient_parser(), body) if t.type in ("html_block", "html_inline")
    ]


def image_targets(body: str) -> list[str]:
    """The targets of a body's images, whatever their scheme."""
    return [str(t.attrs["src"]) for t in _tokens(_lenient_parser(), body) if t.type == "image"]


def is_local_image(target: str) -> bool:
    """Whether an image stands beside the page, as ``images/<name>``, and is of a kind that cannot act."""
    return _IMAGE.fullmatch(target) is not None


def rendered(body: str, sources: Sequence[str]) -> Markup:
    """A body as HTML; citations of the given ids become links to ``#source-<id>``, numbered from 1.

    Nothing in it acts or loads from elsewhere: HTML is escaped, links go to http, https and mailto, remote
    images are their alternative text.
    """
    numbers = {each: number for number, each in enumerate(sources, start=1)}
    return Markup(_parser().render(body, {"numbers": numbers}))


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("reference")
    parser.validateLink = _is_safe_link  # type: ignore[method-assign]
    parser.inline.ruler.after("link", "citation", _citation)
    parser.core.ruler.push("lower_headings", _lower_headings)
    parser.add_render_rule("citation", _render_citation)
    parser.add_render_rule("image", _render_image)
    parser.add_render_rule("link_open", _render_link)
    return parser


@cache
def _lenient_parser() -> MarkdownIt:
    """Sees what the strict one would leave as text, so that it can be objected to."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return parser


def _tokens(parser: MarkdownIt, body: str) -> Iterator[Token]:
    for token in parser.parse(body):
        yield token
        yield from token.children or ()


def _is_safe_link(url: str) -> bool:
    scheme = _SCHEME.match(url)
    return scheme is None or scheme[1].lower() in ("http", "https", "mailto")


def _citation(state: StateInline, silent: bool) -> bool:
    """An inline rule: takes the brackets of a citation off the text, once no link was found there."""
    match = _CITATION.match(state.src, state.pos, state.posMax)
    if match is None:
        return False
    if not silent:
        token = state.push("citation", "", 0)
        token.content = match[0]
        token.meta = {"ids": re.split(r"\s*[,;]\s*", match[1])}
    state.pos = match.end()
    return True


def _lower_headings(state: StateCore) -> None:
    """The page's title is its only first-level heading; a body that has one is moved down a level."""
    headings = [token for token in state.tokens if token.type in ("heading_open", "heading_close")]
    if any(token.tag == "h1" for token in headings):
        for token in headings:
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"


def _render_citation(_: Any, tokens: Sequence[Token], at: int, options: Any, env: dict[str, Any]) -> str:
    numbers: dict[str, int] = env["numbers"]
    return "".join(_reference(each, numbers.get(each)) for each in tokens[at].meta["ids"])


def _reference(claim_id: str, number: int | None) -> str:
    if number is None:
        return escape(f"[{claim_id}]")
    link = Markup('<a class="cite" href="#source-{0}" title="{0}">[{1}]</a>')
    return link.format(claim_id, number)


def _render_image(_: Any, tokens: Sequence[Token], at: int, options: Any, env: dict[str, Any]) -> str:
    token = tokens[at]
    target = str(token.attrs["src"])
    if not is_local_image(target):
        return escape(token.content)
    return Markup('<img src="{}" alt="{}" loading="lazy">').format(target, token.content)


def _render_link(renderer: Any, tokens: Sequence[Token], at: int, options: Any, env: dict[str, Any]) -> str:
    tokens[at].attrSet("rel", "nofollow noopener noreferrer")
    return str(renderer.renderToken(tokens, at, options, env))
