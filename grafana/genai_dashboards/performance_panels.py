"""Panels of the dashboard "Performance", one function each: how requests fare, and whose they are."""

from grafana_foundation_sdk.builders import gauge, piechart, stat, table, timeseries

from genai_dashboards import links, style
from genai_dashboards import performance_queries as queries
from genai_dashboards.judgement import Worse, judged, state, strictest, threshold_lines
from genai_dashboards.panels import dial, graph, number, pie, stacked
from genai_dashboards.queries import RANGE, among, largest, named, rate, total
from genai_dashboards.tables import STATE, Column, Rows, table_of
from genai_dashboards.targets import at_the_end, over_time

_REQUESTS = "Requests are workflows; of services that record none, LLM calls."
_INTERPOLATED = "Interpolated within a bucket of the histogram."
_TENANTS = "no tenants were recorded in this time range (tenant=...)"


def requests() -> stat.Panel:
    """How much there is to do."""
    return (
        number("Request rate", f"Requests per second over the time range. {_REQUESTS}", style.REQUESTS_PER_SECOND)
        .decimals(2)
        .with_target(at_the_end(f"{queries.requests(total)} / $__range_s", "requests"))
    )


def errors() -> stat.Panel:
    """Share of failed requests."""
    return (
        number(
            "Error rate",
            f"Share of the time range's requests that failed; coloured by the thresholds of alerts. {_REQUESTS}",
            style.SHARE,
        )
        .decimals(2)
        .with_target(at_the_end(judged(queries.error_ratio(), "error_ratio", "above"), "{{state}}"))
    )


def mean() -> stat.Panel:
    """Average response time."""
    value = queries.mean_latency(RANGE)
    return number(
        "Average response time", f"Mean duration of the time range's requests. {_REQUESTS}", style.SECONDS
    ).with_target(at_the_end(judged(value, "workflow_latency_mean_seconds", "above"), "{{state}}"))


def p95() -> stat.Panel:
    """Response time that 95 % stay below."""
    value = queries.latency(0.95, RANGE)
    return number(
        "p95 response time",
        f"95 % of the time range's requests took less than this. {_INTERPOLATED}",
        style.SECONDS,
    ).with_target(at_the_end(judged(value, "workflow_latency_p95_seconds", "above"), "{{state}}"))


def p99() -> stat.Panel:
    """Response time that 99 % stay below."""
    value = queries.latency(0.99, RANGE)
    return number(
        "p99 response time",
        f"99 % of the time range's requests took less than this. {_INTERPOLATED}",
        style.SECONDS,
    ).with_target(at_the_end(judged(value, "workflow_latency_p99_seconds", "above"), "{{state}}"))


def active_workflows() -> stat.Panel:
    """What is under way."""
    return number(
        "Active workflows",
        "Workflows begun and not yet ended; of services that record none, LLM calls in flight.",
        style.COUNT,
        "no process of the selected services records what is in flight",
    ).with_target(at_the_end(queries.in_flight(), "active"))


def success() -> gauge.Panel:
    """Share of requests that did not fail."""
    value = judged(queries.error_ratio(), "error_ratio", "above", complement=True)
    return (
        dial("Success rate", f"Share of the time range's requests that did not fail. {_REQUESTS}")
        .decimals(2)
        .with_target(at_the_end(value, "{{state}}"))
    )


def cache_hits() -> gauge.Panel:
    """Share of lookups that hit."""
    return dial(
        "Cache hit rate",
        "Share of the time range's lookups, in all caches of the selection, that found an answer.",
        "no cache was asked in this time range",
    ).with_target(at_the_end(judged(queries.hit_ratio(), "cache_hit_ratio", "below"), "{{state}}"))


def error_ratio() -> timeseries.Panel:
    """Error rate as its alerts see it."""
    return (
        graph(
            "Error rate by service and mode",
            "Share of requests that failed over 5 minutes. GenAIElevatedErrorRate fires above the warning threshold, "
            "GenAIHighErrorRate above the critical one, if there is enough traffic.",
            style.SHARE,
        )
        .with_target(over_time(queries.error_ratio_by_mode(), "{{service}} {{mode}}"))
        .with_target(threshold_lines("error_ratio", "above"))
    )


