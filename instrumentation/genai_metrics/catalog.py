"""Every metric, label set, bucket list and cardinality cap: the only place where a name is spelled.

Pure data and the arithmetic of slots; imports the standard library only. A *block kind* is the set of metrics that
one call updates under one label tuple; its values are one contiguous run of doubles, laid out in the order in which
its metrics are listed here. Renaming a metric, or changing the order, labels or buckets of a kind changes its
``layout_id``: readers do not accept blocks of a layout that they do not know, so old files are never misread.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

MetricType = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "live_sum", "live_max"]

OVERFLOW = "__other__"
"""Label value that stands for all values that came after a label's cap was reached."""

SERVICE_LABEL = "service"
"""Label that every application metric carries in addition to those of its spec."""


@dataclass(frozen=True)
class MetricSpec:
    """One metric family as it is exposed.

    ``labels`` are those of the block's key; ``split`` adds one label whose values are a fixed list, one slot each.
    ``buckets`` are the finite upper bounds in the metric's base unit, ascending; ``+Inf`` is implied.
    ``source`` names where the definition comes from (a convention, a system call, our own reasoning).
    """

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()
    split: tuple[str, tuple[str, ...]] | None = None
    buckets: tuple[float, ...] = ()
    source: str = "own"

    @property
    def family(self) -> str:
        """Name as OpenMetrics writes it in TYPE and HELP lines: a counter's without ``_total``."""
        return self.name.removesuffix("_total") if self.type == "counter" else self.name

    @property
    def unit(self) -> str:
        """Base unit that the name ends in (``seconds``, ``bytes``, ``ratio``), or an empty string."""
        last = self.family.rpartition("_")[2]
        return last if last in ("seconds", "bytes", "ratio") else ""

    @property
    def slots(self) -> int:
        """Number of doubles that the metric takes in a block (a histogram: one a bucket, +Inf, and the sum)."""
        if self.type == "histogram":
            return len(self.buckets) + 2
        return len(self.split[1]) if self.split else 1

    @property
    def label_names(self) -> tuple[str, ...]:
        """All labels of the exposed series but ``service`` and ``le``."""
        return self.labels + ((self.split[0],) if self.split else ())


