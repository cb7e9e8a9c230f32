"""Ways to record one LLM call with prometheus_client and OpenTelemetry; same arguments as those in ``ways``.

prometheus_client reads PROMETHEUS_MULTIPROC_DIR when it is imported: each way runs in a process of its own.
"""

from typing import Any

from prometheus_client import CollectorRegistry

from benchmarks.peers import (
    CALL_METRICS,
    COST,
    TENANT_COST,
    TENANT_REQUEST_COUNT,
    TWELVE,
    Record,
    prometheus_metrics,
)

PER_INPUT, PER_READ, PER_WRITE, PER_OUTPUT = 3e-6, 0.3e-6, 3.75e-6, 15e-6  # US dollars a token: there is no price table


def prometheus_labels() -> Record:
    """The same with labels by position, which is faster and breaks when a label is added."""
    made: Any = prometheus_metrics(TWELVE, CollectorRegistry())
    calls, seconds, given, answered, read, written, reasoned, first, per_token = (made[s] for s in CALL_METRICS)
    spent, tenant_calls, tenant_spent = made[COST], made[TENANT_REQUEST_COUNT], made[TENANT_COST]

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
        outcome = "cached" if cached else "success"
        calls.labels(mode, provider, model, operation, outcome).inc()
        seconds.labels(mode, provider, model, operation, outcome).observe(duration)
        given.labels(mode, provider, model, operation, outcome).inc(input_tokens)
        answered.labels(mode, provider, model, operation, outcome).inc(output_tokens)
        read.labels(mode, provider, model, operation, outcome).inc(cached_input_tokens)
        written.labels(mode, provider, model, operation, outcome).inc(cache_write_tokens)
        reasoned.labels(mode, provider, model, operation, outcome).inc(reasoning_tokens)
        first.labels(mode, provider, model, operation, outcome).observe(time_to_first_token)
        per_token.labels(mode, provider, model, operation, outcome).observe(
            (duration - time_to_first_token) / (output_tokens - 1)
        )
        cost = price(input_tokens, cached_input_tokens, cache_write_tokens, output_tokens)
        spent.labels(mode, provider, model, operation, outcome, "unattributed").inc(cost)
        tenant_calls.labels(tenant, mode).inc()
        tenant_spent.labels(tenant).inc(cost)

    return record


def prometheus_keywords() -> Record:
    """prometheus_client as applications write it, labels by keyword: twelve metrics, ``.labels()`` at each."""
    made: Any = prometheus_metrics(TWELVE, CollectorRegistry())
    calls, seconds, given, answered, read, written, reasoned, first, per_token = (made[s] for s in CALL_METRICS)
    spent, tenant_calls, tenant_spent = made[COST], made[TENANT_REQUEST_COUNT], made[TENANT_COST]

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
        outcome = "cached" if cached else "success"
        calls.labels(mode=mode, provider=provider, model=model, operation=operation, outcome=outcome).inc()
        seconds.labels(mode=mode, provider=provider, model=model, operation=operation, outcome=outcome).observe(
            duration
        )
        given.labels(mode=mode, provider=provider, model=model, operation=operation, outcome=outcome).inc(input_tokens)
        answered.labels(mode=mode, provider=provider, model=model, operation=operation, outcome=outcome).inc(
            output_tokens
        )
        read.labels(mode=mode, provider=provider, model=model, operation=operation, outcome=outcome).inc(
            cached_input_tokens
        )
        written.labels(mode=mode, provider=provider, model=model, operation=operation, outcome=outcome).inc(
            cache_write_tokens
        )
        reasoned.labels(mode=mode, provider=provider, model=model, operation=operation, outcome=outcome).inc(
            reasoning_tokens
        )
        first.labels(mode=mode, provider=provider, model=model, operation=operation, outcome=outcome).observe(
            time_to_first_token
        )
        per_token.labels(mode=mode, provider=provider, model=model, operation=operation, outcome=outcome).observe(
            (duration - time_to_first_token) / (output_tokens - 1)
        )
        cost = price(input_tokens, cached_input_tokens, cache_write_tokens, output_tokens)
        spent.labels(
            mode=mode, provider=provider, model=model, operation=operation, outcome=outcome, part="unattributed"
        ).inc(cost)
        tenant_calls.labels(tenant=tenant, mode=mode).inc()
        tenant_spent.labels(tenant=tenant).inc(cost)

    return record