def latency() -> timeseries.Panel:
    """Response time in three figures."""
    return (
        graph(
            "Response time",
            "Duration of requests. Target and warning threshold are those of the p95 (GenAIHighLatency), the critical "
            "one is that of the p99 (GenAIVeryHighLatency). Dots are single requests with a trace.",
            style.SECONDS,
        )
        .with_target(over_time(queries.mean_latency(), "mean", "A"))
        .with_target(over_time(queries.latency(0.95, exemplars=True), "p95", "B", exemplars=True))
        .with_target(over_time(queries.latency(0.99), "p99", "C"))
        .with_target(threshold_lines("workflow_latency_p95_seconds", "above", "T"))
        .with_target(threshold_lines("workflow_latency_p99_seconds", "above", "U", 'severity="critical"'))
    )


def kpi_times() -> table.Panel:
    """Times against their targets."""
    return _kpis(
        "Key times against their targets",
        style.SECONDS,
        {
            "average response time": (queries.mean_latency(RANGE), "workflow_latency_mean_seconds", "above"),
            "p95 response time": (queries.latency(0.95, RANGE), "workflow_latency_p95_seconds", "above"),
            "p99 response time": (queries.latency(0.99, RANGE), "workflow_latency_p99_seconds", "above"),
            "p95 time to first token": (
                queries.first_token(0.95, RANGE),
                "time_to_first_token_p95_seconds",
                "above",
            ),
        },
    )


def kpi_shares() -> table.Panel:
    """Shares against their targets."""
    return _kpis(
        "Key shares against their targets",
        style.SHARE,
        {
            "error rate": (queries.error_ratio(), "error_ratio", "above"),
            "cache hit rate": (queries.hit_ratio(), "cache_hit_ratio", "below"),
            "quality score": (queries.quality(), "quality_score", "below"),
            "degraded answers": (queries.degraded_ratio(), "degradation_ratio", "above"),
        },
    )


def _kpis(title: str, unit: str, kpis: dict[str, tuple[str, str, Worse]]) -> table.Panel:
    """A table of KPIs in one unit: over the time range, target, state."""
    values = {name: value for name, (value, _, _) in kpis.items()}
    aims = {name: strictest(kpi, worse, "target") for name, (_, kpi, worse) in kpis.items()}
    states = {name: state(*judgement) for name, judgement in kpis.items()}
    return table_of(
        title,
        "Over the time range, with the target of thresholds.yml (the strictest in the selection) and what its "
        "thresholds say. A KPI without target is good as long as it passes no threshold; one without data is missing.",
        Rows({"kpi": "KPI"}),
        Column("Value", named("kpi", values), unit, 2),
        Column("Target", named("kpi", aims), unit, 2),
        Column("State", named("kpi", states), style.COUNT, mappings=STATE),
        sort="State",
    )


def request_rate() -> timeseries.Panel:
    """Traffic over time."""
    return stacked(
        "Request rate by mode", f"Requests per second, stacked. {_REQUESTS}", style.REQUESTS_PER_SECOND
    ).with_target(over_time(queries.requests(rate, "mode"), "{{mode}}"))


def requests_by_mode() -> piechart.Panel:
    """Traffic over the time range."""
    return pie("Requests by mode", f"Requests in the time range. {_REQUESTS}", style.COUNT).with_target(
        at_the_end(queries.requests(total, "mode"), "{{mode}}")
    )


def top_tenants() -> table.Panel:
    """Who asks most."""
    asked = total(queries.TENANT_REQUESTS, "tenant")
    top = largest(10, asked)
    return table_of(
        "Top tenants by LLM calls",
        "The ten tenants with most LLM calls in the time range. Only the column LLM calls follows the selected mode. A "
        "click on a tenant opens its cost.",
        Rows({"tenant": "Tenant"}, {"Tenant": links.on_row("cost", tenant="Tenant")}),
        Column("LLM calls", top, style.COUNT, 0),
        Column("Failed", among(total(queries.TENANT_ERRORS, "tenant"), top, "tenant"), style.COUNT, 0),
        Column("Tokens", among(total(queries.TENANT_TOKENS, "tenant"), top, "tenant"), style.COUNT),
        Column("Cost", among(total(queries.TENANT_COST, "tenant"), top, "tenant"), style.DOLLARS),
        sort="LLM calls",
        no_value=_TENANTS,
    )
