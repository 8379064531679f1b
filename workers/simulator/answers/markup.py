"""Taking Markdown and reStructuredText syntax out of a sentence."""

import re

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),  # image
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),  # Markdown link
    (re.compile(r"\[([^\]]+)\]\[[^\]]*\]"), r"\1"),  # Markdown reference link
    (re.compile(r":[a-z:]+:`([^`<]+?)\s*(?:<[^`>]*>)?`"), r"\1"),  # rst role
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`_{0,2}"), r"\1"),  # rst link
    (re.compile(r"``([^`]+)``"), r"\1"),  # rst literal
    (re.compile(r"`([^`]+)`_{0,2}"), r"\1"),  # code, rst reference
    (re.compile(r"\|[\w-]+\|_{0,2}"), ""),  # rst substitution
    (re.compile(r"<[a-zA-Z/!][^>]*>"), ""),  # HTML tag
    (re.compile(r":[a-z_]{2,20}:(?=\s|$)"), ""),  # emoji by name
    (re.compile(r"\*\*\*?([^*]+)\*\*\*?"), r"\1"),  # strong
    (re.compile(r"(?<!\w)__([^_]+)__(?!\w)"), r"\1"),
    (re.compile(r"(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])"), r"\1"),  # emphasis
    (re.compile(r"(?<!\w)_([^_\s][^_]*)_(?!\w)"), r"\1"),
    (re.compile(r"(?<=\w)_{1,2}(?=[\s.,;:)]|$)"), ""),  # what is left of an rst reference
    (re.compile(r"\\([*_`|])"), r"\1"),  # escaped sign
    (re.compile(r"[\U0001F000-\U0001FAFF\u2600-\u27BF\uFE0F]"), ""),  # pictures
    (re.compile(r"\(\s*\)"), ""),
    (re.compile(r"\s+([.,;:!?])"), r"\1"),
    (re.compile(r"\s+"), " "),
)
_INERT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[`*\\^]"), ""),
    (re.compile(r"<(?=[a-zA-Z/!?])"), ""),
    (re.compile(r"[\[{]"), "("),
    (re.compile(r"[\]}]"), ")"),
    (re.compile(r"[“”]"), '"'),
)
"""What is left after ``plain`` and would act in Markdown, or would be taken for a citation."""
_BARS = re.compile(r"\s*\|+\s*")
"""Between the cells of a table."""
_RESIDUE = re.compile(r"[|<>{}`\[\]\\^~#=*]|://|>>>|\$ |::")


def plain(text: str) -> str:
    """The text without markup, white space folded."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text.strip()


def inert(text: str) -> str:
    """Any text so that it can stand between quotation marks in Markdown, and is nothing there but text."""
    text = plain(_BARS.sub(", ", text))
    for pattern, replacement in _INERT:
        text = pattern.sub(replacement, text)
    return text.strip(" ,|")


def is_clean(text: str) -> bool:
    """Whether nothing in a text still looks like markup or code."""
    return _RESIDUE.search(text) is None
