"""What an answer costs, by genai-prices itself and in decimals: computed apart from what is to be proved with it."""

from decimal import Decimal

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price

from fake_llm.ledger import Usage


def price(provider: str, model: str, usage: Usage) -> Decimal | None:
    """US dollars at today's price, ``None`` when genai-prices does not know the model. About 60 µs."""
    if not usage.input_tokens and not usage.output_tokens:
        return Decimal(0)
    priced = PricedUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    try:
        return calc_price(priced, model_ref=model, provider_id=provider).total_price
    except LookupError:
        return None
