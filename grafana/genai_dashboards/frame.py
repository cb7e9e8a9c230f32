"""What surrounds the panels of each dashboard: title, variables, links, alerts drawn into the panels."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from genai_dashboards import links, queries, targets, variables
from genai_dashboards.style import BAD, DATASOURCE


def board(
    topic: str,
    description: str,
    *,
    refresh: str,
    alerts: str,
    more: tuple[dashboard.QueryVariable, ...] = (),
    time: str = "now-1h",
) -> dashboard.Dashboard:
    """An empty dashboard.

    ``alerts``: categories of those to draw, as a regular expression; ``more``: variables beside those that all have.
    """
    empty = (
        dashboard.Dashboard(f"GenAI / {links.TOPICS[topic]}")
        .uid(links.uid(topic))
        .description(description)
        .tags(["genai", topic])
        .readonly()
        .refresh(refresh)
        .time(time, "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .annotation(_firing(alerts))
    )
    hidden = (variables.by_range("genai", queries.PREFIX), variables.by_range("more", queries.MORE))
    for variable in (variables.datasource(), variables.service(), variables.mode(), *more, *hidden):
        empty.with_variable(variable)
    for link in links.to_others(topic):
        empty.link(link)
    return empty


def _firing(categories: str) -> dashboard.AnnotationQuery:
    """Times at which alerts fired, as areas in every panel over time."""
    return (
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(BAD)
        .target(targets.over_time(queries.firing_alerts(categories), "", "Anno"))
        .title_format("{{alertname}}")
        .text_format("{{severity}} {{service}} {{mode}}")
        .tag_keys("severity,category")
    )
