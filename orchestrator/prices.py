"""What models cost, by the price tables; what was used is priced where it is reported."""

from genai_prices import Usage, calc_price

from contracts.reports import NANO


def has_price(vendor: str, model: str) -> bool:
    """Whether the price tables know this model of this vendor."""
    try:
        calc_price(Usage(input_tokens=1, output_tokens=1), model, provider_id=vendor)
    except LookupError:
        return False
    return True


def estimate(vendor: str, model: str, input_tokens: int, output_tokens: int) -> int:
    """Nano-dollars for so many tokens: the price of a call of which only the reservation is known."""
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    return int(calc_price(usage, model, provider_id=vendor).total_price * NANO)
