"""Which models have a price. Unpriced work is refused before it can cost anything."""

from genai_prices import Usage, calc_price


def has_price(vendor: str, model: str) -> bool:
    """Whether the price tables know this model of this vendor."""
    try:
        calc_price(Usage(input_tokens=1, output_tokens=1), model, provider_id=vendor)
    except LookupError:
        return False
    return True
