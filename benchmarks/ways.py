"""Ways to record one LLM call. Each takes the same thirteen keyword arguments and is made in a process of its own.

A way's function does for one call what an application would write there; what can be prepared once, is.
"""

import os
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peer_ways import (
    opentelemetry,
    prometheus_cached,
    prometheus_keywords,
    prometheus_labels,
    prometheus_labels_of_nine,
)
from benchmarks.peers import Record
from genai_metrics.catalog import CALL_SECONDS, FIRST_TOKEN_SECONDS, OUTPUT_TOKEN_SECONDS

PROVIDER, MODEL = "anthropic", "claude-sonnet-4-5-20250929"


def empty() -> Record:
    """A function that does nothing: what the call itself costs."""

    def record(
        *,
        mode: str,
        provider: str,
        model: str,
        operation: str,
        tenant: str | None,
        input_tokens: float,
        output_tokens: float,
        cached: bool,
        duration: float,
        time_to_first_token: float,
        cached_input_tokens: float,
        cache_write_tokens: float,
        reasoning_tokens: float,
    ) -> None:
        pass

    return record


def limit() -> Record:
    """A key tuple, a dict lookup, twelve float additions and three bisections: no Python code can do less."""
    blocks: dict[tuple[str, ...], list[float]] = {}
    durations, firsts, tokens = 6, 6 + 15, 6 + 15 + 17  # where the histograms start, in a block of 53 floats

    def record(
        *,
        mode: str,
        provider: str,
        model: str,
        operation: str,
        tenant: str | None,
        input_tokens: float,
        output_tokens: float,
        cached: bool,
        duration: float,
        time_to_first_token: float,
        cached_input_tokens: float,
        cache_write_tokens: float,
        reasoning_tokens: float,
    ) -> None:
        values = blocks[mode, provider, model, operation]
        values[0] += 1.0
        values[1] += input_tokens
        values[2] += output_tokens
        values[3] += cached_input_tokens
        values[4] += cache_write_tokens
        values[5] += reasoning_tokens
        values[durations + bisect_left(CALL_SECONDS, duration)] += 1.0
        values[durations + 14] += duration
        values[firsts + bisect_left(FIRST_TOKEN_SECONDS, time_to_first_token)] += 1.0
        values[firsts + 16] += time_to_first_token
        per_token = (duration - time_to_first_token) / (output_tokens - 1)
        values[tokens + bisect_left(OUTPUT_TOKEN_SECONDS, per_token)] += 1.0
        values[tokens + 14] += per_token

    blocks["1", PROVIDER, MODEL, "chat"] = [0.0] * 53
    return record


def ours_with_files() -> Record:
    """``track_llm_call`` into a metrics directory, price from the table."""
    return _ours(metrics_dir=Path(os.environ["BENCHMARK_DIR"]) / "ours")


def ours_with_files_unpriced() -> Record:
    """The same without prices."""
    return _ours(metrics_dir=Path(os.environ["BENCHMARK_DIR"]) / "ours_unpriced", pricing=False)


def ours_in_memory() -> Record:
    """``track_llm_call`` into private memory, price from the table."""
    return _ours()


def ours_nested() -> Record:
    """``llm_call`` in a ``workflow``, into a metrics directory: what is around a call as well as the call."""
    _ours(metrics_dir=Path(os.environ["BENCHMARK_DIR"]) / "ours_nested")
    from genai_metrics import llm_call, workflow

    def record(
        *,
        mode: str,
        provider: str,
        model: str,
        operation: str,
        tenant: str,
        input_tokens: float,
        output_tokens: float,
        cached: bool,
        duration: float,
        time_to_first_token: float,
        cached_input_tokens: float,
        cache_write_tokens: float,
        reasoning_tokens: float,
    ) -> None:
        with workflow(mode=mode, tenant=tenant), llm_call(model=model, provider=provider, operation=operation) as call:
            call.tokens(
                input=input_tokens,
                output=output_tokens,
                cached_input=cached_input_tokens,
                cache_write=cache_write_tokens,
                reasoning=reasoning_tokens,
            )

    return record


def _ours(**settings: Any) -> Record:
    import genai_metrics

    genai_metrics.configure(service_name="benchmark", **settings)
    genai_metrics.warm_up()
    return genai_metrics.track_llm_call


@dataclass(frozen=True)
class Way:
    """A way to record, as it is printed. ``multiprocess``: prometheus_client keeps its values in files."""

    name: str
    make: Callable[[], Record]
    tenant: str | None = "acme"
    multiprocess: bool = False
    note: str = ""


WAYS = (
    Way("empty call", empty, note="the same 13 keyword arguments"),
    Way("limit of Python code", limit, note="key tuple, dict lookup, 12 float additions, 3 bisections"),
    Way(
        "track_llm_call, file, tenant and price",
        ours_with_files,
        note="19 values: cost by part, what was saved, tenant",
    ),
    Way(
        "track_llm_call, file", ours_with_files_unpriced, tenant=None, note="9 metrics, the same additions as the limit"
    ),
    Way(
        "workflow and llm_call, file, tenant and price",
        ours_nested,
        note="both timed, in flight and with context",
    ),
    Way(
        "track_llm_call, memory, tenant and price",
        ours_in_memory,
        note="19 values: cost by part, what was saved, tenant",
    ),
    Way("prometheus_client, labels()", prometheus_keywords, note="12 metrics, labels by keyword"),
    Way("prometheus_client, labels() by position", prometheus_labels, note="12 metrics"),
    Way(
        "prometheus_client, labels() by position, 9 metrics",
        prometheus_labels_of_nine,
        tenant=None,
        note="the same 9 metrics as without tenant and price",
    ),
    Way("prometheus_client, cached children", prometheus_cached, note="12 metrics"),
    Way("prometheus_client multiprocess, labels()", prometheus_keywords, multiprocess=True, note="labels by keyword"),
    Way("prometheus_client multiprocess, cached", prometheus_cached, multiprocess=True, note="12 metrics"),
    Way("OpenTelemetry SDK, Prometheus reader", opentelemetry, note="12 metrics"),
)
