"""Panels of the dashboard "Health" on what is broken, what fails and what is connected, one function each."""

from grafana_foundation_sdk.builders import piechart, stat, table, timeseries
from grafana_foundation_sdk.models.dashboard import ValueMapping

from genai_dashboards import health_queries as queries
from genai_dashboards import style
from genai_dashboards.judgement import judged, threshold_lines
from genai_dashboards.limits import stepped
from genai_dashboards.panels import graph, number, numbers, pie, stacked
from genai_dashboards.queries import latest, rate, selector, total
from genai_dashboards.tables import Column, Rows, interval, table_of
from genai_dashboards.targets import at_the_end, over_time

_TOOLS = "no tools were called in this time range (track_tool)"
_RETRIEVALS = "nothing was retrieved in this time range (track_retrieval)"


def _broken(title: str, description: str, no_value: str, expression: str) -> stat.Panel:
    """A number that should be 0."""
    panel = number(title, description, style.COUNT, no_value).with_target(at_the_end(expression, "number"))
    return stepped(panel, style.GOOD, red=1)


def alerts() -> stat.Panel:
    """How much is wrong."""
    return _broken(
        "Firing alerts",
        "Alerts that fire on the selected services, and on hosts and the monitoring itself.",
        "Prometheus does not answer",
        queries.alerts(),
    )


def targets_down() -> stat.Panel:
    """What is not monitored."""
    return _broken(
        "Targets down",
        "Exporters and servers that Prometheus cannot scrape: what they tell stands still.",
        "nothing is scraped",
        queries.targets_down(),
    )


def dependencies_down() -> stat.Panel:
    """What workflows miss."""
    return _broken(
        "Dependencies down",
        "Databases, providers and such that do not answer: the application (track_dependency) or the blackbox "
        "exporter.",
        "no dependency is watched (track_dependency, targets/blackbox.yml)",
        queries.dependencies_down(),
    )


def tool_success_now() -> stat.Panel:
    """Share of tool calls that did not fail."""
    failures = queries.tool_failure_ratio()
    value = judged(failures, "tool_failure_ratio", "above", complement=True)
    return (
        number("Tool success", "Share of the time range's tool calls that did not fail.", style.SHARE, _TOOLS)
        .decimals(2)
        .with_target(at_the_end(value, "{{state}}"))
    )


def retrieval_success_now() -> stat.Panel:
    """Share of retrievals that did not fail."""
    failures = queries.retrieval_failure_ratio()
    value = judged(failures, "retrieval_failure_ratio", "above", complement=True)
    return (
        number("Retrieval success", "Share of the time range's retrievals that did not fail.", style.SHARE, _RETRIEVALS)
        .decimals(2)
        .with_target(at_the_end(value, "{{state}}"))
    )


def uptime() -> stat.Panel:
    """Since when everything runs."""
    return (
        number(
            "Uptime",
            "Since when the oldest process of a service records; of several services, the one that started last.",
            style.DURATION,
            "no process of the selected services lives",
        )
        .decimals(0)
        .with_target(at_the_end(queries.uptime(), "uptime"))
    )


def firing() -> table.Panel:
    """What is wrong."""
    titles = {
        "severity": "Severity",
        "alertname": "Alert",
        "category": "Category",
        "service": "Service",
        "mode": "Mode",
    }
    return table_of(
        "Alerts that fire now",
        "By name and subject, with when the condition began to hold. What to do is in docs/alerts, one page an alert.",
        Rows(titles, colours={"Severity": {"critical": style.BAD, "warning": style.DEGRADED}}),
        Column("Since", queries.alerts_since(), "dateTimeFromNow"),
        Column("Alerts", queries.alerts_by_subject(), style.COUNT, 0),
        no_value="no alert fires",
    )


def dependencies() -> stat.Panel:
    """Each dependency."""
    states: list[ValueMapping] = [interval(0, 0, "down", style.BAD), interval(1, 1, "up", style.GOOD)]
    return (
        numbers(
            "Dependencies",
            "What the application says of each dependency, and what the blackbox exporter finds when it asks.",
            style.COUNT,
            "no dependency is watched (track_dependency, targets/blackbox.yml)",
        )
        .mappings(states)
        .with_target(at_the_end(queries.dependencies(), "{{dependency}}", "A"))
        .with_target(at_the_end(queries.probes(), "{{instance}}", "B"))
    )


