"""LLM calls on their way into blocks: the series found so far, and the one function that adds to them.

The hot path behind ``tracking``. Every call ends in ``add_call``, the well-formed ones at once, the others by way of
``llm_unusual``.
"""

import time
from bisect import bisect_left
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from genai_metrics import runtime
from genai_metrics.blocks import ATOMIC, Block
from genai_metrics.catalog import (
    CALL_SECONDS,
    FIRST_TOKEN_SECONDS,
    LLM_COST,
    LLM_UNPRICED,
    OUTPUT_TOKEN_SECONDS,
    TENANT,
)
from genai_metrics.labels import UNKNOWN
from genai_metrics.numbers import LARGEST_COUNT

if TYPE_CHECKING:
    from genai_metrics.pricing import Price

Rates = tuple[float, float, float, float, float, float, float]
"""US dollars per token of input, cache read, cache write, output, reasoning; per call; saved by each cache read."""

COST_UNATTRIBUTED = LLM_COST.offset("genai_llm_cost_usd_total") + 4
SAVED_BY_RESPONSE_CACHE = LLM_COST.offset("genai_llm_cost_saved_usd_total")
TENANT_COST = TENANT.offset("genai_tenant_cost_usd_total")
TENANT_SAVED = TENANT.offset("genai_tenant_cost_saved_usd_total")
TENANT_ERRORS = TENANT.offset("genai_tenant_errors_total")


class CallSeries:
    """The blocks that a call with one label tuple updates, and its price.

    ``stream`` and ``cost`` are made when first needed, so that a model that never streams has no empty histograms.
    ``rates`` hold for calls of up to ``flat_up_to`` input tokens, less than ``LARGEST_COUNT``; beyond, and where
    prices depend on the time, ``rates_for`` is asked.
    """

    __slots__ = (
        "call",
        "cost",
        "flat_up_to",
        "from_cache",
        "model",
        "price",
        "provider",
        "rates",
        "stream",
        "unpriced",
    )

    def __init__(self, call: Block, provider: str, model: str, *, from_cache: bool) -> None:
        self.call = call
        self.stream: Block | None = None
        self.cost: Block | None = None
        self.unpriced: Block | None = None
        self.provider = provider
        self.model = model
        self.from_cache = from_cache
        self.set_price(None)

    def find_price(self) -> bool:
        """Look the price up and make the block that goes with it; whether the answer may be kept."""
        price, final = runtime.price_of(None if self.provider == UNKNOWN else self.provider, self.model)
        recorder = runtime.recorder()
        if price is None:
            self.unpriced = recorder.block(LLM_UNPRICED, self.call.key[1:3])
        elif self.cost is None:
            self.cost = recorder.block(LLM_COST, self.call.key, self.call)
        self.set_price(price)
        return final

    def set_price(self, price: "Price | None") -> None:
        """Take over a resolved price; ``None`` is an unknown one."""
        self.price = price
        self.rates: Rates | None = None
        self.flat_up_to = LARGEST_COUNT - 1
        if price is not None:
            self.rates = price.rates
            if price.expires_at is not None:
                self.flat_up_to = -1
            elif price.tiers:
                self.flat_up_to = min(price.tiers[0][0], LARGEST_COUNT - 1)

    def rates_for(self, input_tokens: float) -> Rates | None:
        """Return the rates of a call of ``input_tokens``, resolving the price again when its time is over."""
        if self.price is not None and self.price.expires_at is not None and time.time() >= self.price.expires_at:
            self.find_price()
        return None if self.price is None else self.price.for_input(input_tokens).rates


class TenantSeries:
    """The blocks that a call of one tenant in one mode updates."""

    __slots__ = ("requests", "totals")

    def __init__(self, requests: Block, totals: Block) -> None:
        self.requests = requests
        self.totals = totals


calls: dict[tuple[object, ...], CallSeries] = {}
"""Series by (mode, provider, model, operation, from the response cache); only clean, admitted label values."""
tenants: dict[tuple[object, ...], TenantSeries] = {}
"""Series by (tenant, mode); only clean, admitted label values."""
runtime.on_new_recorder(calls.clear)
runtime.on_new_recorder(tenants.clear)


