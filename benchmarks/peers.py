"""The catalogue's metrics as prometheus_client and OpenTelemetry make them, so that all measure the same families."""

from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram

from genai_metrics.catalog import LLM_CALL, LLM_COST, LLM_STREAM, TENANT, TENANT_REQUESTS, MetricSpec

Record = Callable[..., None]
"""A function that takes the thirteen keyword arguments of a call."""

CALL_METRICS = LLM_CALL.metrics + LLM_STREAM.metrics
"""The nine metrics of a streamed call, three of them histograms."""

COST = LLM_COST.metrics[0]
TENANT_REQUEST_COUNT = TENANT_REQUESTS.metrics[0]
TENANT_COST = TENANT.metrics[1]
TWELVE = (*CALL_METRICS, COST, TENANT_REQUEST_COUNT, TENANT_COST)
"""Twelve metrics that a peer updates for one call; ours updates more (cost by part, what was saved, tenant tokens)."""


def observations(
    *,
    input_tokens: float,
    output_tokens: float,
    duration: float,
    time_to_first_token: float,
    cached_input_tokens: float,
    cache_write_tokens: float,
    reasoning_tokens: float,
) -> Mapping[MetricSpec, float]:
    """What a streamed call adds to each of ``CALL_METRICS``."""
    per_token = (duration - time_to_first_token) / (output_tokens - 1)
    values = (
        1.0,
        duration,
        input_tokens,
        output_tokens,
        cached_input_tokens,
        cache_write_tokens,
        reasoning_tokens,
        time_to_first_token,
        per_token,
    )
    return dict(zip(CALL_METRICS, values, strict=True))


def prometheus_metrics(
    specs: Sequence[MetricSpec], registry: CollectorRegistry
) -> dict[MetricSpec, Counter | Histogram]:
    """The metrics as prometheus_client objects."""
    made: dict[MetricSpec, Counter | Histogram] = {}
    for spec in specs:
        if spec.type == "histogram":
            made[spec] = Histogram(
                spec.name, spec.help, spec.label_names, registry=registry, buckets=(*spec.buckets, float("inf"))
            )
        else:
            made[spec] = Counter(spec.name, spec.help, spec.label_names, registry=registry)
    return made