def error_types() -> piechart.Panel:
    """Why requests fail."""
    return (
        pie(
            "Errors by type",
            "Failed LLM calls and workflows in the time range by exception or HTTP status; a failed call may fail its "
            "workflow, too.",
            style.COUNT,
            "nothing failed in this time range",
        )
        .with_target(at_the_end(total(queries.LLM_ERRORS, "error_type"), "LLM call: {{error_type}}", "A"))
        .with_target(at_the_end(total(queries.WORKFLOW_ERRORS, "error_type"), "workflow: {{error_type}}", "B"))
    )


def tool_success() -> timeseries.Panel:
    """Which tool fails."""
    return (
        graph(
            "Tool success rate",
            "Share of tool calls over 5 minutes that did not fail. GenAIToolFailureRate fires below the threshold.",
            style.SHARE,
            _TOOLS,
        )
        .max(1)
        .with_target(over_time(queries.success_ratio(queries.TOOL_FAILURES, "tool"), "{{service}} {{tool}}"))
        .with_target(threshold_lines("tool_failure_ratio", "above", complement=True))
    )


def retrieval_success() -> timeseries.Panel:
    """Which source fails."""
    return (
        graph(
            "Retrieval success rate",
            "Share of retrievals over 5 minutes that did not fail. GenAIRetrievalFailureRate fires below the "
            "threshold.",
            style.SHARE,
            _RETRIEVALS,
        )
        .max(1)
        .with_target(over_time(queries.success_ratio(queries.RETRIEVAL_FAILURES, "source"), "{{service}} {{source}}"))
        .with_target(threshold_lines("retrieval_failure_ratio", "above", complement=True))
    )


def warnings() -> timeseries.Panel:
    """What the application warns of."""
    return stacked(
        "Warnings by kind",
        "Warnings of the application per second (record_warning), stacked by kind.",
        style.PER_SECOND,
        "the application warned of nothing in this time range (record_warning)",
    ).with_target(over_time(rate(queries.WARNINGS, "kind"), "{{kind}}"))


def agents() -> timeseries.Panel:
    """Which agents work."""
    return stacked(
        "Agent runs",
        "Workflows per second that each agent ran, in all modes, stacked.",
        style.PER_SECOND,
        "no workflow named its agent in this time range",
    ).with_target(over_time(rate(queries.AGENT_RUNS, "agent"), "{{agent}}"))


def quality() -> timeseries.Panel:
    """Whether answers get better or worse."""
    return (
        graph(
            "Quality score",
            "Mean score of answers over 30 minutes, 100 % is the best. GenAILowQualityScore fires below the warning "
            "threshold.",
            style.SHARE,
            "no answers were scored in this time range (record_quality)",
        )
        .max(1)
        .with_target(over_time(selector(queries.QUALITY), "{{service}} {{mode}}"))
        .with_target(threshold_lines("quality_score", "below"))
    )


def pools() -> timeseries.Panel:
    """How near pools are to their end."""
    return (
        graph(
            "Pools in use",
            "Connections in use as a share of the pool's size, in the process where that is most. GenAIPoolExhausted "
            "fires above the threshold: then requests of that process wait.",
            style.SHARE,
            "no pool is recorded (track_pool)",
        )
        .with_target(over_time(selector(queries.POOL_IN_USE), "{{service}} {{pool}}"))
        .with_target(threshold_lines("pool_in_use_ratio", "above"))
    )


def connections() -> timeseries.Panel:
    """How many connections there are."""
    return stacked(
        "Connections by pool and state",
        "Open connections of all processes, active and idle, stacked.",
        style.COUNT,
        "no pool is recorded (track_pool)",
    ).with_target(over_time(queries.connections(), "{{pool}} {{state}}"))


def queues() -> timeseries.Panel:
    """What waits."""
    return graph(
        "Queue lengths",
        "Items that wait in each queue: one that only grows is never caught up with.",
        style.COUNT,
        "no queue is recorded (track_queue)",
    ).with_target(over_time(latest(queries.QUEUE, "queue"), "{{queue}}"))
