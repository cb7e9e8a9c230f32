"""Panels of the dashboard "Health" on what runs and on the monitoring itself, one function each."""

from grafana_foundation_sdk.builders import bargauge, table, timeseries

from genai_dashboards import health_queries as queries
from genai_dashboards import style
from genai_dashboards.judgement import threshold_lines
from genai_dashboards.limits import stepped
from genai_dashboards.panels import bars, graph
from genai_dashboards.queries import latest
from genai_dashboards.tables import Column, Rows, table_of
from genai_dashboards.targets import at_the_end, over_time

_EXPORTER = "no exporter is scraped"


def services() -> table.Panel:
    """Which services live."""
    return table_of(
        "Services",
        "Living processes of each service that record, and since when the oldest of them does.",
        Rows({"service": "Service"}),
        Column("Processes", queries.processes(), style.COUNT, 0),
        Column("Uptime", queries.uptime("service"), style.DURATION, 0),
        sort="Processes",
        no_value="no process of the selected services lives",
    )


def builds() -> table.Panel:
    """What runs."""
    return table_of(
        "Build information",
        "Version of each exporter and of the Python that it runs on.",
        Rows({"instance": "Exporter", "version": "Version", "python": "Python"}),
        Column("Exporters", latest(queries.BUILD, "instance", "version", "python"), style.COUNT, 0),
        no_value=_EXPORTER,
    )


def scrapes() -> timeseries.Panel:
    """How long scrapes take."""
    return (
        graph(
            "Scrape duration",
            "How long each scrape takes. GenAIScrapeSlow fires above the threshold; beyond 10 s there is no data at "
            "all.",
            style.SECONDS,
            _EXPORTER,
        )
        .with_target(over_time(queries.scrape_seconds(), "{{job}} {{instance}}"))
        .with_target(threshold_lines("scrape_seconds", "above"))
    )


def collectors() -> timeseries.Panel:
    """What in a scrape takes long."""
    return graph(
        "Collector duration", "How long each collector of the exporter takes.", style.SECONDS, _EXPORTER
    ).with_target(over_time(queries.per_host(queries.COLLECTOR_SECONDS, "collector"), "{{instance}} {{collector}}"))


def collector_failures() -> bargauge.Panel:
    """What is not collected."""
    panel = bars(
        "Failing collectors",
        "1 for a collector whose last run failed: what it tells is missing, the others are not affected.",
        style.COUNT,
        _EXPORTER,
    )
    return stepped(
        panel.max(1).with_target(at_the_end(queries.collectors_failed(), "{{instance}} {{collector}}")),
        style.GOOD,
        red=1,
    )


def series() -> timeseries.Panel:
    """How much there is to store."""
    return graph(
        "Application series", "Series of applications that each exporter serves.", style.COUNT, _EXPORTER
    ).with_target(over_time(queries.per_host(queries.SERIES), "{{instance}}"))


def files() -> timeseries.Panel:
    """The metrics directory."""
    return (
        graph(
            "Files in the metrics directory",
            "Files of living processes and of ended ones that are not yet folded; rejected and partial ones hold "
            "numbers that are not counted, which GenAIFilesRejected tells.",
            style.COUNT,
            _EXPORTER,
        )
        .with_target(over_time(queries.files("live", "dead"), "{{instance}} {{state}}", "A"))
        .with_target(over_time(queries.files("rejected", "partial"), "{{instance}} {{state}}", "B"))
    )


def overflow() -> bargauge.Panel:
    """Which labels have too many values."""
    return (
        bars(
            "Label values beyond the cap",
            "Records in the time range that were counted under __other__, and values that the exporter merged: sums "
            "are right, but the label has more values than it may.",
            style.COUNT,
            "every label keeps to its cap",
        )
        .with_target(at_the_end(queries.overflow(), "records, {{label}}", "A"))
        .with_target(at_the_end(queries.merged_values(), "merged values, {{label}}", "B"))
    )


def faults() -> bargauge.Panel:
    """Records that went wrong."""
    return bars(
        "Faults of recording",
        "Records in the time range that were wrong or could not be kept as given, by reason; docs/alerts tells what "
        "to do.",
        style.COUNT,
        "no record was faulty",
    ).with_target(at_the_end(queries.faults(), "{{reason}}"))
