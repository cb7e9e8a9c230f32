"""The dashboard "Performance": is it fast, is it failing, what does it use and cost. One function a panel."""

from grafana_foundation_sdk.builders import dashboard, stat, timeseries
from grafana_foundation_sdk.models import dashboard as models

from genai_dashboards import queries, style

UID = "genai-performance"


def build() -> models.Dashboard:
    """The whole dashboard: what an on-call needs first on top, detail below."""
    return (
        dashboard.Dashboard("GenAI / Performance")
        .uid(UID)
        .description("Rate, errors, latency, tokens and cost of the LLM calls of the selected services.")
        .tags(["genai"])
        .readonly()
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(style.datasource_variable())
        .with_variable(style.label_variable("service", "Service", queries.label_values(queries.CALLS, "service")))
        .with_variable(
            style.label_variable("mode", "Mode", queries.label_values(queries.CALLS, "mode", 'service=~"$service"'))
        )
        .with_panel(calls())
        .with_panel(failed_share())
        .with_panel(p95())
        .with_panel(cost())
        .with_panel(request_rate())
        .with_panel(error_ratio())
        .with_panel(p95_by_model())
        .with_panel(first_token_p95_by_model())
        .with_panel(token_rate())
        .with_panel(cost_by_model())
        .build()
    )


def calls() -> stat.Panel:
    """LLM calls in the time range."""
    return style.number("LLM calls", "LLM calls in the time range, cached answers included.", style.COUNT).with_target(
        style.at_the_end(queries.total(queries.CALLS), "calls")
    )


def failed_share() -> stat.Panel:
    """Share of failed calls in the time range."""
    return (
        style.number("Failed calls", "Share of LLM calls in the time range that failed.", style.SHARE)
        .decimals(2)
        .with_target(style.at_the_end(queries.share(queries.CALLS, 'outcome="error"'), "failed"))
    )


def p95() -> stat.Panel:
    """95th percentile of the duration in the time range."""
    return style.number(
        "p95 duration",
        "95 % of the LLM calls in the time range were faster than this (interpolated within a bucket).",
        style.SECONDS,
    ).with_target(style.at_the_end(queries.quantile_of_range(0.95, queries.CALL_DURATION), "p95"))


def cost() -> stat.Panel:
    """Spend in the time range."""
    return (
        style.number(
            "Cost",
            "Cost of the LLM calls in the time range. Calls of models without a known price are not in it.",
            style.DOLLARS,
        )
        .decimals(4)
        .with_target(style.at_the_end(queries.total(queries.COST), "cost"))
    )


def request_rate() -> timeseries.Panel:
    """Calls per second by outcome."""
    panel = style.graph(
        "Request rate by outcome",
        "LLM calls per second: successful, failed, and answered from the response cache.",
        style.REQUESTS_PER_SECOND,
    ).with_target(style.over_time(queries.rate(queries.CALLS, "outcome"), "{{outcome}}"))
    for outcome, colour in style.COLOURS.items():
        panel = style.coloured(panel, outcome, colour)
    return panel


def error_ratio() -> timeseries.Panel:
    """Recorded error ratio by service and mode."""
    return style.graph(
        "Error ratio by service and mode",
        "Share of LLM calls that failed over 5 minutes; GenAIHighErrorRate fires above the critical threshold.",
        style.SHARE,
    ).with_target(style.over_time(queries.error_ratio(), "{{service}} {{mode}}"))


def p95_by_model() -> timeseries.Panel:
    """95th percentile of the duration by model."""
    return style.graph(
        "p95 duration by model",
        "95 % of the LLM calls of a model were faster than this (interpolated within a histogram bucket).",
        style.SECONDS,
    ).with_target(style.over_time(queries.quantile(0.95, queries.CALL_DURATION, "model"), "{{model}}").exemplar(True))


def first_token_p95_by_model() -> timeseries.Panel:
    """95th percentile of the time to the first token by model."""
    return (
        style.graph(
            "p95 time to first token by model",
            "95 % of the streamed answers of a model began within this time.",
            style.SECONDS,
        )
        .no_value("no streamed answers in this time range")
        .with_target(style.over_time(queries.quantile(0.95, queries.FIRST_TOKEN, "model"), "{{model}}").exemplar(True))
    )


def token_rate() -> timeseries.Panel:
    """Billed tokens per second by model and direction."""
    return (
        style.graph(
            "Tokens by model",
            "Billed tokens per second; input includes tokens that the provider read from its prompt cache.",
            style.TOKENS_PER_SECOND,
        )
        .with_target(style.over_time(queries.rate(queries.INPUT_TOKENS, "model"), "{{model}} input", "A"))
        .with_target(style.over_time(queries.rate(queries.OUTPUT_TOKENS, "model"), "{{model}} output", "B"))
    )


def cost_by_model() -> timeseries.Panel:
    """Spend per hour by model."""
    return (
        style.graph(
            "Cost per hour by model",
            "Dollars per hour at the current rate. Calls of models without a known price are not in it.",
            style.DOLLARS,
        )
        .decimals(4)
        .with_target(style.over_time(queries.rate_per_hour(queries.COST, "model"), "{{model}}"))
    )
