"""What a call costs, by the bundled snapshot of genai-prices; no price is ever looked up over the network."""

from datetime import datetime
from decimal import ROUND_HALF_UP
from functools import cache
from importlib.metadata import version

import genai_prices

from contracts.failures import Code, Failure, HandlerFailure
from contracts.reports import NANO, Usage


def cost(vendor: str, model: str, usage: Usage, at: datetime, by_batch: bool = False) -> tuple[int, str]:
    """Nano-dollars for one call begun `at`, live or by a batch, and the version of the price list. Raises
    HandlerFailure (unpriced) for a model that the list does not know: what cannot be priced is not run."""
    # A vendor that counts more in its cache than came in at all is believed as far as the sum goes.
    read = min(usage.cached_input_tokens, usage.input_tokens)
    tokens = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=read,
        cache_write_tokens=min(usage.cache_written_input_tokens, usage.input_tokens - read),
        output_tokens=usage.output_tokens,
    )
    try:
        price = genai_prices.calc_price(
            tokens,
            model,
            provider_id=vendor,
            genai_request_timestamp=at,
            price_context={"processing": "batch"} if by_batch else None,
        ).total_price
    except LookupError as error:
        raise HandlerFailure(
            Failure(code=Code.UNPRICED, sentence=f"no price is known for {model} of {vendor}")
        ) from error
    return int((price * NANO).to_integral_value(ROUND_HALF_UP)), price_version()


@cache
def price_version() -> str:
    return f"genai-prices {version('genai-prices')}"
