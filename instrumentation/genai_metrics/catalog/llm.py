"""Metrics of LLM calls, and of the tenants that pay for them."""

from genai_metrics.catalog.model import BlockKind, MetricSpec

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
