"""Estimating: what an attempt will take, learned from what attempts of its lane and model really took.

The factor is learned against the raw count of characters that is kept with each attempt, never against what
was estimated with an earlier factor: what is in flight would make it run away.
"""

import math
from dataclasses import dataclass, replace

FEW = 20
"""Below so many samples an output is taken to be as long as nine of ten were, and not as their mean."""
MEMORY = 100
"""A mean forgets with a window of about so many samples, and so many outputs are kept."""


@dataclass(frozen=True)
class Calibration:
    """What was learned of a lane with a model."""

    samples: int
    input_factor: float
    """Tokens that the vendor counted, for each token estimated from characters."""
    output_mean: float
    recent_outputs: tuple[int, ...]
    """The lengths of the last answers that were whole, in tokens, the latest last."""


UNKNOWN = Calibration(0, 1.0, 0.0, ())


def expected_input(known: Calibration, raw_tokens: int) -> int:
    """Input tokens expected where the characters say `raw_tokens`."""
    return math.ceil(raw_tokens * known.input_factor)


def expected_output(known: Calibration, declared: int, most: int) -> int:
    """Output tokens expected: the running mean, or the ninth decile while samples are few. `declared` is the
    lane's own guess, which stands until there are samples."""
    if not known.recent_outputs:
        return min(declared, most)
    if known.samples < FEW:
        return min(max(_quantile(known.recent_outputs, 0.9), 1), most)
    return min(max(math.ceil(known.output_mean), 1), most)


def promise(known: Calibration, most: int) -> int:
    """The cap on an answer that costs least where the cap itself is charged.

    A cap c costs c, and with the share of answers longer than c a second request with the largest cap; so the
    c among the lengths seen that makes c + share(length > c) × most smallest. `most` while samples are few.
    """
    if known.samples < FEW or not known.recent_outputs:
        return most
    lengths = sorted(known.recent_outputs)
    count = len(lengths)
    candidates = [(_roomy(length), (count - 1 - place) / count) for place, length in enumerate(lengths)]
    return min(min(candidates, key=lambda c: (c[0] + c[1] * most, c[0]))[0], most)


def learned(
    known: Calibration, raw_tokens: int, input_tokens: int, output_tokens: int, whole: bool
) -> Calibration:
    """The calibration after one more answer. Of an answer that was cut only the input is learned, since its
    length says nothing but that it was longer."""
    samples = known.samples + 1
    weight = max(1 / samples, 1 / MEMORY)
    factor = input_tokens / raw_tokens if raw_tokens > 0 and input_tokens > 0 else known.input_factor
    after = replace(
        known, samples=samples, input_factor=known.input_factor + weight * (factor - known.input_factor)
    )
    if not whole:
        return after
    return replace(
        after,
        output_mean=known.output_mean + weight * (output_tokens - known.output_mean),
        recent_outputs=(*known.recent_outputs, output_tokens)[-MEMORY:],
    )


def _roomy(length: int) -> int:
    """A cap a little above a length that was seen."""
    return math.ceil(length * 1.1) + 16


def _quantile(lengths: tuple[int, ...], share: float) -> int:
    ordered = sorted(lengths)
    return ordered[min(math.ceil(share * len(ordered)) - 1, len(ordered) - 1)]
