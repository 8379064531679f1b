"""Names that become file names: slugs, portfolios, jobs. What is not on the list of allowed shapes is refused."""

import hashlib
import re
import unicodedata
from collections.abc import Container

LONGEST_SLUG = 80
RESERVED = frozenset({"index"})
"""Slugs whose page would overwrite a file of the site itself."""

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def is_slug(name: str) -> bool:
    """Whether this is lower-case words joined by single hyphens, at most 80 characters, and not reserved."""
    return len(name) <= LONGEST_SLUG and _SLUG.fullmatch(name) is not None and name not in RESERVED


def is_folder(name: str) -> bool:
    """Whether this is one simple path component: no separator, no leading dot, at most 80 characters."""
    return _FOLDER.fullmatch(name) is not None


def slugified(text: str, longest: int = LONGEST_SLUG) -> str:
    """The words of a text as a slug of at most `longest` characters.

    A text without a single Latin letter or digit gets a slug out of its digest, so that there always is one.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = "-".join(re.findall(r"[a-z0-9]+", plain))
    if not words:
        return "page-" + hashlib.sha256(text.encode()).hexdigest()[:8]
    if len(words) <= longest:
        return words
    whole_words = words[: longest + 1].rpartition("-")[0]
    return whole_words or words[:longest]


def free_slug(wanted: str, taken: Container[str]) -> str:
    """`wanted`, or with `-2`, `-3` and so on behind it where that is taken or reserved."""
    slug, number = wanted, 1
    while slug in taken or slug in RESERVED:
        number += 1
        ending = f"-{number}"
        slug = wanted[: LONGEST_SLUG - len(ending)].rstrip("-") + ending
    return slug
