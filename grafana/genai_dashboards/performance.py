"""The dashboard "Performance": is it fast, is it failing, what does it use. One function a panel."""

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.models import dashboard as models

from genai_dashboards import frame, judgement, layout, panels, queries, style, targets

CALLS_BY_OUTCOME = queries.recorded("instance_service_mode_outcome", queries.CALLS)
ERRORS_PER_CALL = "service_mode:genai_llm_call_errors_per_call:ratio_rate5m"


def build() -> models.Dashboard:
    """The whole dashboard: what an on-call needs first on top, detail below."""
    board = frame.board(
        "performance",
        "Rate, errors and latency of requests and of the LLM calls within them.",
        refresh="30s",
        alerts="performance|quality",
    )
    return layout.place(
        board,
        layout.Heading("Is it fast, is it failing?"),
        layout.line(4, calls(), failed_share()),
        layout.line(8, request_rate(), error_ratio()),
    ).build()


def calls() -> stat.Panel:
    """LLM calls in the time range."""
    return panels.number("LLM calls", "LLM calls in the time range, cached answers included.", style.COUNT).with_target(
        targets.at_the_end(queries.total(CALLS_BY_OUTCOME), "calls")
    )


def failed_share() -> stat.Panel:
    """Share of failed calls in the time range."""
    failed = queries.total(CALLS_BY_OUTCOME, where=['outcome="error"'])
    share = queries.ratio(failed, queries.total(CALLS_BY_OUTCOME))
    return (
        panels.number("Failed calls", "Share of LLM calls in the time range that failed.", style.SHARE)
        .decimals(2)
        .with_target(targets.at_the_end(judgement.judged(share, "error_ratio", "above"), "{{state}}"))
    )


def request_rate() -> timeseries.Panel:
    """Calls per second by outcome."""
    return panels.graph(
        "Request rate by outcome",
        "LLM calls per second: successful, failed, and answered from the response cache.",
        style.REQUESTS_PER_SECOND,
    ).with_target(targets.over_time(queries.rate(CALLS_BY_OUTCOME, "outcome"), "{{outcome}}"))


def error_ratio() -> timeseries.Panel:
    """Recorded error ratio by service and mode."""
    return (
        panels.graph(
            "Error ratio by service and mode",
            "Share of LLM calls that failed over 5 minutes; GenAIHighErrorRate fires above the critical threshold.",
            style.SHARE,
        )
        .with_target(targets.over_time(queries.selector(ERRORS_PER_CALL), "{{service}} {{mode}}"))
        .with_target(judgement.threshold_lines("error_ratio", "above"))
    )
