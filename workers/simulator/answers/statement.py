"""A sentence or a line of a document as a statement that names the document."""

import re
from random import Random

_OPENINGS = ("According to {name}, {rest}", "{name} says that {rest}", "As {name} puts it, {rest}")
_ATTRIBUTION = re.compile(
    r"^(?:According to (?P<a>[^,]{1,80}), |(?P<b>[\w.@/ -]{1,60}?) says that |"
    r"As (?P<c>[^,]{1,80}?) puts it, |(?P<d>.{1,80}?) says: (?=“))"
)


def attributed(sentence: str, name: str, document: str, chance: Random) -> str:
    """The sentence, with the document's name put before it where it does not name the document itself."""
    if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", sentence, re.IGNORECASE):
        return sentence
    shown = shown_name(name, document)
    return chance.choice(_OPENINGS).format(name=shown, rest=lowered(sentence, document))


def quoted(text: str, name: str, document: str) -> str:
    """What cannot go on in our own words, between quotation marks behind the document's name."""
    return f"{shown_name(name, document)} says: “{text.removesuffix('.').removesuffix('。')}”."


def is_quoted(statement: str) -> bool:
    """Whether a statement, with or without its document's name, is only what stands there."""
    return unattributed(statement).startswith("“")


def told_name(statement: str) -> str | None:
    """The document's name as a statement gives it, if it begins with it."""
    match = _ATTRIBUTION.match(statement)
    return next((each for each in match.groups() if each), None) if match else None


def shown_name(name: str, text: str) -> str:
    """The name in the capitals that a text writes it in most often; addresses and code do not count."""
    written = re.findall(rf"(?<![\w./`@-]){re.escape(name)}(?![\w./`@-])", text, re.IGNORECASE)
    return max(sorted(set(written)), key=written.count, default=name)


def unattributed(statement: str) -> str:
    """The sentence without the words that name its document, for a place that names it anyway."""
    match = _ATTRIBUTION.match(statement)
    rest = statement[match.end() :] if match else statement
    return rest[:1].upper() + rest[1:]


def lowered(sentence: str, document: str) -> str:
    """The sentence as it goes on after a comma: its first word small, unless it is a name."""
    first = re.match(r"[A-Za-z][\w'’.-]*", sentence)
    if first is None or any(letter.isupper() or letter.isdigit() for letter in first[0][1:]):
        return sentence
    small = first[0][0].lower() + first[0][1:]
    used_small = re.search(rf"(?<![\w.`/]){re.escape(small)}(?![\w`])", document) is not None
    used_as_name = re.search(rf"[a-z,] {re.escape(first[0])}(?!\w)", document) is not None
    if used_as_name and not (used_small and small in _ALWAYS_SMALL):
        return sentence
    return small + sentence[first.end() :]


_ALWAYS_SMALL = frozenset(
    re.findall(r"\w+", "a an the it this these those if when you to for in with by most all both as there")
)
