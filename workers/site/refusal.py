"""How the site says no: one typed failure, cut to what a failure may carry."""

from contracts.failures import Code, Failure, HandlerFailure

LONGEST_SENTENCE = 2000
"""What contracts.failures.Failure takes; text of a model may stand in a sentence, and may be of any length."""


def refusal(code: Code, sentence: str, evidence: dict[str, str] | None = None) -> HandlerFailure:
    """The failure to raise."""
    if len(sentence) > LONGEST_SENTENCE:
        sentence = sentence[: LONGEST_SENTENCE - 1] + "…"
    return HandlerFailure(Failure(code=code, sentence=sentence, evidence=evidence or {}))


def listed(names: list[str], most: int = 5) -> str:
    """The first few names for a sentence, each shortened, and how many more there are."""
    shown = ", ".join(f"“{name[:80]}”" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
