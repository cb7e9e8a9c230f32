"""PromQL of the dashboard "Performance".

A *request* is a workflow; of services that record no workflows, an LLM call.
"""

from collections.abc import Callable

from genai_dashboards.queries import (
    CALL_DURATION,
    CALLS,
    FIRST_TOKEN,
    PER_OUTPUT_TOKEN,
    RATE,
    latest,
    otherwise,
    quantile,
    quotient,
    rate,
    ratio,
    recorded,
    selector,
    total,
)
from genai_metrics import catalog

Count = Callable[..., str]
"""``queries.rate`` or ``queries.total``."""

WORKFLOW = catalog.WORKFLOW.metrics[0]
OPERATION = catalog.OPERATION.metrics[0]
QUALITY = catalog.QUALITY.metrics[0]
TENANT_REQUESTS = catalog.TENANT_REQUESTS.metrics[0]
TENANT_TOKENS, TENANT_COST, _, TENANT_ERRORS = catalog.TENANT.metrics

# Most panels ask neither for the outcome nor whether a cache answered.
_WORKFLOWS, _WORKFLOW_SECONDS, _WORKFLOW_BUCKETS = (
    recorded("instance_service_mode", WORKFLOW, suffix) for suffix in ("_count", "_sum", "_bucket")
)
_LOOKUPS = catalog.CACHE_LOOKUPS.metrics[0]
_DEGRADATION = catalog.DEGRADATION.metrics[0]
_IN_FLIGHT = catalog.WORKFLOW_IN_FLIGHT.metrics[0]
_CALLS_IN_FLIGHT = catalog.LLM_IN_FLIGHT.metrics[0]
_CALLS = recorded("instance_service_mode_outcome", CALLS)
_FAILED = ('outcome="error"',)


def requests(count: Count, *by: str) -> str:
    """Requests, per second or in the time range, by labels."""
    parts = otherwise(count(_WORKFLOWS, "service", *by), count(_CALLS, "service", *by), "service")
    return f"sum by ({', '.join(by)}) ({parts})" if by else f"sum({parts})"


def failed_requests(count: Count, *by: str) -> str:
    """Failed requests, likewise; 0 where none failed."""
    workflows = count(_WORKFLOWS, "service", *by)
    calls = count(_CALLS, "service", *by)
    failed = otherwise(
        f"{count(WORKFLOW, 'service', *by, where=_FAILED, suffix='_count')} or 0 * {workflows}",
        f"{count(_CALLS, 'service', *by, where=_FAILED)} or 0 * {calls}",
        "service",
    )
    return f"sum by ({', '.join(by)}) ({failed})" if by else f"sum({failed})"


def error_ratio() -> str:
    """Share of the time range's requests that failed."""
    return quotient(failed_requests(total), requests(total))


def error_ratio_by_mode() -> str:
    """Share of failed requests over 5 minutes by service and mode, as alerts see it."""
    return otherwise(
        selector("service_mode:genai_workflow_errors_per_workflow:ratio_rate5m"),
        selector("service_mode:genai_llm_call_errors_per_call:ratio_rate5m"),
        "service",
    )


def mean_latency(window: str = RATE) -> str:
    """Mean duration of requests."""
    durations, calls = (recorded("instance_service_mode_outcome", CALL_DURATION, part) for part in ("_sum", "_count"))
    return otherwise(
        quotient(rate(_WORKFLOW_SECONDS, window=window), rate(_WORKFLOWS, window=window)),
        quotient(rate(durations, window=window), rate(calls, window=window)),
    )


def latency(level: float, window: str = RATE, *, exemplars: bool = False) -> str:
    """Quantile of the duration of requests; ``exemplars`` reads the series that have some, three times as many."""
    return otherwise(
        quantile(level, WORKFLOW if exemplars else _WORKFLOW_BUCKETS, window=window),
        quantile(level, recorded("instance_service_mode", CALL_DURATION, "_bucket"), window=window),
    )


def latency_from_cache(level: float, operator: str) -> str:
    """Quantile of the duration of answers that a response cache gave (``=``), or did not give (``!=``); no failures."""
    succeeded = 'outcome!="error"'
    buckets = recorded("instance_service_mode_outcome", CALL_DURATION, "_bucket")
    return otherwise(
        quantile(level, WORKFLOW, where=[f'cache{operator}"hit"', succeeded]),
        quantile(level, buckets, where=[f'outcome{operator}"cached"', succeeded]),
    )


def latency_by_model(level: float) -> str:
    """Quantile of the duration of LLM calls by model."""
    return quantile(level, recorded("instance_service_mode_model", CALL_DURATION, "_bucket"), "model")


def first_token(level: float, window: str = RATE) -> str:
    """Quantile of the time to the first token of streamed answers."""
    return quantile(level, recorded("instance_service_mode", FIRST_TOKEN, "_bucket"), window=window)


def per_output_token(level: float) -> str:
    """Quantile of the time per output token of streamed answers by model."""
    return quantile(level, recorded("instance_service_mode_model", PER_OUTPUT_TOKEN, "_bucket"), "model")


def in_flight() -> str:
    """Workflows under way; of services without any, LLM calls."""
    workflows, calls = latest(_IN_FLIGHT, "service"), latest(_CALLS_IN_FLIGHT, "service")
    return f"sum({otherwise(workflows, calls, 'service')})"


def hit_ratio() -> str:
    """Share of the time range's lookups that hit, over all caches."""
    return ratio(total(_LOOKUPS, where=['result="hit"']), total(_LOOKUPS))


def degraded_ratio() -> str:
    """Share of the time range's workflows with an answer that was degraded; a workflow may be degraded twice."""
    return ratio(total(_DEGRADATION), total(_WORKFLOWS))


def degraded_ratio_by_reason() -> str:
    """Degradations as a share of workflows, by reason."""
    return f"{rate(_DEGRADATION, 'reason')} / on () group_left () ({rate(_WORKFLOWS)} > 0)"


def quality() -> str:
    """Mean score over the time range."""
    return quotient(total(QUALITY, suffix="_sum"), total(QUALITY, suffix="_count"))


def operation_share(count: Count) -> str:
    """Share of the time of all stages that each stage takes."""
    return (
        f"{count(OPERATION, 'operation', suffix='_sum')} / on () group_left () ({count(OPERATION, suffix='_sum')} > 0)"
    )


def operation_error_ratio() -> str:
    """Share of each stage's runs in the time range that failed."""
    runs = total(OPERATION, "operation", suffix="_count")
    return ratio(total(OPERATION, "operation", where=_FAILED, suffix="_count"), runs)
