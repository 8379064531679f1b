"""The declared repairs: what is mended without asking anyone, because there is one way to mend it."""

from collections.abc import Callable, Container

from contracts.brief import Draft
from workers.site.markdown import cited_ids
from workers.site.names import free_slug, is_slug, slugified

Repair = Callable[[Draft, Container[str]], Draft]
"""Takes a draft and the slugs that are taken; gives the draft back, mended or as it was."""


def repaired(draft: Draft, taken: Container[str]) -> Draft:
    """The draft after every repair, in the order of the table; repairing twice changes nothing more."""
    for repair in REPAIRS.values():
        draft = repair(draft, taken)
    return draft


def _trim(draft: Draft, _: Container[str]) -> Draft:
    return draft.model_copy(update={"title": draft.title.strip(), "description": draft.description.strip()})


def _shape_slug(draft: Draft, _: Container[str]) -> Draft:
    return draft if is_slug(draft.slug) else draft.model_copy(update={"slug": slugified(draft.title)})


def _free_slug(draft: Draft, taken: Container[str]) -> Draft:
    return draft.model_copy(update={"slug": free_slug(draft.slug, taken)})


def _list_citations(draft: Draft, _: Container[str]) -> Draft:
    return draft.model_copy(update={"citations": cited_ids(draft.body)})


REPAIRS: dict[str, Repair] = {
    "white space around title and description is trimmed": _trim,
    "a slug of the wrong shape is made anew from the title": _shape_slug,
    "a taken slug gets -2, -3 and so on": _free_slug,
    "citations is read off the body, in the order of first appearance": _list_citations,
}