@dataclass(frozen=True)
class BlockKind:
    """Metrics that share one label tuple and are updated by one call.

    ``merge`` says how blocks of equal key from several processes become one: ``sum`` over all files, dead or alive
    (counters and histograms); ``live_sum`` and ``live_max`` over files of living processes only (gauges).
    """

    name: str
    metrics: tuple[MetricSpec, ...]
    merge: Merge = "sum"

    def __post_init__(self) -> None:
        """Refuse a kind whose metrics do not share their labels."""
        if len({metric.labels for metric in self.metrics}) != 1:
            raise ValueError(f"block kind {self.name}: its metrics must have equal labels")

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names of the key, in key order."""
        return self.metrics[0].labels

    @cached_property
    def slots(self) -> int:
        """Number of doubles in a block of this kind."""
        return sum(metric.slots for metric in self.metrics)

    @cached_property
    def layout_id(self) -> int:
        """CRC-32 of everything that a reader must agree on to read a block of this kind."""
        shape = [(m.name, m.type, m.labels, m.split, m.buckets) for m in self.metrics]
        return zlib.crc32(repr((self.name, self.merge, shape)).encode())

    def layout(self) -> Iterator[tuple[MetricSpec, int]]:
        """Yield each metric with the index of its first slot."""
        offset = 0
        for metric in self.metrics:
            yield metric, offset
            offset += metric.slots

    def offset(self, name: str) -> int:
        """Index of the first slot of the metric called ``name``; ``KeyError`` when the kind has none such."""
        return {metric.name: offset for metric, offset in self.layout()}[name]


# Call durations: from a cached answer's milliseconds to reasoning calls of minutes. OpenTelemetry's list ends at
# 81.92 s, so that every long agent call would land in +Inf.
CALL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
# First token: hosted models answer within 0.2-1 s, cold starts take over a minute (recorded: p99 63 s).
FIRST_TOKEN_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0)
# Per token: recorded medians lie between 4 and 90 ms.
OUTPUT_TOKEN_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)

_LLM = ("mode", "provider", "model", "operation", "outcome")
_OTEL = "OpenTelemetry GenAI semantic conventions v1.41, "

LLM_CALL = BlockKind(
    "llm_call",
    (
        MetricSpec("genai_llm_calls_total", "counter", "LLM calls, whether or not their duration is known.", _LLM),
        MetricSpec(
            "genai_llm_call_duration_seconds",
            "histogram",
            "Duration of LLM calls from request to complete answer.",
            _LLM,
            buckets=CALL_SECONDS,
            source=_OTEL + "gen_ai.client.operation.duration",
        ),
        MetricSpec(
            "genai_llm_input_tokens_total",
            "counter",
            "Input tokens billed, cached ones included; none for answers from the response cache.",
            _LLM,
            source=_OTEL + "gen_ai.usage.input_tokens",
        ),
        MetricSpec(
            "genai_llm_output_tokens_total",
            "counter",
            "Output tokens billed, reasoning tokens included; none for answers from the response cache.",
            _LLM,
            source=_OTEL + "gen_ai.usage.output_tokens",
        ),
        MetricSpec(
            "genai_llm_cache_read_input_tokens_total",
            "counter",
            "Input tokens that the provider read from its prompt cache; a subset of the input tokens.",
            _LLM,
            source=_OTEL + "gen_ai.usage.cache_read.input_tokens",
        ),
        MetricSpec(
            "genai_llm_cache_write_input_tokens_total",
            "counter",
            "Input tokens that the provider wrote to its prompt cache; a subset of the input tokens.",
            _LLM,
            source=_OTEL + "gen_ai.usage.cache_creation.input_tokens",
        ),
        MetricSpec(
            "genai_llm_reasoning_output_tokens_total",
            "counter",
            "Output tokens spent on reasoning; a subset of the output tokens.",
            _LLM,
            source=_OTEL + "gen_ai.usage.reasoning.output_tokens",
        ),
    ),
)

LLM_STREAM = BlockKind(
    "llm_stream",
    (
        MetricSpec(
            "genai_llm_time_to_first_token_seconds",
            "histogram",
            "Time from request to first token of streamed answers.",
            _LLM,
            buckets=FIRST_TOKEN_SECONDS,
            source=_OTEL + "gen_ai.client.operation.time_to_first_chunk",
        ),
        MetricSpec(
            "genai_llm_time_per_output_token_seconds",
            "histogram",
            "Time per output token after the first, of streamed answers.",
            _LLM,
            buckets=OUTPUT_TOKEN_SECONDS,
            source=_OTEL + "gen_ai.client.operation.time_per_output_chunk",
        ),
    ),
)

LLM_COST = BlockKind(
    "llm_cost",
    (
        MetricSpec(
            "genai_llm_cost_usd_total",
            "counter",
            "Cost of LLM calls in US dollars; the parts are disjoint and add up. "
            "unattributed: a total given by the caller, which cannot be split.",
            _LLM,
            split=("part", ("input", "cache_read", "cache_write", "output", "unattributed")),
        ),
        MetricSpec(
            "genai_llm_cost_saved_usd_total",
            "counter",
            "Cost avoided in US dollars by answers from the response cache and by the provider's prompt cache.",
            _LLM,
            split=("by", ("response_cache", "prompt_cache")),
        ),
    ),
)

LLM_ERROR = BlockKind(
    "llm_error",
    (
        MetricSpec(
            "genai_llm_errors_total",
            "counter",
            "Failed LLM calls by type of error (exception class or HTTP status).",
            ("mode", "provider", "model", "error_type"),
            source=_OTEL + "error.type",
        ),
    ),
)

LLM_RETRY = BlockKind(
    "llm_retry",
    (
        MetricSpec(
            "genai_llm_retries_total",
            "counter",
            "Retries of LLM calls, beyond the first attempt.",
            ("mode", "provider", "model", "operation", "reason"),
        ),
    ),
)

LLM_FALLBACK = BlockKind(
    "llm_fallback",
    (
        MetricSpec(
            "genai_llm_fallbacks_total",
            "counter",
            "Calls that moved from one model to another.",
            ("from_model", "to_model", "reason"),
        ),
    ),
)

LLM_IN_FLIGHT = BlockKind(
    "llm_in_flight",
    (MetricSpec("genai_llm_calls_in_flight", "gauge", "LLM calls begun and not yet ended.", ("mode", "model")),),
    merge="live_sum",
)

LLM_UNPRICED = BlockKind(
    "llm_unpriced",
    (
        MetricSpec(
            "genai_llm_unpriced_calls_total",
            "counter",
            "LLM calls that consumed tokens at an unknown price: their cost is missing from the cost metrics.",
            ("provider", "model"),
        ),
    ),
)

LLM_ESTIMATED = BlockKind(
    "llm_estimated",
    (
        MetricSpec(
            "genai_llm_estimated_usage_calls_total",
            "counter",
            "LLM calls whose tokens were estimated because the provider reported none.",
            ("provider", "model"),
        ),
    ),
)

TENANT_REQUESTS = BlockKind(
    "tenant_requests",
    (MetricSpec("genai_tenant_requests_total", "counter", "LLM calls by tenant.", ("tenant", "mode")),),
)

TENANT = BlockKind(
    "tenant",
    (
        MetricSpec(
            "genai_tenant_tokens_total",
            "counter",
            "Tokens billed by tenant.",
            ("tenant",),
            split=("direction", ("input", "output")),
        ),
        MetricSpec("genai_tenant_cost_usd_total", "counter", "Cost in US dollars by tenant.", ("tenant",)),
        MetricSpec(
            "genai_tenant_cost_saved_usd_total", "counter", "Cost avoided in US dollars by tenant.", ("tenant",)
        ),
        MetricSpec("genai_tenant_errors_total", "counter", "Failed LLM calls by tenant.", ("tenant",)),
    ),
)

LABEL_OVERFLOW = BlockKind(
    "label_overflow",
    (
        MetricSpec(
            "genai_label_overflow_total",
            "counter",
            f"Records whose label value came after the label's cap and was replaced by {OVERFLOW}.",
            ("label",),
        ),
    ),
)

RECORDER_FAULT = BlockKind(
    "recorder_fault",
    (
        MetricSpec(
            "genai_recorder_faults_total",
            "counter",
            "Records that were wrong or could not be kept as given, by reason.",
            ("reason",),
        ),
    ),
)

BLOCK_KINDS = (
    LLM_CALL,
    LLM_STREAM,
    LLM_COST,
    LLM_ERROR,
    LLM_RETRY,
    LLM_FALLBACK,
    LLM_IN_FLIGHT,
    LLM_UNPRICED,
    LLM_ESTIMATED,
    TENANT_REQUESTS,
    TENANT,
    LABEL_OVERFLOW,
    RECORDER_FAULT,
)
"""Every kind of block that an application records."""

EXPORTER_METRICS = (
    MetricSpec("genai_build_info", "gauge", "Version of the exporter; always 1.", ("version", "python")),
    MetricSpec(
        "genai_exporter_collector_duration_seconds", "gauge", "Duration of a collector's last run.", ("collector",)
    ),
    MetricSpec(
        "genai_exporter_collector_success", "gauge", "1 if a collector's last run succeeded, else 0.", ("collector",)
    ),
    MetricSpec("genai_exporter_series", "gauge", "Application series in the last scrape."),
    MetricSpec(
        "genai_exporter_files",
        "gauge",
        "Files in the metrics directory: of living processes (live), of ended ones not yet folded (dead), refused "
        "because they cannot be read (rejected) or read in part because they hold unknown blocks (partial); and those "
        "folded into the archive since it was made (folded).",
        ("state",),
    ),
    MetricSpec("genai_processes", "gauge", "Living processes that record metrics.", ("service",)),
    MetricSpec(
        "genai_price_data_age_seconds",
        "gauge",
        "Age of the price table: time since the installed genai-prices release was unpacked.",
    ),
)
"""What the exporter says of itself; rendered by prometheus_client."""

DEFAULT_LABEL_CAPS = {
    "mode": 50,
    "provider": 50,
    "model": 200,
    "operation": 100,
    "outcome": 10,
    "error_type": 100,
    "reason": 100,
    "from_model": 200,
    "to_model": 200,
    "tenant": 1000,
    "label": 50,
}
"""Largest number of distinct values a label may take in one service; later values become ``__other__``."""

FAULT_REASONS = (
    "bad_label",  # a label value that is not text, or that had to be shortened or cleaned
    "bad_number",  # not a number, negative, NaN, infinite or absurdly large; the number was left out
    "inconsistent_tokens",  # cached and cache-write tokens exceed the input, or reasoning tokens the output
    "inconsistent_times",  # the first token came after the end of the call
    "incomplete_rates",  # one of two per-1k rates given although both kinds of tokens were used
    "price_file",  # the user's price file cannot be used
    "price_data",  # genai-prices is missing or failed
    "storage",  # no space or no file: recorded in private memory, which the exporter does not see
    "internal",  # an exception inside the recorder
)
"""Every value of ``genai_recorder_faults_total{reason}``."""