def add_step(
    series: CallSeries,
    payer: TenantSeries | None,
    given: float,
    read: float,
    write: float,
    output: float,
    reasoning: float,
    duration: float | None,
    first: float | None,
    rates: Rates | None,
) -> None:
    """Add one call whose numbers are checked: exactly ints or floats, finite and not negative.

    ``given``: input tokens, of which ``read`` from the prompt cache and ``write`` to it; ``output``: output tokens, of
    which ``reasoning``. Parts taken away from their whole leave nothing negative. Times in seconds. The series has a
    stream block when ``first`` is given, a cost block when ``rates`` are.
    """
    # Slots are literals, which a test holds to the catalogue, and ``+=`` is spelled out: a tenth of a microsecond less.
    bucket = 0 if duration is None else 1 + bisect_left(CALL_SECONDS, duration)
    # Arithmetic on floats alone is the quickest that the interpreter has.
    given, read, write = float(given), float(read), float(write)
    output, reasoning = float(output), float(reasoning)
    token_bucket = 0
    if first is not None:
        first_bucket = bisect_left(FIRST_TOKEN_SECONDS, first)
        if duration is not None and output > 1.0 and first <= duration:
            per_token = (duration - first) / (output - 1.0)
            token_bucket = 17 + bisect_left(OUTPUT_TOKEN_SECONDS, per_token)
    total = saved = 0.0
    if rates is not None:
        in_rate, read_rate, write_rate, out_rate, reasoning_rate, request, saved_rate = rates
        input_cost = (given - read - write) * in_rate + request
        read_cost = read * read_rate
        write_cost = write * write_rate
        output_cost = (output - reasoning) * out_rate + reasoning * reasoning_rate
        total = input_cost + read_cost + write_cost + output_cost
        saved = read * saved_rate
    from_cache = series.from_cache
    if from_cache:
        saved, total = total, 0.0
        given = output = 0.0

    # One step from here to the last addition, without any call; see the rule in ``blocks``.
    values = series.call.values
    values[0] = values[0] + 1.0  # calls
    if bucket:
        values[bucket] = values[bucket] + 1.0
        values[15] = values[15] + duration  # type: ignore[operator]  # no bucket without a duration
    if not from_cache:
        values[16] = values[16] + given
        values[17] = values[17] + output
        if read:
            values[18] = values[18] + read
        if write:
            values[19] = values[19] + write
        if reasoning:
            values[20] = values[20] + reasoning
    if first is not None:
        values = series.stream.values  # type: ignore[union-attr]  # see the docstring
        values[first_bucket] = values[first_bucket] + 1.0
        values[16] = values[16] + first
        if token_bucket:
            values[token_bucket] = values[token_bucket] + 1.0
            values[31] = values[31] + per_token
    if payer is not None:
        values = payer.requests.values
        values[0] = values[0] + 1.0
        values = payer.totals.values
        values[0] = values[0] + given
        values[1] = values[1] + output
        values[2] = values[2] + total
        if saved:
            values[3] = values[3] + saved
    if rates is not None:
        values = series.cost.values  # type: ignore[union-attr]  # see the docstring
        if from_cache:
            values[5] = values[5] + saved
        else:
            values[0] = values[0] + input_cost
            values[3] = values[3] + output_cost
            if read:
                values[1] = values[1] + read_cost
                values[6] = values[6] + saved
            if write:
                values[2] = values[2] + write_cost
    elif series.unpriced is not None and given + output > 0.0:
        series.unpriced.add(0, 1.0)


def add_under_locks(series: CallSeries, payer: TenantSeries | None, *numbers: Any) -> None:
    """Do as ``add_step`` where the interpreter does not make it one step: under the locks of the blocks."""
    with series.call.lock or nullcontext():
        if payer is None:
            add_step(series, None, *numbers)
        else:  # always in this order: call, then tenant
            with payer.totals.lock or nullcontext():
                add_step(series, payer, *numbers)


add_call = add_step if ATOMIC else add_under_locks
"""Add one call; what ``add_step`` says."""
