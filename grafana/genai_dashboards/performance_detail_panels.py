"""Panels of the dashboard "Performance", one function each: what takes the time, and how good the answers are."""

from grafana_foundation_sdk.builders import heatmap, table, timeseries

from genai_dashboards import performance_queries as queries
from genai_dashboards import style
from genai_dashboards.judgement import threshold_lines
from genai_dashboards.panels import coloured, graph, heat, stacked
from genai_dashboards.queries import RANGE, buckets, quantile, rate, total
from genai_dashboards.queries import mean as mean_of
from genai_dashboards.tables import Column, Rows, table_of
from genai_dashboards.targets import cells, over_time

_STREAMED = "no streamed answers in this time range"
_STAGES = "no stages of a pipeline were recorded in this time range (track_operation)"
_SCORES = "no answers were scored in this time range (record_quality)"


def latency_heatmap() -> heatmap.Panel:
    """All durations, not only quantiles."""
    return heat(
        "Duration of workflows",
        "Workflows per second by duration: two bands mean two kinds of requests, which a quantile hides. Dots are "
        "single workflows with a trace.",
        style.SECONDS,
        "no workflows in this time range",
    ).with_target(cells(buckets(queries.WORKFLOW)).exemplar(True))


def latency_from_cache() -> timeseries.Panel:
    """What the response cache saves users."""
    panel = graph(
        "Response time, cached and not",
        "Duration of requests that a response cache answered, and of all others; without failures.",
        style.SECONDS,
    )
    for letter, name, operator in (("A", "cached", "="), ("B", "not cached", "!=")):
        panel.with_target(over_time(queries.latency_from_cache(0.5, operator), f"p50 {name}", letter))
        panel.with_target(
            over_time(queries.latency_from_cache(0.95, operator), f"p95 {name}", letter * 2, exemplars=True)
        )
    return coloured(panel, {"p50 cached": "light-blue", "p95 cached": style.CACHED})


def latency_by_model() -> timeseries.Panel:
    """Which model is slow."""
    return (
        graph(
            "p95 duration of LLM calls by model",
            "95 % of a model's LLM calls took less than this.",
            style.SECONDS,
            style.NO_CALLS,
        )
        .max_data_points(style.FEWER_POINTS)
        .with_target(over_time(queries.latency_by_model(0.95), "{{model}}"))
    )


def first_token() -> timeseries.Panel:
    """How long a user looks at nothing."""
    return (
        graph(
            "Time to first token",
            "Time from request to first token of streamed answers. GenAISlowFirstToken fires when the p95 is above the "
            "warning threshold.",
            style.SECONDS,
            _STREAMED,
        )
        .with_target(over_time(queries.first_token(0.5), "p50", "A"))
        .with_target(over_time(queries.first_token(0.95), "p95", "B"))
        .with_target(threshold_lines("time_to_first_token_p95_seconds", "above"))
    )


def per_output_token() -> timeseries.Panel:
    """How fast text flows."""
    return (
        graph(
            "Time per output token by model",
            "Median time per output token after the first, of streamed answers; its inverse is tokens per second.",
            style.SECONDS,
            _STREAMED,
        )
        .max_data_points(style.FEWER_POINTS)
        .with_target(over_time(queries.per_output_token(0.5), "{{model}}"))
    )


def operations() -> timeseries.Panel:
    """Which stage takes the time."""
    return (
        stacked(
            "Share of time by stage",
            "Which stages of the pipeline take the time: their share of the time that all stages take, in all modes.",
            style.SHARE,
            _STAGES,
        )
        .max(1)
        .with_target(over_time(queries.operation_share(rate), "{{operation}}"))
    )


def slowest_operations() -> table.Panel:
    """The stages in figures."""
    operation = queries.OPERATION
    return table_of(
        "Slowest stages",
        "Stages of the pipeline over the time range, in all modes, slowest first.",
        Rows({"operation": "Stage"}),
        Column("p95", quantile(0.95, operation, "operation", window=RANGE), style.SECONDS),
        Column("Mean", mean_of(operation, "operation", window=RANGE), style.SECONDS),
        Column("Share of time", queries.operation_share(total), style.SHARE, 1, is_bar=True),
        Column("Runs", total(operation, "operation", suffix="_count"), style.COUNT, 0),
        Column("Failed", queries.operation_error_ratio(), style.SHARE, 2),
        sort="p95",
        no_value=_STAGES,
    )


def quality_heatmap() -> heatmap.Panel:
    """All scores, not only the mean."""
    return heat(
        "Quality scores",
        "Scores per second by value, 100 % is the best: a second band below shows a kind of question that goes wrong, "
        "which the mean hides.",
        style.SHARE,
        _SCORES,
    ).with_target(cells(buckets(queries.QUALITY)))


def degraded() -> timeseries.Panel:
    """Answers with less than was asked for."""
    return (
        stacked(
            "Degraded answers by reason",
            "Degradations as a share of workflows, stacked by reason. GenAIHighDegradationRate fires above the warning "
            "threshold.",
            style.SHARE,
            "no answer was degraded in this time range",
        )
        .with_target(over_time(queries.degraded_ratio_by_reason(), "{{reason}}"))
        .with_target(threshold_lines("degradation_ratio", "above"))
    )
