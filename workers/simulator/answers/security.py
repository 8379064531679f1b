"""What a reading for security looks for."""

import re
from collections.abc import Iterator

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a script tag", re.compile(r"<\s*script\b", re.IGNORECASE)),
    ("an inline event handler", re.compile(r"<[^>]+\son\w+\s*=", re.IGNORECASE)),
    ("an embedded frame or object", re.compile(r"<\s*(?:iframe|object|embed|form)\b", re.IGNORECASE)),
    ("a link that runs a script", re.compile(r"(?:javascript|vbscript|data:text/html)\s*:", re.IGNORECASE)),
    ("what looks like a cloud access key", re.compile(r"\bAKIA[0-9A-Z]{12,}")),
    ("what looks like an API key", re.compile(r"\bsk-[A-Za-z0-9_-]{16,}|\bghp_[A-Za-z0-9]{20,}")),
    ("a private key", re.compile(r"BEGIN [A-Z ]*PRIVATE KEY")),
    ("a password", re.compile(r"\b(?:password|passwd|secret)\s*[=:]\s*[^\s*<]{4,}", re.IGNORECASE)),
    (
        "an instruction aimed at a model",
        re.compile(
            r"(?:ignore|disregard|forget) (?:all |any )?(?:the |your )?(?:previous|prior|above|earlier)"
            r"[\w ]{0,20}(?:instructions?|prompts?|rules)|you are now (?:a|an|in) |"
            r"reveal (?:the |your )?system prompt",
            re.IGNORECASE,
        ),
    ),
    ("a remote image", re.compile(r"!\[[^\]]*\]\(\s*https?:|<\s*img\b[^>]*https?:", re.IGNORECASE)),
)
_ELSEWHERE = re.compile(
    r"(?:not|leave|ignore|without|except|other than)\b[^.]{0,40}\bsecurity|security[^.]{0,40}\b(?:elsewhere|"
    r"someone else|another|separately)",
    re.IGNORECASE,
)


def is_security_reading(instructions: str) -> bool:
    """Whether a reviewer is asked to read for security."""
    named = re.search(r"\bsecurity\b", instructions, re.IGNORECASE) is not None
    return named and _ELSEWHERE.search(instructions) is None


def security_flaws(lines: tuple[tuple[int, str], ...]) -> Iterator[tuple[int, str]]:
    """(line, problem) for each pattern found; the text found is not repeated, it may be a secret."""
    for number, text in lines:
        for name, pattern in _PATTERNS:
            if pattern.search(text):
                yield number, f"The line holds {name}."
