"""The sentence about a name that nobody knows."""

from collections.abc import Collection, Iterator


def unknown(where: str, kind: str, name: str, known: Collection[str]) -> Iterator[str]:
    """A sentence where the name is not among the known ones, with all of these."""
    if name not in known:
        yield f"{where} names the unknown {kind} “{name}” (known: {', '.join(sorted(known)) or 'none'})"