def prometheus_labels_of_nine() -> Record:
    """The nine metrics that ours updates without tenant and price, ``.labels()`` at each: equal work."""
    made: Any = prometheus_metrics(CALL_METRICS, CollectorRegistry())
    calls, seconds, given, answered, read, written, reasoned, first, per_token = (made[s] for s in CALL_METRICS)

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
        outcome = "cached" if cached else "success"
        calls.labels(mode, provider, model, operation, outcome).inc()
        seconds.labels(mode, provider, model, operation, outcome).observe(duration)
        given.labels(mode, provider, model, operation, outcome).inc(input_tokens)
        answered.labels(mode, provider, model, operation, outcome).inc(output_tokens)
        read.labels(mode, provider, model, operation, outcome).inc(cached_input_tokens)
        written.labels(mode, provider, model, operation, outcome).inc(cache_write_tokens)
        reasoned.labels(mode, provider, model, operation, outcome).inc(reasoning_tokens)
        first.labels(mode, provider, model, operation, outcome).observe(time_to_first_token)
        per_token.labels(mode, provider, model, operation, outcome).observe(
            (duration - time_to_first_token) / (output_tokens - 1)
        )

    return record


def prometheus_cached() -> Record:
    """prometheus_client with the children kept: twelve metrics, one dict lookup for all of them."""
    made: Any = prometheus_metrics(TWELVE, CollectorRegistry())
    children: dict[tuple[str, ...], tuple[Any, ...]] = {}

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
        outcome = "cached" if cached else "success"
        key = (mode, provider, model, operation, outcome, tenant)
        found = children.get(key)
        if found is None:
            found = children[key] = (
                *(made[spec].labels(*key[:5]) for spec in CALL_METRICS),
                made[COST].labels(*key[:5], "unattributed"),
                made[TENANT_REQUEST_COUNT].labels(tenant, mode),
                made[TENANT_COST].labels(tenant),
            )
        (calls, seconds, given, answered, read, written, reasoned, first, per_token, spent, asked, paid) = found
        calls.inc()
        seconds.observe(duration)
        given.inc(input_tokens)
        answered.inc(output_tokens)
        read.inc(cached_input_tokens)
        written.inc(cache_write_tokens)
        reasoned.inc(reasoning_tokens)
        first.observe(time_to_first_token)
        per_token.observe((duration - time_to_first_token) / (output_tokens - 1))
        cost = price(input_tokens, cached_input_tokens, cache_write_tokens, output_tokens)
        spent.inc(cost)
        asked.inc()
        paid.inc(cost)

    return record


def opentelemetry() -> Record:
    """The OpenTelemetry SDK with its Prometheus reader: twelve instruments, two attribute dicts a call."""
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from opentelemetry.sdk.metrics import MeterProvider

    meter = MeterProvider(metric_readers=[PrometheusMetricReader()]).get_meter("benchmark")
    made: Any = {
        spec: meter.create_histogram(spec.name, explicit_bucket_boundaries_advisory=spec.buckets)
        if spec.type == "histogram"
        else meter.create_counter(spec.name)
        for spec in TWELVE
    }
    calls, seconds, given, answered, read, written, reasoned, first, per_token = (made[s] for s in CALL_METRICS)
    spent, tenant_calls, tenant_spent = made[COST], made[TENANT_REQUEST_COUNT], made[TENANT_COST]

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
        outcome = "cached" if cached else "success"
        of_call = {
            "mode": mode,
            "provider": provider,
            "model": model,
            "operation": operation,
            "outcome": outcome,
        }
        calls.add(1, of_call)
        seconds.record(duration, of_call)
        given.add(input_tokens, of_call)
        answered.add(output_tokens, of_call)
        read.add(cached_input_tokens, of_call)
        written.add(cache_write_tokens, of_call)
        reasoned.add(reasoning_tokens, of_call)
        first.record(time_to_first_token, of_call)
        per_token.record((duration - time_to_first_token) / (output_tokens - 1), of_call)
        cost = price(input_tokens, cached_input_tokens, cache_write_tokens, output_tokens)
        spent.add(cost, of_call)
        tenant_calls.add(1, {"tenant": tenant, "mode": mode})
        tenant_spent.add(cost, {"tenant": tenant})

    return record


def price(given: float, read: float, written: float, answered: float) -> float:
    """Cost in US dollars at known rates; the peers have no price table."""
    return (given - read - written) * PER_INPUT + read * PER_READ + written * PER_WRITE + answered * PER_OUTPUT
