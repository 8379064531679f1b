"""What headers say of limits and delays. What is missing or makes no sense is left out; what makes sense is
passed on, true or not."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from contracts.limits import Dimension, Standing

MOST = 1e12
"""A larger number is no allowance of anybody."""

LONGEST_SECONDS = 31 * 86_400.0
"""No allowance takes longer than a month to fill, and a longer delay is beyond what a calendar can add."""

_GO_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_GO_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def standings(
    headers: Mapping[str, str],
    pattern: str,
    names: Mapping[Dimension, str],
    seconds: Callable[[str], float | None],
) -> tuple[Standing, ...]:
    """The dimensions of which the headers say anything. `pattern` makes a header's name of ``{dimension}`` and
    ``{part}`` (limit, remaining, reset), `names` are the vendor's words for the dimensions, and `seconds`
    reads its way of saying when an allowance is full again."""
    return tuple(_standings(headers, pattern, names, seconds))


def _standings(
    headers: Mapping[str, str],
    pattern: str,
    names: Mapping[Dimension, str],
    seconds: Callable[[str], float | None],
) -> Iterator[Standing]:
    for dimension, name in names.items():
        limit, remaining, reset = (
            headers.get(pattern.format(dimension=name, part=part), "")
            for part in ("limit", "remaining", "reset")
        )
        standing = Standing(
            dimension=dimension,
            # An allowance of nothing is no limit to pace by.
            limit=number(limit) or None,
            remaining=number(remaining),
            reset_seconds=seconds(reset),
        )
        if standing != Standing(dimension=dimension):
            yield standing


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """The delay asked for by ``retry-after-ms`` or ``retry-after`` (seconds or a date), or None."""
    milliseconds = number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _sensible(milliseconds / 1000)
    told = headers.get("retry-after", "")
    seconds = number(told)
    return _sensible(seconds) if seconds is not None else _seconds_until_date(told, now)


def number(text: str) -> float | None:
    """A finite number from 0 to `MOST`, or None."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 <= found <= MOST else None


def seconds_until(moment: str, now: datetime) -> float | None:
    """Seconds from `now` to a moment of RFC 3339, 0 where it has passed, or None."""
    try:
        return _until(datetime.fromisoformat(moment), now)
    except (ValueError, TypeError):
        # TypeError: a moment without a zone, which cannot be compared.
        return None


def go_seconds(duration: str) -> float | None:
    """A duration as Go writes it (``120ms``, ``1.5s``, ``6m0s``), in seconds, or None."""
    if not _GO_DURATION.fullmatch(duration):
        return None
    parts: list[tuple[str, str]] = _GO_PART.findall(duration)
    return _sensible(sum(float(count) * _UNIT_SECONDS[unit] for count, unit in parts))


def _seconds_until_date(date: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    return _until(moment if moment.tzinfo else moment.replace(tzinfo=UTC), now)


def _until(moment: datetime, now: datetime) -> float | None:
    return _sensible(max(0.0, (moment - now).total_seconds()))


def _sensible(seconds: float) -> float | None:
    return seconds if seconds <= LONGEST_SECONDS else None
