"""LLM calls that are not well-formed or not known yet: repaired, counted, and recorded as far as possible.

Ends in ``llm_calls.add_call`` like every call. Raises nothing for bad input; exceptions mean a bug and are counted as
internal faults by ``tracking``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from math import inf, nextafter
from operator import sub
from typing import TypeVar

from genai_metrics import runtime, traces
from genai_metrics.catalog import (
    LLM_CALL,
    LLM_CALL_EXEMPLARS,
    LLM_COST,
    LLM_ERROR,
    LLM_ESTIMATED,
    LLM_RETRY,
    LLM_STREAM,
    TENANT_REQUESTS,
)
from genai_metrics.catalog import TENANT as TENANT_KIND
from genai_metrics.labels import clean, is_unchanged
from genai_metrics.llm_calls import (
    COST_UNATTRIBUTED,
    SAVED_BY_RESPONSE_CACHE,
    TENANT_COST,
    TENANT_ERRORS,
    TENANT_SAVED,
    CallSeries,
    Rates,
    TenantSeries,
    add_call,
    calls,
    tenants,
)
from genai_metrics.numbers import LARGEST_COUNT, LARGEST_SECONDS, checked_flag, checked_number
from genai_metrics.recorder import Recorder

_FREE: Rates = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

_Series = TypeVar("_Series", CallSeries, TenantSeries)

Numbers = Callable[[str], float | None]
"""From an argument's name to its value, ``None`` when it was not given or is unusable."""


@dataclass(frozen=True)
class LlmCall:
    """Arguments of ``track_llm_call`` as given, right or wrong."""

    mode: object
    provider: object
    model: object
    operation: object
    tenant: object
    cached: object
    input_tokens: object
    output_tokens: object
    cached_input_tokens: object
    cache_write_tokens: object
    reasoning_tokens: object
    duration: object
    time_to_first_token: object
    error_type: object
    cost_usd: object
    cost_per_1k_input: object
    cost_per_1k_output: object
    retries: object
    retry_reason: object
    estimated: object


def record_unusual(given: LlmCall) -> None:
    """Record what can be recorded of any call, and count what cannot."""
    recorder = runtime.recorder()

    def count(name: str) -> float | None:
        return checked_number(recorder, name, getattr(given, name), LARGEST_COUNT)

    def seconds(name: str) -> float | None:
        return checked_number(recorder, name, getattr(given, name), LARGEST_SECONDS)

    fresh, read, write, answer, reasoning = _token_parts(recorder, count)
    duration, first = seconds("duration"), seconds("time_to_first_token")
    if duration is not None and first is not None and first > duration:
        recorder.fault("inconsistent_times", f"time_to_first_token={first} is after the end, duration={duration}")
    from_cache = checked_flag(recorder, "cached", given.cached)
    failed = given.error_type is not None
    outcome = "cached" if from_cache else "error" if failed else "success"

    series = _call_series(recorder, given, outcome)
    input_tokens, output_tokens = _whole(fresh, read, write), _whole(answer, reasoning)
    cost = count("cost_usd")
    rates = _FREE if cost is not None else _given_rates(recorder, count, input_tokens, output_tokens)
    if rates is None:
        rates = series.rates_for(input_tokens)
    if rates is not None and series.cost is None:
        series.cost = recorder.block(LLM_COST, series.call.key, series.call)
    if first is not None and series.stream is None:
        series.stream = recorder.block(LLM_STREAM, series.call.key, series.call)
    payer = None if given.tenant is None else _tenant_series(recorder, given.tenant, series.call.key[0], given.mode)

    add_call(series, payer, input_tokens, read, write, output_tokens, reasoning, duration, first, rates)
    traces.notice()
    if duration is not None and traces.tracing.on:
        traces.offer(LLM_CALL_EXEMPLARS, series.call, duration)

    mode, provider, model, operation, _ = series.call.key
    if cost:
        if series.cost is not None:
            series.cost.add(SAVED_BY_RESPONSE_CACHE if from_cache else COST_UNATTRIBUTED, cost)
        if payer is not None:
            payer.totals.add(TENANT_SAVED if from_cache else TENANT_COST, cost)
    if failed:
        recorder.block(LLM_ERROR, (mode, provider, model, given.error_type)).add(0, 1.0)
        if payer is not None:
            payer.totals.add(TENANT_ERRORS, 1.0)
    if retries := count("retries"):
        recorder.block(LLM_RETRY, (mode, provider, model, operation, given.retry_reason)).add(0, retries)
    if checked_flag(recorder, "estimated", given.estimated):
        recorder.block(LLM_ESTIMATED, (provider, model)).add(0, 1.0)


