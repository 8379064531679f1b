"""What models cost, by the price tables; what was used is priced where it is reported."""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from genai_prices import Usage, calc_price
from genai_prices.types import ModelPrice, TieredPrices

from contracts.reports import NANO

BY_BATCH = {"processing": "batch"}
"""The words of the price tables for a request of a batch."""
HOURS = 25
"""Of a day and one more: a call that is granted at the end of a day may be priced by the next one."""
NANO_PER_MILLION = NANO // 1_000_000
"""A dollar for a million tokens is so many nano-dollars for one."""
NANO_PER_THOUSAND = NANO // 1_000


class Rates(NamedTuple):
    """What a token costs at most in a request of a certain size, in nano-dollars."""

    above_input_tokens: int
    """They hold for requests with more input than this."""
    input: Decimal
    """Fresh, or written to the vendor's cache, which costs more."""
    output: Decimal
    request: Decimal
    """For the request itself, where its vendor asks for that."""


def has_price(vendor: str, model: str) -> bool:
    """Whether the price tables know this model of this vendor."""
    try:
        calc_price(Usage(input_tokens=1, output_tokens=1), model, provider_id=vendor)
    except LookupError:
        return False
    return True


def estimate(vendor: str, model: str, input_tokens: int, output_tokens: int, by_batch: bool = False) -> int:
    """Nano-dollars for so many tokens: the price of a call of which only the reservation is known."""
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    context = BY_BATCH if by_batch else None
    return int(calc_price(usage, model, provider_id=vendor, price_context=context).total_price * NANO)


def is_cheaper_by_batch(vendor: str, model: str) -> bool:
    """Whether the price tables know a lower price by batch: without one they answer with the live price."""
    return has_price(vendor, model) and batch_share(vendor, model) < 1


@lru_cache(maxsize=256)
def batch_share(vendor: str, model: str) -> float:
    """The price of a request by batch, as a part of the live price, for whichever of input and output saves
    less. Raises LookupError for a model without a price."""
    million = 1_000_000
    return max(
        estimate(vendor, model, *tokens, by_batch=True) / estimate(vendor, model, *tokens)
        for tokens in ((million, 0), (0, million))
    )


def worst_case(vendor: str, model: str, input_tokens: int, output_tokens: int, at: float) -> int:
    """Nano-dollars that one request made `at` (seconds since 1970) costs at most with so many tokens: nothing
    of it is read from a cache, all of it may be written to one, and a tier that its size reaches prices all
    of it. Raises LookupError for a model without a price."""
    rates = _rates(vendor, model, int(at // 86400))
    applicable = next(each for each in reversed(rates) if input_tokens > each.above_input_tokens)
    return math.ceil(applicable.input * input_tokens + applicable.output * output_tokens + applicable.request)


@lru_cache(maxsize=256)
def _rates(vendor: str, model: str, day: int) -> tuple[Rates, ...]:
    """By size of the request. Asking the tables takes a large part of a millisecond, so it is done once a day;
    prices that change on a date or with the hour are taken at their highest of the day."""
    midnight = datetime.fromtimestamp(day * 86400, UTC)
    known = calc_price(
        Usage(input_tokens=1), model, provider_id=vendor, genai_request_timestamp=midnight
    ).model
    listed = [known.get_prices(midnight + timedelta(hours=hour)) for hour in range(HOURS + 1)]
    tiered = [
        price for prices in listed for price in vars(prices).values() if isinstance(price, TieredPrices)
    ]
    starts = sorted({-1, *(tier.start for price in tiered for tier in price.tiers)})
    return tuple(
        Rates(
            start,
            NANO_PER_MILLION * _highest(listed, ("input_mtok", "cache_write_mtok"), start),
            NANO_PER_MILLION * _highest(listed, ("output_mtok",), start),
            NANO_PER_THOUSAND * _highest(listed, ("requests_kcount",), start),
        )
        for start in starts
    )


def _highest(listed: list[ModelPrice], names: tuple[str, ...], start: int) -> Decimal:
    """The highest of these prices in a request with more input tokens than `start`."""
    return max(_above(getattr(prices, name), start) for prices in listed for name in names)


def _above(price: Decimal | TieredPrices | None, start: int) -> Decimal:
    match price:
        case None:
            return Decimal(0)
        case TieredPrices(base=base, tiers=tiers):
            # The tier that is reached prices every token, not only those above its start.
            return max([base, *(tier.price for tier in tiers if tier.start <= start)])
        case _:
            return price
