"""What a workload is, and the exact sums that its replay must produce.

Imports the standard library only; ``expected_cost`` imports ``genai_prices`` when it is called.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

MODES = ("1", "2", "3", "4")
"""Values of the ``mode`` label over which sessions are spread."""

_PRICE_TABLE_PROVIDERS = {"gcp.gemini": "google"}  # OpenTelemetry's name of a provider -> the price table's


class WorkloadError(ValueError):
    """A workload that cannot be read; its text names the file, the line where known, and the remedy."""


@dataclass(frozen=True, slots=True)
class Request:
    """One LLM call of a workload.

    ``at`` is when the call ended, in seconds from the start of the workload (0 or more): that is when it is
    recorded. ``session`` stands for the tenant; an empty one means that the workload knows no tenants.
    Token counts are 0 or more, and ``cache_read_tokens`` are a part of ``input_tokens``. ``duration`` and
    ``time_to_first_token`` are in seconds, ``None`` where not known. ``error_type`` is ``None`` for a call
    that succeeded.
    """

    session: str
    at: float
    model: str
    provider: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    duration: float | None = None
    time_to_first_token: float | None = None
    error_type: str | None = None
    streaming: bool = False

    @property
    def mode(self) -> str:
        """The workflow mode that the session belongs to: one of ``MODES``, the same for the same session."""
        return MODES[zlib.crc32(self.session.encode()) % len(MODES)]


@dataclass(frozen=True)
class Totals:
    """Exact sums over calls: numbers of calls, of failed ones, and of tokens."""

    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0

    def plus(self, request: Request) -> "Totals":
        """These sums with one more request."""
        return Totals(
            self.calls + 1,
            self.errors + (request.error_type is not None),
            self.input_tokens + request.input_tokens,
            self.output_tokens + request.output_tokens,
            self.cache_read_tokens + request.cache_read_tokens,
        )


def totals(requests: Iterable[Request]) -> dict[str, Totals]:
    """Sums by model, in order of the model names."""
    sums: dict[str, Totals] = {}
    for request in requests:
        sums[request.model] = sums.get(request.model, Totals()).plus(request)
    return dict(sorted(sums.items()))


def expected_cost(requests: Iterable[Request]) -> dict[str, Decimal]:
    """Cost in US dollars by model, computed by genai-prices itself and in decimals, not by the recorder.

    Models whose price genai-prices does not know are absent. Prices are those of today. Raises
    ``ModuleNotFoundError`` when genai-prices is not installed. About 60 µs a request.
    """
    from genai_prices import Usage, calc_price

    costs: dict[str, Decimal] = {}
    unknown: set[str] = set()
    for request in requests:
        if request.model in unknown:
            continue
        usage = Usage(
            input_tokens=request.input_tokens,
            cache_read_tokens=request.cache_read_tokens,
            output_tokens=request.output_tokens,
        )
        provider = _PRICE_TABLE_PROVIDERS.get(request.provider, request.provider)
        try:
            price = calc_price(usage, model_ref=request.model, provider_id=provider)
        except LookupError:
            unknown.add(request.model)
            continue
        costs[request.model] = costs.get(request.model, Decimal(0)) + price.total_price
    return dict(sorted(costs.items()))