def _token_parts(recorder: Recorder, count: Numbers) -> tuple[float, float, float, float, float]:
    """Return the disjoint parts (fresh, cache read, cache write, answer, reasoning) of checked token counts."""
    given_input, output = count("input_tokens") or 0.0, count("output_tokens") or 0.0
    read, write = count("cached_input_tokens") or 0.0, count("cache_write_tokens") or 0.0
    reasoning = count("reasoning_tokens") or 0.0
    if read + write > given_input or reasoning > output:
        recorder.fault(
            "inconsistent_tokens",
            f"cached_input_tokens={read:g} + cache_write_tokens={write:g} must not exceed input_tokens={given_input:g}"
            f", nor reasoning_tokens={reasoning:g} output_tokens={output:g}; the larger was taken for the whole",
        )
    return max(given_input - read - write, 0.0), read, write, max(output - reasoning, 0.0), reasoning


def _whole(rest: float, *parts: float) -> float:
    """Return the sum, from which subtracting the parts leaves nothing negative: fractions of tokens are rounded."""
    whole = sum(parts, rest)
    while reduce(sub, parts, whole) < 0.0:
        whole = nextafter(whole, inf)
    return whole


def _given_rates(recorder: Recorder, count: Numbers, input_tokens: float, output_tokens: float) -> Rates | None:
    """Return the rates that the call itself names, ``None`` when it names none or not all that it needs."""
    r_in, r_out = count("cost_per_1k_input"), count("cost_per_1k_output")
    if r_in is None and r_out is None:
        return None
    if (r_in is None and input_tokens) or (r_out is None and output_tokens):
        recorder.fault(
            "incomplete_rates",
            "cost_per_1k_input and cost_per_1k_output must both be given when both kinds of tokens are used; "
            "the price table was used instead",
        )
        return None
    r_in, r_out = (r_in or 0.0) / 1000.0, (r_out or 0.0) / 1000.0
    return (r_in, r_in, r_in, r_out, r_out, 0.0, 0.0)


def _call_series(recorder: Recorder, given: LlmCall, outcome: str) -> CallSeries:
    """Make the series of a call, priced, and keep it for the hot path if its labels are clean and admitted."""
    raw = (given.mode, given.provider, given.model, given.operation)
    call = recorder.block(LLM_CALL, (*raw, outcome))
    kept = (*call.key[:4], outcome == "cached")
    # An error's series is found anew each time: errors need more than the hot path does anyway.
    usual = outcome != "error" and is_unchanged(raw, call.key[:4])
    if usual and kept in calls:
        return calls[kept]
    # As given, not as capped: a model beyond the cap has a price all the same.
    provider, model = clean(given.provider)[0], clean(given.model)[0]
    series = CallSeries(call, provider, model, from_cache=outcome == "cached")
    final = series.find_price() if recorder.settings.pricing else True
    if usual and final and recorder.is_settled():
        _keep(recorder, calls, kept, series)
    return series


def _tenant_series(recorder: Recorder, tenant: object, mode: str, given_mode: object) -> TenantSeries:
    """Make the series of a tenant in a ``mode`` that is clean and admitted already; keep it likewise."""
    totals = recorder.block(TENANT_KIND, (tenant,))
    key = (totals.key[0], mode)
    series = TenantSeries(recorder.block_of(TENANT_REQUESTS, key, totals), totals)
    # Kept by name, also where its hash is recorded: a tenant that is known costs no hashing.
    name = clean(tenant)[0]
    usual = is_unchanged((tenant, given_mode), (name, mode)) and recorder.tenant_label(name) == totals.key[0]
    if usual and recorder.is_settled():
        _keep(recorder, tenants, (name, mode), series)
    return series


def _keep(
    recorder: Recorder, found: dict[tuple[object, ...], _Series], key: tuple[object, ...], series: _Series
) -> None:
    """Have the hot path find ``series``, unless ``configure()`` has replaced the recorder meanwhile."""
    found[key] = series
    # Checked after storing: configure() installs the new recorder first and forgets what was found then.
    if runtime.existing_recorder() is not recorder:
        found.pop(key, None)
