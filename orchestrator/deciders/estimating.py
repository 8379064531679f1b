"""Estimating: what an attempt will take, learned from what attempts of its lane and model really took.

The factor is learned against the raw count of characters that is kept with each attempt, never against what
was estimated with an earlier factor: what is in flight would make it run away.
"""

import math
from dataclasses import dataclass, replace

FEW = 20
"""Below so many whole answers an output is taken to be as long as nine of ten of them were, where that is more
than the mean, and nothing less than the lane's cap is promised."""
MEMORY = 100
"""A mean forgets with a window of about so many samples, and so many outputs are kept."""


@dataclass(frozen=True)
class Calibration:
    """What was learned of a lane with a model."""

    samples: int
    """Answers seen, those that were cut included."""
    input_factor: float
    """Tokens that the vendor billed, cached or not, for each token estimated from characters."""
    charged_factor: float
    """Of these, the tokens that the vendor counted against its limits."""
    output_mean: float
    """Tokens that an answer took. One that was cut took as many as it has."""
    recent_outputs: tuple[int, ...]
    """The lengths of the last answers that were whole, in tokens, the latest last."""


UNKNOWN = Calibration(0, 1.0, 1.0, 0.0, ())


def expected_input(known: Calibration, raw_tokens: int) -> int:
    """Input tokens expected to count against the limits where the characters say `raw_tokens`."""
    return math.ceil(raw_tokens * known.charged_factor)


def expected_billed_input(known: Calibration, raw_tokens: int) -> int:
    """Input tokens expected on the bill, cached or not, where the characters say `raw_tokens`."""
    return math.ceil(raw_tokens * known.input_factor)


def expected_output(known: Calibration, declared: int, most: int) -> int:
    """Output tokens expected: the running mean, and while whole answers are few no less than their ninth decile.
    `declared` is the lane's own guess, which stands until there are samples."""
    if known.samples == 0:
        return min(declared, most)
    expected = math.ceil(known.output_mean)
    if known.recent_outputs and _few(known):
        expected = max(expected, _quantile(known.recent_outputs, 0.9))
    return min(max(expected, 1), most)


def promise(known: Calibration, most: int) -> int:
    """The cap on an answer that costs least where the cap itself is charged.

    A cap c costs c, and with the share of answers longer than c a second request with the largest cap; so the
    c among the lengths seen that makes c + share(length > c) × most smallest. `most` while whole answers are few.
    """
    if _few(known):
        return most
    lengths = sorted(known.recent_outputs)
    count = len(lengths)
    candidates = [(_roomy(length), (count - 1 - place) / count) for place, length in enumerate(lengths)]
    return min(min(candidates, key=lambda c: (c[0] + c[1] * most, c[0]))[0], most)


def learned(
    known: Calibration,
    raw_tokens: int,
    input_tokens: int,
    charged_tokens: int,
    output_tokens: int,
    whole: bool,
) -> Calibration:
    """The calibration after one more answer. One that was cut took its tokens as well, but its length says nothing
    of how much room an answer needs, save that it is more."""
    samples = known.samples + 1
    weight = max(1 / samples, 1 / MEMORY)
    after = replace(
        known, samples=samples, output_mean=known.output_mean + weight * (output_tokens - known.output_mean)
    )
    if raw_tokens > 0 and input_tokens > 0:
        billed, charged = input_tokens / raw_tokens, charged_tokens / raw_tokens
        after = replace(
            after,
            input_factor=known.input_factor + weight * (billed - known.input_factor),
            charged_factor=known.charged_factor + weight * (charged - known.charged_factor),
        )
    if not whole:
        return after
    return replace(after, recent_outputs=(*known.recent_outputs, output_tokens)[-MEMORY:])


def _few(known: Calibration) -> bool:
    return len(known.recent_outputs) < FEW


def _roomy(length: int) -> int:
    """A cap a little above a length that was seen."""
    return math.ceil(length * 1.1) + 16


def _quantile(lengths: tuple[int, ...], share: float) -> int:
    ordered = sorted(lengths)
    return ordered[min(math.ceil(share * len(ordered)) - 1, len(ordered) - 1)]
