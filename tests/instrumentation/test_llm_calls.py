"""Tests of the one function that adds LLM calls: every number lands in the slot that the catalogue names."""

from bisect import bisect_left
from collections.abc import Mapping
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING

import pytest

from genai_metrics import runtime, track_llm_call
from genai_metrics.blocks import Block
from genai_metrics.catalog import LLM_CALL, LLM_COST, LLM_STREAM, TENANT, TENANT_REQUESTS, BlockKind
from genai_metrics.llm_calls import CallSeries, TenantSeries, add_step

if TYPE_CHECKING:
    from conftest import Metrics

KEY = ("m", "p", "model", "chat", "success")
RATES = (2.0, 0.5, 3.0, 5.0, 7.0, 11.0, 1.5)
DURATION, FIRST = 6.25, 1.125
PER_TOKEN = (DURATION - FIRST) / 49


def slots(kind: BlockKind, expected: Mapping[str, Mapping[int, float]]) -> dict[int, float]:
    """Slots of a block and what is in them, from metric and place in it."""
    return {kind.offset(name) + place: value for name, places in expected.items() for place, value in places.items()}


def observed(kind: BlockKind, name: str, value: float) -> dict[int, float]:
    """What one observation leaves in a histogram: its bucket and, behind the last one, the sum."""
    bounds = next(metric for metric in kind.metrics if metric.name == name).buckets
    return {bisect_left(bounds, value): 1.0, len(bounds) + 1: value}


def filled(block: Block) -> dict[int, float]:
    """Slots of a block that are not 0."""
    return {slot: value for slot, value in enumerate(block.read()) if value}


@pytest.mark.parametrize("from_cache", [False, True])
def test_slots_are_the_catalogues(metrics: "Metrics", from_cache: bool) -> None:
    """``add_step`` writes its slots as literals; each is where the catalogue has the metric."""
    recorder = runtime.recorder()
    series = CallSeries(recorder.block(LLM_CALL, KEY), "p", "model", from_cache=from_cache)
    series.stream, series.cost = recorder.block(LLM_STREAM, KEY), recorder.block(LLM_COST, KEY)
    payer = TenantSeries(recorder.block(TENANT_REQUESTS, ("t", "m")), recorder.block(TENANT, ("t",)))
    add_step(series, payer, 100, 30, 20, 50, 10, DURATION, FIRST, RATES)

    calls: dict[str, Mapping[int, float]] = {
        "genai_llm_calls_total": {0: 1},
        "genai_llm_call_duration_seconds": observed(LLM_CALL, "genai_llm_call_duration_seconds", DURATION),
    }
    streams = {
        "genai_llm_time_to_first_token_seconds": FIRST,
        "genai_llm_time_per_output_token_seconds": PER_TOKEN,
    }
    input_cost, read_cost, write_cost, output_cost = 50 * 2.0 + 11.0, 30 * 0.5, 20 * 3.0, 40 * 5.0 + 10 * 7.0
    total = input_cost + read_cost + write_cost + output_cost
    costs: dict[str, Mapping[int, float]]
    tenants: dict[str, Mapping[int, float]]
    if from_cache:
        costs = {"genai_llm_cost_saved_usd_total": {0: total}}
        tenants = {"genai_tenant_cost_saved_usd_total": {0: total}}
    else:
        calls |= {
            "genai_llm_input_tokens_total": {0: 100},
            "genai_llm_output_tokens_total": {0: 50},
            "genai_llm_cache_read_input_tokens_total": {0: 30},
            "genai_llm_cache_write_input_tokens_total": {0: 20},
            "genai_llm_reasoning_output_tokens_total": {0: 10},
        }
        costs = {
            "genai_llm_cost_usd_total": {0: input_cost, 1: read_cost, 2: write_cost, 3: output_cost},
            "genai_llm_cost_saved_usd_total": {1: 30 * 1.5},
        }
        tenants = {
            "genai_tenant_tokens_total": {0: 100, 1: 50},
            "genai_tenant_cost_usd_total": {0: total},
            "genai_tenant_cost_saved_usd_total": {0: 30 * 1.5},
        }
    assert slots(LLM_CALL, calls) == filled(series.call)
    expected = {name: observed(LLM_STREAM, name, value) for name, value in streams.items()}
    assert slots(LLM_STREAM, expected) == filled(series.stream)
    assert slots(LLM_COST, costs) == filled(series.cost)
    assert slots(TENANT, tenants) == filled(payer.totals)
    assert filled(payer.requests) == {0: 1}


def test_fractions_of_tokens_cost_nothing_negative(metrics: "Metrics") -> None:
    """However fractions are rounded, what is left of the input beside the cache is never below nothing."""
    metrics.configure(label_caps={"mode": 100})
    tenths = [i / 10 for i in range(1, 10)]
    for read, write in product(tenths, tenths):
        mode, whole = f"{read} and {write}", float(Fraction(read) + Fraction(write))
        for _ in range(2):
            track_llm_call(
                mode=mode, model="gpt-4", input_tokens=whole, cached_input_tokens=read, cache_write_tokens=write
            )
        assert metrics.value("genai_llm_cost_usd_total", mode=mode, part="input") >= 0
