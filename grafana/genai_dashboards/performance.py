"""The dashboard "Performance": is it fast, is it failing, and why; for those on call and those who manage."""

from grafana_foundation_sdk.models import dashboard as models

from genai_dashboards import frame, layout
from genai_dashboards import performance_detail_panels as details
from genai_dashboards import performance_panels as panels


def build() -> models.Dashboard:
    """The whole dashboard: what an on-call needs first on top, detail below."""
    board = frame.board(
        "performance",
        "Rate, errors and duration of requests (workflows, or LLM calls of services without workflows), and what is "
        "behind them.",
        refresh="30s",
        alerts="performance|quality",
    )
    return layout.place(
        board,
        layout.Heading("Is it fast, is it failing?"),
        layout.line(
            4,
            panels.requests(),
            panels.errors(),
            panels.mean(),
            panels.p95(),
            panels.p99(),
            panels.active_workflows(),
        ),
        layout.line(
            8, panels.success(), panels.cache_hits(), panels.error_ratio(), panels.latency(), widths=(4, 4, 8, 8)
        ),
        layout.line(7, panels.kpi_times(), panels.kpi_shares()),
        layout.Heading("Who asks for what?"),
        layout.line(8, panels.request_rate(), panels.requests_by_mode(), panels.top_tenants(), widths=(8, 6, 10)),
        layout.Heading("How long does it take, and where?"),
        layout.line(8, details.latency_heatmap(), details.latency_from_cache()),
        layout.line(8, details.latency_by_model(), details.first_token(), details.per_output_token()),
        layout.line(8, details.operations(), details.slowest_operations()),
        layout.Heading("Are the answers good?"),
        layout.line(8, details.quality_heatmap(), details.degraded()),
    ).build()
